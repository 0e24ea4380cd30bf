"""Architectures as they are asked for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ml.models.build import build_model
from ml.spec.model import LinearSpec, MlpSpec, ParametersSpec


@pytest.mark.parametrize(
    ("spec", "features", "targets"),
    [
        (ParametersSpec(), 1, 1),
        (LinearSpec(), 1, 1),
        (LinearSpec(), 5, 3),
        (MlpSpec(), 1, 1),
        (MlpSpec(hidden=(7,)), 4, 2),
        (MlpSpec(hidden=(3, 2, 5), batch_norm=True, dropout=0.5), 2, 3),
    ],
)
def test_parameter_count_is_that_of_the_module(
    spec: ParametersSpec | LinearSpec | MlpSpec, features: int, targets: int
) -> None:
    module = build_model(spec, features, targets)
    counted = sum(parameter.numel() for parameter in module.parameters())
    assert spec.parameter_count(features, targets) == counted


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"hidden": []}, ("hidden",)),
        ({"hidden": [0]}, ("hidden", 0)),
        ({"hidden": [8, -1]}, ("hidden", 1)),
        ({"hidden": [8.5]}, ("hidden", 0)),
        ({"hidden": ["8"]}, ("hidden", 0)),
        ({"hidden": [1] * 65}, ("hidden",)),
        ({"activation": "softmax"}, ("activation",)),
        ({"dropout": 1}, ("dropout",)),
        ({"dropout": -0.1}, ("dropout",)),
        ({"batch_norm": 1}, ("batch_norm",)),
        ({"batch_norm": "yes"}, ("batch_norm",)),
        ({"layers": 3}, ("layers",)),
    ],
)
def test_mlp_refuses_with_position(fields: dict[str, Any], place: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        MlpSpec.model_validate(fields)
    assert caught.value.errors()[0]["loc"] == place


def test_hidden_may_be_a_list_and_is_kept_as_a_tuple() -> None:
    assert MlpSpec.model_validate({"hidden": [8, 4]}).hidden == (8, 4)
