"""A loaded artifact that answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from ml.artifact import Bundle
from ml.data.scaling import BLOCK_VALUES, Scaling
from ml.errors import InputError, OverflowedError
from ml.models.build import build_model
from ml.predictor import Predictor
from ml.spec.model import LinearSpec, MlpSpec, ParametersSpec
from tests.ml.making import ARCHITECTURES, CPU, bundle, scaling


def _line(weight: float, bias: float, scaled: Scaling | None = None) -> Predictor:
    state = {"weights": torch.tensor([weight * 1.0]), "bias": torch.tensor([bias * 1.0])}
    return Predictor(Bundle(ParametersSpec(), ("x",), ("y",), scaled, state), CPU)


def test_a_line_answers_weight_x_plus_bias() -> None:
    y_N1 = _line(2, 1).predict(torch.tensor([[0.0], [3.0], [-1.0]]))
    assert y_N1.tolist() == [[1], [7], [-1]]
    assert y_N1.dtype == torch.float32


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("scaled", [None, scaling()])
def test_it_scales_runs_the_module_in_eval_mode_and_unscales(
    architecture: ParametersSpec | LinearSpec | MlpSpec, scaled: Scaling | None
) -> None:
    of = bundle(architecture, scaled=scaled)
    module = build_model(architecture, 1, 1).eval()
    module.load_state_dict(of.state)
    x_N1 = torch.randn(20, 1, dtype=torch.float64)
    with torch.inference_mode():
        wanted_N1 = (
            module(x_N1.float())
            if scaled is None
            else scaled.unscale_y(module(scaled.scale_x(x_N1)))
        )
    assert torch.equal(Predictor(of, CPU).predict(x_N1), wanted_N1)


def test_float64_rows_at_1e9_are_told_apart() -> None:
    statistics = Scaling(*(torch.tensor([v], dtype=torch.float64) for v in (1e9, 1.0, 0.0, 1.0)))
    x_N1 = torch.tensor([[1e9 - 1], [1e9], [1e9 + 1]], dtype=torch.float64)
    assert _line(2, 5, statistics).predict(x_N1).tolist() == [[3], [5], [7]]


def test_no_row_gives_no_row() -> None:
    assert Predictor(bundle(LinearSpec(), 3, 2), CPU).predict(torch.zeros(0, 3)).shape == (0, 2)


@pytest.mark.parametrize("shape", [(4, 2), (4, 4), (4, 0)])
def test_another_number_of_features_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"expected 3 features a row, got {shape[1]}"):
        Predictor(bundle(LinearSpec(), 3), CPU).predict(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(), (3,), (1, 1, 3)])
def test_what_is_no_table_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected 3 features a row, got shape \("):
        Predictor(bundle(LinearSpec(), 3), CPU).predict(torch.zeros(shape))


@pytest.mark.parametrize("scaled", [False, True])
def test_a_prediction_beyond_float32_names_the_row(scaled: bool) -> None:
    wide = Scaling(*(torch.tensor([v], dtype=torch.float64) for v in (0.0, 1.0, 0.0, 1e30)))
    predictor = _line(1e10, 0, wide) if scaled else _line(1e10, 0)
    good, bad = (1e-9, 1e9) if scaled else (1e20, 1e30)
    with pytest.raises(OverflowedError) as caught:
        predictor.predict(torch.tensor([[good], [0.0], [bad], [-bad]], dtype=torch.float64))
    assert caught.value.row == 2
    assert predictor.predict(torch.tensor([[good]])).isfinite().all()


def test_overflow_in_one_of_several_targets_names_the_row() -> None:
    state = {
        "linear_layer.weight": torch.tensor([[1.0], [1e38]]),
        "linear_layer.bias": torch.zeros(2),
    }
    predictor = Predictor(Bundle(LinearSpec(), ("x",), ("a", "b"), None, state), CPU)
    with pytest.raises(OverflowedError) as caught:
        predictor.predict(torch.tensor([[1.0], [10.0]]))
    assert caught.value.row == 1


def test_overflow_far_down_among_many_rows_names_the_row() -> None:
    x_N1 = torch.zeros(2 * BLOCK_VALUES, 1)
    x_N1[BLOCK_VALUES + 5] = x_N1[BLOCK_VALUES + 7] = 1e30
    with pytest.raises(OverflowedError) as caught:
        _line(1e10, 0).predict(x_N1)
    assert caught.value.row == BLOCK_VALUES + 5


class Writing(torch.nn.Module):
    """A module that writes to its input."""

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        return x_NF.mul_(2)


def test_a_module_that_writes_to_its_input_does_not_write_to_the_rows_of_the_request() -> None:
    predictor = Predictor(bundle(MlpSpec(hidden=(2,))), CPU)
    predictor._module = Writing()
    x_N1 = torch.tensor([[1.0], [3.0]])
    assert predictor.predict(x_N1).tolist() == [[2], [6]]
    assert x_N1.tolist() == [[1], [3]]


def test_an_x_beyond_float32_does_not_slip_through() -> None:
    with pytest.raises(OverflowedError):
        _line(0, 1).predict(torch.tensor([[1e39]], dtype=torch.float64))  # inf * 0 is nan


def test_neither_loading_nor_predicting_moves_the_global_generator() -> None:
    of = bundle(MlpSpec(dropout=0.5))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    predictor = Predictor(of, CPU)
    predictor.warm_up()
    predictor.predict(torch.ones(4, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_predicting_changes_nothing() -> None:
    of = bundle(MlpSpec(hidden=(4,), batch_norm=True, dropout=0.5))
    before = {key: values.clone() for key, values in of.state.items()}
    predictor = Predictor(of, CPU)
    predictor.warm_up()
    x_N1 = torch.randn(10, 1)
    first = predictor.predict(x_N1)
    assert torch.equal(predictor.predict(x_N1), first)
    assert all(torch.equal(of.state[key], before[key]) for key in before)
    assert not first.requires_grad


def test_threads_get_what_one_thread_gets() -> None:
    predictor = Predictor(bundle(MlpSpec(hidden=(16, 16)), 2, 1, scaling(2, 1)), CPU)
    inputs = [torch.randn(5, 2, dtype=torch.float64) for _ in range(64)]
    alone = [predictor.predict(x_NF) for x_NF in inputs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(predictor.predict, inputs))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
