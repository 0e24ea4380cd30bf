"""Standardization by training statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml.artifact import Bundle
from ml.data.scaling import Scaling, fit_scaling, relative_scaling
from ml.data.table import Table
from ml.predictor import Predictor
from ml.spec.model import LinearSpec, MlpSpec, ParametersSpec
from tests.ml.making import ARCHITECTURES, CPU, bundle, quick, scaling


def _table(x_NF: torch.Tensor, y_NT: torch.Tensor | None = None) -> Table:
    y_NT = torch.arange(float(len(x_NF)), dtype=torch.float64)[:, None] if y_NT is None else y_NT
    features, targets = x_NF.shape[1], y_NT.shape[1]
    return Table(x_NF, y_NT, ("x",) * features, ("y",) * targets)


def test_statistics_are_numpys() -> None:
    values_NC = np.random.default_rng(0).normal(5, 3, (50, 4))
    fitted = fit_scaling(_table(torch.from_numpy(values_NC), torch.from_numpy(values_NC[:, :2])))
    np.testing.assert_allclose(fitted.x_mean_F, values_NC.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(fitted.x_std_F, values_NC.std(axis=0), rtol=1e-13)
    np.testing.assert_allclose(fitted.y_mean_T, values_NC[:, :2].mean(axis=0), rtol=1e-14)
    assert {values.dtype for values in fitted.tensors().values()} == {torch.float64}


def test_a_row_next_to_another_survives_at_1e9() -> None:
    x_N1 = torch.tensor([[1e9 - 1], [1e9], [1e9 + 1]], dtype=torch.float64)
    scaled_N1 = fit_scaling(_table(x_N1)).scale_x(x_N1)
    assert scaled_N1.dtype == torch.float32
    # Deviation of -1, 0, 1 (divided by N) is sqrt(2/3).
    wanted_N1 = torch.tensor([[-1.0], [0.0], [1.0]]) * 1.5**0.5
    torch.testing.assert_close(scaled_N1, wanted_N1, rtol=1e-6, atol=0)


@given(st.floats(-1e30, 1e30), st.integers(1, 50))
@quick
def test_a_constant_column_is_only_centred(value: float, rows: int) -> None:
    x_N1 = torch.full((rows, 1), value, dtype=torch.float64)
    fitted = fit_scaling(_table(x_N1))
    assert fitted.x_std_F.item() == 1
    # The mean of equal numbers may miss them by a rounding; the scaled column must be about 0.
    assert abs(fitted.scale_x(x_N1)).max() <= 1e-15 * abs(value)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6, 1e9])
def test_standardized_columns_have_mean_0_and_deviation_1(scale: float) -> None:
    x_N1 = scale * torch.linspace(3, 7, 101, dtype=torch.float64)[:, None]
    scaled_N1 = fit_scaling(_table(x_N1)).scale_x(x_N1).double()
    assert abs(scaled_N1.mean().item()) < 1e-6
    assert scaled_N1.std(correction=0).item() == pytest.approx(1, abs=1e-6)


def test_unscale_undoes_scale() -> None:
    y_NT = torch.tensor([[1.0, -5.0], [30.0, 2e4]], dtype=torch.float64)
    fitted = fit_scaling(_table(torch.ones(2, 1), y_NT))
    unscaled_NT = fitted.unscale_y(fitted.scale_y(y_NT))
    torch.testing.assert_close(unscaled_NT, y_NT, rtol=1e-6, atol=1e-6)


_mean = st.floats(-1e6, 1e6)
_std = st.floats(1e-6, 1e6)


def _scaling_of(numbers: tuple[float, float, float, float]) -> Scaling:
    return Scaling(*(torch.tensor([number], dtype=torch.float64) for number in numbers))


@given(st.tuples(_mean, _std, _mean, _std), st.floats(-1e3, 1e3))
@quick
def test_inverse_undoes(numbers: tuple[float, float, float, float], z: float) -> None:
    there = _scaling_of(numbers)
    back = there.inverse()
    z_11 = torch.tensor([[z]], dtype=torch.float64)
    # What `back` scales is what `there` unscales: (z - mean') / std' = z * std + mean.
    raw_11 = z_11 * there.x_std_F + there.x_mean_F
    tolerance = 1e-12 * (abs(raw_11.item()) + abs(numbers[0]) + 1)
    assert abs((z_11 - back.x_mean_F) / back.x_std_F - raw_11).item() <= tolerance
    for name, values in back.inverse().tensors().items():
        torch.testing.assert_close(values, there.tensors()[name], rtol=1e-12, atol=1e-12)


def test_relative_scaling_of_one_with_itself_is_the_identity() -> None:
    same = relative_scaling(scaling(3, 2), scaling(3, 2))
    assert same is not None
    assert same.x_mean_F.tolist() == [0, 0, 0]
    assert same.x_std_F.tolist() == [1, 1, 1]
    assert (same.y_mean_T.tolist(), same.y_std_T.tolist()) == ([0, 0], [1, 1])


def test_relative_scaling_from_or_to_raw_units() -> None:
    assert relative_scaling(None, None) is None
    old = scaling()
    assert relative_scaling(old, None) is old
    back = relative_scaling(None, old)
    assert back is not None
    assert back.tensors() == old.inverse().tensors()


def _shape(architecture: ParametersSpec | LinearSpec | MlpSpec) -> tuple[int, int]:
    return (1, 1) if architecture.kind == "parameters" else (3, 2)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda spec: spec.kind)
def test_raw_state_predicts_the_same(architecture: ParametersSpec | LinearSpec | MlpSpec) -> None:
    features, targets = _shape(architecture)
    scaled = bundle(architecture, features, targets, scaling(features, targets))
    raw = _with_state(scaled, scaled.raw_state(), None)
    x_NF = torch.randn(200, features, generator=torch.Generator().manual_seed(1)) * 5
    # Folding rounds each parameter to float32 once: 1e-5 is some 100 units in the last place.
    torch.testing.assert_close(
        Predictor(raw, CPU).predict(x_NF),
        Predictor(scaled, CPU).predict(x_NF),
        rtol=1e-5,
        atol=1e-5,
        check_dtype=False,
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("to_raw", [False, True])
def test_state_for_another_scaling_predicts_the_same(
    architecture: ParametersSpec | LinearSpec | MlpSpec, to_raw: bool
) -> None:
    features, targets = _shape(architecture)
    old = bundle(architecture, features, targets, scaling(features, targets))
    moved = Scaling(*(values + 0.75 for values in scaling(features, targets).tensors().values()))
    new = None if to_raw else moved
    x_NF = torch.randn(200, features, generator=torch.Generator().manual_seed(1)) * 5
    torch.testing.assert_close(
        Predictor(_with_state(old, old.state_for(new), new), CPU).predict(x_NF),
        Predictor(old, CPU).predict(x_NF),
        rtol=1e-5,
        atol=1e-5,
        check_dtype=False,
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda spec: spec.kind)
def test_state_for_the_same_scaling_has_the_same_bits(
    architecture: ParametersSpec | LinearSpec | MlpSpec,
) -> None:
    features, targets = _shape(architecture)
    old = bundle(architecture, features, targets, scaling(features, targets))
    new_state = old.state_for(scaling(features, targets))
    assert all(torch.equal(new_state[key], values) for key, values in old.state.items())
    assert new_state.keys() == old.state.keys()


def test_state_for_keeps_what_rows_at_1e9_differ_in() -> None:
    # In raw units, the bias of y = 2 (x - 1e9) is -2e9, where float32 counts in steps of 128.
    def at(mean: float) -> Scaling:
        return _scaling_of((mean, 1.5, 1.0, 3.0))

    old = bundle(LinearSpec(), scaled=at(1e9))
    new = _with_state(old, old.state_for(at(1e9 + 3)), at(1e9 + 3))
    x_N1 = 1e9 + torch.linspace(-3, 3, 13, dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        Predictor(new, CPU).predict(x_N1),
        Predictor(old, CPU).predict(x_N1),
        rtol=1e-6,
        atol=1e-6,
    )


def _with_state(old: Bundle, state: dict[str, torch.Tensor], new: Scaling | None) -> Bundle:
    return Bundle(old.architecture, old.feature_names, old.target_names, new, state)


@pytest.mark.parametrize("columns", [1, 3, 10, 20_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_rows_have_the_bits_of_each_alone(columns: int, dtype: torch.dtype) -> None:
    """Rows are worked on in blocks: whole ones, part of one, and less than one."""
    fitted = scaling(columns, columns)
    block = max(1, 16_384 // columns)
    for rows in {0, 1, block - 1, block, block + 1, 2 * block + 3}:
        x_NF = torch.randn(rows, columns, dtype=dtype) * 100
        scaled_NF = ((x_NF.double() - fitted.x_mean_F) / fitted.x_std_F).float()
        given_NF = x_NF.clone()
        assert torch.equal(fitted.scale_x(x_NF), scaled_NF)
        raw_NT = x_NF.double() * fitted.y_std_T + fitted.y_mean_T
        assert torch.equal(fitted.unscale_y(x_NF), raw_NT)
        assert torch.equal(
            fitted.scale_y(x_NF, torch.float64), (x_NF - fitted.y_mean_T) / fitted.y_std_T
        )
        assert torch.equal(x_NF, given_NF)


def test_what_goes_beyond_float32_becomes_infinite_without_a_warning() -> None:
    narrow = _scaling_of((0, 1e-30, 0, 1e-30))
    assert narrow.scale_x(torch.tensor([[1e30]], dtype=torch.float64)).item() == math.inf
    assert narrow.scale_y(torch.tensor([[-1e30]], dtype=torch.float64)).item() == -math.inf
    wide = _scaling_of((0, 1, 0, 1e300))
    assert wide.unscale_y(torch.tensor([[1e30]])).item() == math.inf
