"""Parameters in raw units, beside the truth and the optimum."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ml.artifact import Bundle
from ml.data.scaling import Scaling
from service.entities import ModelVersion
from service.serving.params import params_of
from tests.service.making import NOW, line, mlp, new_version


def version(**changes: Any) -> ModelVersion:
    fields = {**vars(new_version()), **changes}
    return ModelVersion(number=3, origin="api", created_at=NOW, **fields)


SHAPES: list[tuple[Bundle, Any, Any]] = [
    (line(0.5, 0.25), 0.5, 0.25),
    (line([0.5, 2.0], 0.25), [0.5, 2.0], 0.25),
    (line([[0.5], [2.0]], [0.25, 1.0]), [[0.5], [2.0]], [0.25, 1.0]),
    (line([[0.5, 1.0], [2.0, 3.0]], [0.25, 1.0]), [[0.5, 1.0], [2.0, 3.0]], [0.25, 1.0]),
    (mlp(), None, None),
]


@pytest.mark.parametrize(("bundle", "weight", "bias"), SHAPES)
def test_weight_and_bias_have_the_shape_that_the_model_needs(
    bundle: Bundle, weight: Any, bias: Any
) -> None:
    shown = params_of(version(), bundle)
    assert (shown.weight, shown.bias) == (weight, bias)
    assert (shown.model, shown.version) == ("default", 3)
    assert shown.state_dict is not None
    assert shown.state_dict.keys() == bundle.state.keys()
    assert (shown.feature_names, shown.target_names) == (
        list(bundle.feature_names),
        list(bundle.target_names),
    )


@pytest.mark.parametrize(
    ("optimum", "weight", "bias"),
    [
        ({"weight_TF": [[0.5]], "bias_T": [0.25]}, 0.5, 0.25),
        ({"weight_TF": [[0.5, 2.0]], "bias_T": [0.25]}, [0.5, 2.0], 0.25),
        ({"weight_TF": [[0.5], [2.0]], "bias_T": [0.25, 1.0]}, [[0.5], [2.0]], [0.25, 1.0]),
    ],
)
def test_the_optimum_has_the_same_shape(optimum: dict[str, Any], weight: Any, bias: Any) -> None:
    shown = params_of(version(least_squares=optimum), line())
    assert shown.least_squares is not None
    assert (shown.least_squares.weight, shown.least_squares.bias) == (weight, bias)


def test_what_is_not_known_is_null() -> None:
    shown = params_of(version(truth=None, least_squares=None), mlp())
    assert (shown.truth, shown.least_squares, shown.weight, shown.bias) == (None,) * 4
    assert params_of(version(), line()).truth is not None


def test_a_scaling_is_folded_into_what_is_shown() -> None:
    def numbers(*values: float) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64)

    bundle = line(2.0, 0.5, scaling=Scaling(numbers(10), numbers(4), numbers(100), numbers(8)))
    shown = params_of(version(), bundle)
    # y = 100 + 8 (2 (x - 10) / 4 + 0.5)
    assert (shown.weight, shown.bias) == (4.0, 64.0)
    assert shown.state_dict == {"linear_layer.weight": [[4.0]], "linear_layer.bias": [64.0]}
