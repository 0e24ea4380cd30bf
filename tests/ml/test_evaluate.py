"""Metrics and the least-squares optimum, against numpy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from ml.data.scaling import fit_scaling
from ml.data.table import Table
from ml.errors import DivergedError
from ml.training.evaluate import Metrics, measure
from ml.training.optimum import LeastSquares
from ml.training.optimum import least_squares as least_squares_of
from tests.ml.making import quick


def _column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_metrics_by_hand() -> None:
    # y = 1, 2, 3, 6: mean 3, squares about it 4 + 1 + 0 + 9 = 14. Errors 1, 0, -1, 2: squares 6.
    metrics = measure(_column(2, 2, 2, 8), _column(1, 2, 3, 6))
    assert metrics.mae == 1
    assert metrics.rmse == pytest.approx((6 / 4) ** 0.5, rel=1e-15)
    assert metrics.r2 == pytest.approx(1 - 6 / 14, rel=1e-15)
    assert metrics.max_error == 2


_number = st.floats(-1e6, 1e6)


@given(st.integers(2, 30), st.integers(1, 3), st.data())
@quick
def test_metrics_against_numpy(rows: int, targets: int, data: st.DataObject) -> None:
    arrays = np_st.arrays(np.float64, (rows, targets), elements=_number)
    pred_NT, y_NT = data.draw(arrays), data.draw(arrays)
    metrics = measure(torch.from_numpy(pred_NT), torch.from_numpy(y_NT))
    error_NT = pred_NT - y_NT
    assert metrics.mae == pytest.approx(np.abs(error_NT).mean(), rel=1e-12, abs=1e-300)
    assert metrics.rmse == pytest.approx(np.sqrt((error_NT**2).mean()), rel=1e-12, abs=1e-300)
    assert metrics.max_error == np.abs(error_NT).max()
    spread_T = ((y_NT - y_NT.mean(axis=0)) ** 2).sum(axis=0)
    varies = bool((y_NT != y_NT[0]).any(axis=0).all() and (spread_T > 0).all())
    assert (metrics.r2 is not None) == varies
    if metrics.r2 is not None:
        wanted = (1 - (error_NT**2).sum(axis=0) / spread_T).mean()
        assert metrics.r2 == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@given(_number, st.integers(1, 20))
@quick
def test_r2_is_none_where_y_does_not_vary(value: float, rows: int) -> None:
    y_N1 = torch.full((rows, 1), value, dtype=torch.float64)
    assert measure(y_N1 + 1e-9, y_N1).r2 is None


def test_r2_is_none_where_one_of_several_targets_does_not_vary() -> None:
    y_NT = torch.tensor([[1.0, 5.0], [2.0, 5.0]])
    assert measure(y_NT, y_NT).r2 is None


def test_broadcasting_is_refused() -> None:
    y_N1 = _column(1, 2, 3)
    trap = (y_N1[:, 0] - y_N1).abs().mean()  # (3,) against (3, 1) gives (3, 3), and 0.89 for 0
    assert trap > 0.8
    with pytest.raises(ValueError, match=r"expected shape \(3, 1\), got \(3,\)"):
        measure(y_N1[:, 0], y_N1)
    with pytest.raises(ValueError, match=r"expected shape \(3,\), got \(3, 1\)"):
        measure(y_N1, y_N1[:, 0])


def test_errors_are_taken_in_float64() -> None:
    # In float32, 2**24 + 1 is 2**24.
    assert measure(torch.tensor([[2.0**24]]), _column(2**24 + 1)).mae == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_prediction_that_is_no_number_is_divergence(bad: float) -> None:
    with pytest.raises(DivergedError, match="lower the learning rate"):
        measure(_column(1, bad), _column(1, 2))


def test_named_puts_the_part_in_front() -> None:
    assert Metrics(1, 2, None, 4).named("test") == {
        "test_mae": 1,
        "test_rmse": 2,
        "test_r2": None,
        "test_max_error": 4,
    }


def _table(x_NF: np.ndarray, y_NT: np.ndarray) -> Table:
    names = tuple(map(str, range(9)))
    x, y = torch.from_numpy(x_NF), torch.from_numpy(y_NT)
    return Table(x, y, names[: x.shape[1]], names[: y.shape[1]])


def least_squares(train: Table) -> LeastSquares:
    return least_squares_of(train, fit_scaling(train))


@pytest.mark.parametrize(("features", "targets"), [(1, 1), (1, 3), (4, 1), (5, 2)])
def test_least_squares_is_numpys(features: int, targets: int) -> None:
    random = np.random.default_rng(features * 10 + targets)
    x_NF = random.normal(3, 2, (60, features))
    y_NT = x_NF @ random.normal(size=(features, targets)) + random.normal(size=(60, targets))
    wanted, *_ = np.linalg.lstsq(np.c_[x_NF, np.ones(60)], y_NT)
    got = least_squares(_table(x_NF, y_NT))
    np.testing.assert_allclose(got.weight_TF, wanted[:-1].T, rtol=1e-10)
    np.testing.assert_allclose(got.bias_T, wanted[-1], rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_least_squares_of_a_line_without_noise_is_the_line(scale: float) -> None:
    x_N1 = scale * np.linspace(1, 2, 40)[:, None]
    got = least_squares(_table(x_N1, 0.7 * x_N1 / scale + 0.3))
    assert got.weight_TF.item() * scale == pytest.approx(0.7, rel=1e-9)
    assert got.bias_T.item() == pytest.approx(0.3, rel=1e-9)


def test_least_squares_next_to_1e9() -> None:
    x_N1 = 1e9 + np.array([[-1.0], [0.0], [1.0], [2.0]])
    got = least_squares(_table(x_N1, 2 * (x_N1 - 1e9) + 5))
    assert got.weight_TF.item() == pytest.approx(2, rel=1e-9)
    assert got.weight_TF.item() * 1e9 + got.bias_T.item() == pytest.approx(5, abs=1e-5)


def test_least_squares_of_collinear_and_constant_columns_still_predicts() -> None:
    base_N = np.arange(10.0)
    x_NF = np.stack([base_N, 2 * base_N, np.full(10, 7.0)], axis=1)
    y_N1 = 3 * base_N[:, None] + 1
    got = least_squares(_table(x_NF, y_N1))
    np.testing.assert_allclose(x_NF @ got.weight_TF.numpy().T + got.bias_T.numpy(), y_N1)


def test_least_squares_of_one_row() -> None:
    got = least_squares(_table(np.array([[3.0]]), np.array([[4.0]])))
    assert got.weight_TF.item() * 3 + got.bias_T.item() == 4
