"""With nothing but data given, a linear relation ends at the least-squares optimum; where the
numbers cannot bear it, the training ends well and says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.spec.training import TrainingSpec
from ml.training.fit import Fitted, fit
from tests.ml.making import points, quick

RANDOM = np.random.default_rng(12)


def _train(x: np.ndarray, y: np.ndarray, **fields: Any) -> Fitted:
    return fit(points(x.tolist(), y.tolist(), **fields))


def _gap_of(fitted: Fitted) -> float:
    assert fitted.gap is not None
    return fitted.gap


@pytest.mark.parametrize("y_scale", [1e-6, 1.0, 1e9])
@pytest.mark.parametrize("x_scale", [1e-6, 1e-3, 1.0, 1e6, 1e9])
def test_any_scale_ends_at_the_optimum(x_scale: float, y_scale: float) -> None:
    x_NF = RANDOM.normal(3, 1, (200, 3)) * [x_scale, 1, 1 / x_scale]
    y_N = y_scale * (x_NF / [x_scale, 1, 1 / x_scale] @ [1, 2, -3] + RANDOM.normal(size=200))
    fitted = _train(x_NF, y_N)
    assert _gap_of(fitted) < 1e-6
    assert [w for w in fitted.warnings if "float32" not in w] == []


@pytest.mark.parametrize("rows", [2, 3, 9, 10, 50, 1000, 20_000])
def test_any_number_of_rows_ends_at_the_optimum(rows: int) -> None:
    x_N1 = RANDOM.uniform(-5, 5, (rows, 1))
    assert _gap_of(_train(x_N1, 0.7 * x_N1[:, 0] + 0.3 + RANDOM.normal(size=rows))) < 1e-6


def test_two_rows_make_the_line_through_them() -> None:
    fitted = _train(np.array([[1.0], [2.0]]), np.array([3.0, 5.0]))
    assert fitted.metrics["train_max_error"] == pytest.approx(0, abs=1e-6)
    assert "no row was held out" in fitted.warnings[0]


@pytest.mark.parametrize("apart", [1e-1, 1e-2, 1e-3, 1e-4])
def test_correlated_features_end_at_the_optimum(apart: float) -> None:
    x_NF = RANDOM.normal(size=(300, 4))
    x_NF[:, 3] = x_NF[:, 0] + apart * RANDOM.normal(size=300)
    fitted = _train(x_NF, x_NF @ [1, 2, 3, 4] + RANDOM.normal(size=300))
    assert _gap_of(fitted) < 1e-4
    assert fitted.warnings == ()


def test_powers_of_a_column_end_at_the_optimum() -> None:
    t_N1 = np.arange(100.0)[:, None]
    fitted = _train(np.hstack([t_N1, t_N1**2, t_N1**3]), (t_N1[:, 0] - 50) ** 2)
    assert _gap_of(fitted) < 1e-5


def test_noise_alone_ends_at_the_optimum() -> None:
    assert _gap_of(_train(RANDOM.normal(size=(300, 3)), RANDOM.normal(size=300))) < 1e-6


def test_several_targets_end_at_their_optima() -> None:
    x_NF = RANDOM.normal(size=(300, 5))
    y_NT = x_NF @ RANDOM.normal(size=(5, 3)) * [1, 1e6, 1e-6] + RANDOM.normal(size=3)
    assert _gap_of(_train(x_NF, y_NT)) < 1e-6


def test_values_next_to_a_billion_keep_their_difference() -> None:
    x_N1 = 1e9 + RANDOM.normal(size=(100, 1))
    fitted = _train(x_N1, 2 * (x_N1[:, 0] - 1e9) + 1e9)
    assert _gap_of(fitted) < 1e-5
    (warning,) = fitted.warnings
    assert "float32 cannot hold these parameters in raw units" in warning


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 2**32 - 1))
@quick
def test_whatever_the_rows_the_gap_is_small_or_there_is_a_warning(
    rows: int, features: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    scales = 10.0 ** random.uniform(-6, 6, features)
    x_NF = random.normal(size=(rows, features)) * scales + random.normal(size=features) * scales
    if features > 1 and seed % 3 == 0:
        x_NF[:, 1] = x_NF[:, 0] * random.uniform(-2, 2)
    if seed % 5 == 0:
        x_NF[:, 0] = 4.5
    fitted = _train(x_NF, x_NF / scales @ random.normal(size=features) + random.normal(size=rows))
    assert _gap_of(fitted) < 1e-4 or fitted.warnings


# ---- what is said ----


def test_a_constant_feature_is_named() -> None:
    x_NF = RANDOM.normal(size=(50, 2))
    x_NF[:, 1] = 7
    fitted = _train(x_NF, x_NF[:, 0])
    assert fitted.warnings == ("constant in the training rows, so nothing is known of them: x2",)
    assert _gap_of(fitted) < 1e-6


def test_collinear_features_are_named_and_the_rest_is_not() -> None:
    x_NF = RANDOM.normal(size=(50, 4))
    x_NF[:, 3] = 2 * x_NF[:, 1] - 5
    fitted = _train(x_NF, x_NF @ [1, 1, 1, 1])
    (warning,) = fitted.warnings
    assert warning.startswith("collinear features: x2, x4;")
    assert _gap_of(fitted) < 1e-6


def test_features_that_only_all_together_are_collinear_are_named() -> None:
    x_NF = RANDOM.normal(size=(50, 4))
    x_NF[:, 3] = x_NF[:, :3].sum(axis=1)
    assert _train(x_NF, x_NF[:, 0]).warnings[0].startswith("collinear features: x1, x2, x3, x4;")


def test_nearly_collinear_features_are_named_where_the_optimum_is_not_reached() -> None:
    x_NF = RANDOM.normal(size=(300, 3))
    x_NF[:, 2] = x_NF[:, 0] + 1e-7 * RANDOM.normal(size=300)
    fitted = _train(x_NF, x_NF @ [1, 2, 3] + 100 * RANDOM.normal(size=300))
    assert _gap_of(fitted) > 1e-4
    assert "nearly collinear: x1, x3" in fitted.warnings[0]


@pytest.mark.parametrize(("rows", "features"), [(12, 12), (12, 30), (3, 5)])
def test_fewer_rows_than_parameters_is_said(rows: int, features: int) -> None:
    fitted = _train(RANDOM.normal(size=(rows, features)), RANDOM.normal(size=rows))
    assert any("many models fit them all alike" in warning for warning in fitted.warnings)


def test_a_target_that_does_not_vary_is_said() -> None:
    fitted = _train(RANDOM.normal(size=(30, 2)), np.full(30, 5.0))
    assert fitted.warnings == ("a target does not vary in the training rows",)
    assert fitted.metrics["train_max_error"] == 0


def test_a_training_that_was_cut_short_says_how_far_it_came() -> None:
    x_N1 = RANDOM.normal(size=(50, 1))
    fitted = _train(x_N1, 3 * x_N1[:, 0], optimizer={"kind": "sgd", "lr": 0.001}, epochs=5)
    assert _gap_of(fitted) > 0.1
    (warning,) = fitted.warnings
    assert "train longer" in warning


def test_lbfgs_that_is_cut_short_says_so() -> None:
    x_NF = RANDOM.normal(size=(300, 20)) @ np.diag(10.0 ** -np.linspace(0, 4, 20))
    x_NF = x_NF @ RANDOM.normal(size=(20, 20))
    fitted = _train(x_NF, x_NF.sum(axis=1) + RANDOM.normal(size=300), epochs=1)
    assert any("L-BFGS was still moving after 1 epoch:" in warning for warning in fitted.warnings)


@pytest.mark.parametrize("fields", [{"loss": "huber"}, {"optimizer": {"kind": "adamw"}}])
def test_who_asks_for_another_optimum_is_not_warned_of_it(fields: dict[str, Any]) -> None:
    x_N1 = RANDOM.normal(size=(50, 1))
    y_N = 3 * x_N1[:, 0] + RANDOM.normal(size=50)
    if "loss" in fields:
        y_N[::10] += 100  # Where no error is large, Huber's loss is half of the squared one.
    fitted = _train(x_N1, y_N, **fields)
    assert _gap_of(fitted) > 1e-4
    assert fitted.warnings == ()


def test_l1_by_lbfgs_says_that_it_may_stop_early() -> None:
    x_N1 = RANDOM.normal(size=(50, 1))
    (warning,) = _train(x_N1, 3 * x_N1[:, 0] + RANDOM.normal(size=50), loss="l1").warnings
    assert "L-BFGS may stop a few percent above" in warning


def test_the_tutorial_has_nothing_to_be_warned_of_but_its_last_step() -> None:
    fitted = fit(TrainingSpec())
    assert fitted.warnings == ()
    assert fitted.metrics["least_squares_gap"] == fitted.gap


def test_an_mlp_has_no_optimum_and_no_gap() -> None:
    x_N1 = RANDOM.normal(size=(50, 1))
    fitted = _train(x_N1, x_N1[:, 0] ** 2, architecture={"kind": "mlp", "hidden": [8]}, epochs=5)
    assert (fitted.gap, fitted.least_squares) == (None, None)
    assert "least_squares_gap" not in fitted.metrics


def test_the_same_spec_has_the_same_bits() -> None:
    x_NF = RANDOM.normal(size=(200, 3))
    for fields in (
        {},
        {"architecture": {"kind": "mlp", "dropout": 0.2}, "batch_size": 32, "epochs": 20},
    ):
        one, other = (_train(x_NF, x_NF.sum(axis=1), **fields) for _ in range(2))
        assert one.curve == other.curve
        assert one.metrics == other.metrics
        assert (one.data_sha256, one.environment) == (other.data_sha256, other.environment)
        for key, values in one.bundle.state.items():
            assert values.equal(other.bundle.state[key])


def test_a_line_that_the_tutorials_steps_do_not_reach_is_told() -> None:
    def train(**line: Any) -> Fitted:
        return fit(TrainingSpec.model_validate({"data": {"source": "line", **line}}))

    assert train().warnings == ()
    (warning,) = train(weight=2, bias=-1, noise=0.1).warnings
    assert "0.2 standard deviations of y away" in warning
    assert "take the optimizer `lbfgs`; where some rows lie far off, the loss l1" in warning


def test_a_line_that_is_not_reached_is_told_what_would_reach_it() -> None:
    spec: dict[str, Any] = {"data": {"source": "line", "weight": 2}, "loss": "mse"}
    (warning,) = fit(TrainingSpec.model_validate(spec)).warnings
    assert warning.endswith("train longer, or take the optimizer `lbfgs`")
    by_lbfgs = fit(TrainingSpec.model_validate({**spec, "optimizer": {"kind": "lbfgs"}}))
    assert by_lbfgs.warnings == ()


def test_other_losses_may_end_elsewhere() -> None:
    x_N1 = RANDOM.normal(size=(100, 1))
    y_N = 2 * x_N1[:, 0] + np.where(RANDOM.uniform(size=100) < 0.05, 50, 0)
    decayed = {"kind": "sgd", "lr": 0.1, "weight_decay": 1.0}
    assert (
        "is meant to end elsewhere"
        in _train(x_N1, y_N, loss="l1", optimizer={"kind": "sgd", "lr": 0.1}).warnings[-1]
    )
    assert _train(x_N1, y_N, loss="l1", optimizer=decayed).warnings == ()
