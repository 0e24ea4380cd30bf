"""One training from spec to result: the tutorial's numbers, its bits, and what goes beyond it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ml.errors import DataError, DivergedError, InputError
from ml.models.build import build_model, line_of
from ml.predictor import Predictor
from ml.spec.data import LineSpec
from ml.spec.model import MlpSpec
from ml.spec.training import SplitSpec, TrainingSpec
from ml.training.fit import Fit, Fitted, fit
from ml.training.loop import Point, Progress
from ml.training.parts import Part
from tests.ml import tutorial
from tests.ml.making import CPU, points, spec
from tests.ml.tutorial import Data

# ---- the published numbers ----

EIGHT_DECIMALS = 1e-7
"""The tutorial prints some eight decimals; another CPU may round the last one otherwise."""


def _at(fitted: Fitted, epoch: int) -> tuple[float, float | None]:
    point = next(point for point in fitted.curve if point.epoch == epoch)
    return point.train_loss, point.test_loss


def test_two_parameters_give_the_published_numbers() -> None:
    fitted = fit(spec(architecture={"kind": "parameters"}, epochs=100))
    assert _at(fitted, 0) == pytest.approx((0.31288138, 0.48106518), abs=EIGHT_DECIMALS)
    assert _at(fitted, 50) == pytest.approx((0.04167863, 0.09919948), abs=EIGHT_DECIMALS)
    state = fitted.bundle.raw_state()
    assert state["weights"].item() == pytest.approx(0.5784, abs=5e-5)
    assert state["bias"].item() == pytest.approx(0.3513, abs=5e-5)


def test_nn_linear_gives_the_published_numbers() -> None:
    fitted = fit(TrainingSpec())
    assert [point.epoch for point in fitted.curve] == [*range(0, 1000, 100), 999]
    assert _at(fitted, 0) == pytest.approx((0.55517799, 0.57397622), abs=EIGHT_DECIMALS)
    assert _at(fitted, 900) == pytest.approx((0.00126450, 0.01380180), abs=EIGHT_DECIMALS)
    state = fitted.bundle.raw_state()
    assert state["linear_layer.weight"].item() == pytest.approx(0.6968, abs=5e-5)
    assert state["linear_layer.bias"].item() == pytest.approx(0.3025, abs=5e-5)
    y_N1 = Predictor(fitted.bundle, CPU).predict(Data().X_test)
    assert len(y_N1) == 10
    assert y_N1[0].item() == pytest.approx(0.8600, abs=5e-5)
    assert y_N1[-1].item() == pytest.approx(0.9854, abs=5e-5)


# ---- the tutorial's bits ----

LOSSES: dict[str, Callable[[], nn.Module]] = {
    "l1": nn.L1Loss,
    "mse": nn.MSELoss,
    "huber": nn.HuberLoss,
}
OPTIMIZERS: dict[str, tuple[dict[str, Any], tutorial.MakeOptimizer]] = {
    "sgd": (
        {"kind": "sgd", "lr": 0.01},
        lambda params: torch.optim.SGD(params=params, lr=0.01),
    ),
    "momentum": (
        {"kind": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.001},
        lambda params: torch.optim.SGD(params, lr=0.02, momentum=0.9, weight_decay=0.001),
    ),
    "adam": (
        {"kind": "adam", "lr": 0.03, "weight_decay": 0.01},
        lambda params: torch.optim.Adam(params, lr=0.03, weight_decay=0.01),
    ),
    "adamw": (
        {"kind": "adamw", "lr": 0.005},
        lambda params: torch.optim.AdamW(params, lr=0.005, weight_decay=0.01),
    ),
    "lbfgs": (
        {"kind": "lbfgs"},
        lambda params: torch.optim.LBFGS(
            params, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe"
        ),
    ),
}
LINES = {
    "tutorial": (42, Data()),
    "exercise": (7, Data(weight=0.3, bias=0.9, step=0.01)),
    "steep": (123, Data(weight=-2.5, bias=4.0, start=-1, end=2, step=0.05)),
}
EPOCHS = 40


def _as_asked(kind: str, data: Data, **fields: Any) -> TrainingSpec:
    line = {name: getattr(data, name) for name in ("weight", "bias", "start", "end", "step")}
    return spec(data=line, architecture={"kind": kind}, **fields)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["parameters", "linear"])
def test_every_loss_and_parameter_has_the_bits_of_the_plain_loop(
    kind: str, loss: str, optimizer: str, line: str
) -> None:
    seed, data = LINES[line]
    asked, make_optimizer = OPTIMIZERS[optimizer]
    plain = tutorial.train(
        tutorial.CLASSES[kind], data, LOSSES[loss](), make_optimizer, EPOCHS, seed
    )
    fitted = fit(
        _as_asked(
            kind,
            data,
            loss=loss,
            optimizer=asked,
            epochs=EPOCHS,
            evaluate_every=1,
            seed=seed,
        )
    )
    train_losses = [point.train_loss for point in fitted.curve]
    test_losses = [point.test_loss for point in fitted.curve]
    # L-BFGS ends at a step that moved nothing: the steps that the plain loop still makes do not
    # move anything either.
    left = EPOCHS - len(fitted.curve)
    assert optimizer == "lbfgs" or left == 0
    assert train_losses + left * train_losses[-1:] == plain.train_loss_values
    assert test_losses + left * test_losses[-1:] == plain.test_loss_values
    for key, values in plain.model.state_dict().items():
        assert torch.equal(fitted.bundle.raw_state()[key], values), key
    assert torch.equal(Predictor(fitted.bundle, CPU).predict(data.X_test), plain.y_preds)


@pytest.mark.parametrize("kind", ["parameters", "linear"])
def test_fewer_evaluations_keep_the_bits_of_the_plain_loop(kind: str) -> None:
    plain = tutorial.train(
        tutorial.CLASSES[kind],
        Data(),
        nn.L1Loss(),
        lambda params: torch.optim.SGD(params, lr=0.01),
        100,
    )
    fitted = fit(_as_asked(kind, Data(), epochs=100, evaluate_every=30))
    assert [point.epoch for point in fitted.curve] == [0, 30, 60, 90, 99]
    for point in fitted.curve:
        assert point.train_loss == plain.train_loss_values[point.epoch]
        assert point.test_loss == plain.test_loss_values[point.epoch]
    for key, values in plain.model.state_dict().items():
        assert torch.equal(fitted.bundle.raw_state()[key], values), key


def test_dropout_has_the_bits_of_the_plain_loop() -> None:
    # Its masks come from the global generator: seeded before the parameters, and again after.
    architecture = MlpSpec(hidden=(8,), dropout=0.3)
    plain = tutorial.train(
        lambda: build_model(architecture, 1, 1),
        Data(),
        nn.L1Loss(),
        lambda params: torch.optim.SGD(params, lr=0.01),
        EPOCHS,
    )
    asked = spec(architecture=architecture.model_dump(), epochs=EPOCHS, evaluate_every=1)
    fitted = fit(asked)
    assert [point.train_loss for point in fitted.curve] == plain.train_loss_values
    assert [point.test_loss for point in fitted.curve] == plain.test_loss_values


# ---- real rows need no tuning ----


@pytest.mark.parametrize(
    ("kind", "scale"),
    [
        *(("linear", scale) for scale in (1e-6, 1e-3, 1.0, 1e3, 1e6, 1e9)),
        *(("parameters", scale) for scale in (1e-6, 1e9)),
    ],
)
def test_defaults_find_the_optimum_at_any_scale(kind: str, scale: float) -> None:
    random = np.random.default_rng(1)
    x_N = scale * random.uniform(2, 5, 80)
    y_N = 3 * x_N / scale + random.normal(size=80)
    fitted = fit(points(x_N.tolist(), y_N.tolist(), architecture={"kind": kind}))
    _assert_optimal(fitted)


@pytest.mark.parametrize(("features", "targets"), [(3, 1), (1, 2), (4, 3)])
def test_defaults_find_the_optimum_for_several_features_of_mixed_scales(
    features: int, targets: int
) -> None:
    random = np.random.default_rng(features)
    scales_F = np.array([1e-6, 1.0, 1e3, 1e9])[:features]
    units_T = np.array([1e6, 1e-3, 1.0])[:targets]
    z_NF = random.normal(1, 1, (120, features))
    y_NT = z_NF @ random.normal(size=(features, targets)) + 0.3 * random.normal(size=(120, targets))
    _assert_optimal(fit(points((z_NF * scales_F).tolist(), (y_NT * units_T).tolist())))


def test_defaults_find_the_optimum_next_to_1e9() -> None:
    random = np.random.default_rng(3)
    x_N = 1e9 + random.uniform(-1, 1, 60)
    y_N = 5 * (x_N - 1e9) + random.normal(size=60)
    fitted = fit(points(x_N.tolist(), y_N.tolist()))
    best = fitted.least_squares
    assert best is not None
    # By its predictions: in raw units, the float32 bias of -5e9 counts in steps of 512.
    x_M1 = torch.linspace(1e9 - 1, 1e9 + 1, 11, dtype=torch.float64)[:, None]
    wanted_M1 = (x_M1 - 1e9) @ best.weight_TF.T + (1e9 * best.weight_TF[0] + best.bias_T)
    torch.testing.assert_close(
        Predictor(fitted.bundle, CPU).predict(x_M1).double(), wanted_M1, rtol=1e-4, atol=1e-4
    )


def _assert_optimal(fitted: Fitted) -> None:
    """The learned line is that of least squares, where one deviation counts as 1.

    1e-4: a float32 loss L is flat within sqrt(1.2e-7 L) of its optimum, some 6e-5 here.
    """
    learned, best = (
        line_of(fitted.bundle.architecture, fitted.bundle.raw_state()),
        fitted.least_squares,
    )
    by = fitted.bundle.scaling
    assert learned is not None
    assert best is not None
    assert by is not None
    weight_TF, bias_T = learned.weight_TF.double(), learned.bias_T.double()
    unit_TF = by.x_std_F / by.y_std_T[:, None]
    torch.testing.assert_close(weight_TF * unit_TF, best.weight_TF * unit_TF, rtol=0, atol=1e-4)
    at_mean_T = (weight_TF @ by.x_mean_F + bias_T - by.y_mean_T) / by.y_std_T
    torch.testing.assert_close(at_mean_T, torch.zeros_like(at_mean_T), rtol=0, atol=1e-4)


def test_a_constant_column_does_no_harm() -> None:
    x = [[float(i), 7.0] for i in range(30)]
    fitted = fit(points(x, [2.0 * i + 1 for i in range(30)]))
    assert fitted.metrics["test_max_error"] == pytest.approx(0, abs=1e-4)


def test_constant_targets_are_learned() -> None:
    fitted = fit(points([float(i) for i in range(30)], [5.0] * 30))
    assert fitted.metrics["test_max_error"] == pytest.approx(0, abs=1e-5)
    assert fitted.metrics["test_r2"] is None


def test_a_single_row_is_learned() -> None:
    fitted = fit(points([3.0], [4.0], split={"train": 1}))
    assert fitted.metrics["train_max_error"] == pytest.approx(0, abs=1e-5)
    assert "test_loss" not in fitted.metrics


def test_an_mlp_learns_a_curve() -> None:
    x = [i / 50 for i in range(-100, 101)]
    asked = points(
        x, [math.sin(3 * value) for value in x], architecture={"kind": "mlp"}, epochs=200
    )
    fitted = fit(asked)
    assert fitted.metrics["test_r2"] is not None
    assert fitted.metrics["test_r2"] > 0.99  # a straight line reaches 0.1
    assert fitted.least_squares is None
    assert fitted.best_epoch is not None


def test_an_mlp_with_batch_norm_and_dropout_learns_and_answers_each_row_alone() -> None:
    x = [i / 50 for i in range(-100, 101)]
    architecture = {"kind": "mlp", "hidden": [32], "batch_norm": True, "dropout": 0.05}
    fitted = fit(
        points(x, [value**2 for value in x], architecture=architecture, epochs=60, batch_size=32)
    )
    assert fitted.metrics["test_r2"] is not None
    assert fitted.metrics["test_r2"] > 0.9
    predictor = Predictor(fitted.bundle, CPU)
    x_NF = torch.tensor(x)[:, None]
    # Batch statistics would make a row alone differ from a row among others.
    alone_NT = torch.cat([predictor.predict(row_F[None]) for row_F in x_NF[::20]])
    torch.testing.assert_close(alone_NT, predictor.predict(x_NF)[::20], rtol=1e-5, atol=1e-5)


# ---- divergence is never a result ----

LONG_X = [1e6 * i for i in range(1, 31)]
LONG_Y = [2.0 * i for i in range(1, 31)]


@pytest.mark.parametrize("loss", ["l1", "mse", "huber"])
@pytest.mark.parametrize("kind", ["parameters", "linear", "mlp"])
@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 101])
def test_a_learning_rate_of_a_million_is_divergence(loss: str, kind: str, epochs: int) -> None:
    asked = spec(loss=loss, architecture={"kind": kind}, optimizer={"lr": 1e6}, epochs=epochs)
    with pytest.raises(DivergedError, match=r"lower the learning rate \(optimizer.lr\) or set"):
        fit(asked)


@pytest.mark.parametrize("loss", ["l1", "mse", "huber"])
@pytest.mark.parametrize("kind", ["parameters", "linear"])
@pytest.mark.parametrize("epochs", [1, 2, 100])
def test_huge_raw_x_with_plain_sgd_is_divergence(loss: str, kind: str, epochs: int) -> None:
    asked = points(
        LONG_X,
        LONG_Y,
        loss=loss,
        architecture={"kind": kind},
        optimizer={"kind": "sgd"},
        standardize=False,
        epochs=epochs,
    )
    with pytest.raises(DivergedError, match="set standardize to true"):
        fit(asked)


def test_the_advice_helps() -> None:
    asked = points(LONG_X, LONG_Y, optimizer={"kind": "sgd", "lr": 0.1}, epochs=300)
    assert asked.standardize
    assert fit(asked).metrics["test_r2"] == pytest.approx(1, abs=1e-6)


def test_a_divergence_that_early_stopping_undoes_is_a_result() -> None:
    # The second step leaves for good; the best epoch is the first, and finite.
    asked = points(
        [1.0, 2.0, 3.0, 4.0, 5.0],
        [1.0, 2.0, 3.0, 4.0, 5.0],
        optimizer={"kind": "sgd", "lr": 1.2},
        epochs=30,
        early_stopping={"patience": 3},
    )
    fitted = fit(asked)
    assert fitted.best_epoch is not None
    assert math.isfinite(fitted.metrics["test_loss"] or 0.0)


def test_targets_of_0_are_no_divergence() -> None:
    fitted = fit(spec(data={"weight": 0, "bias": 0}, epochs=20))
    assert math.isfinite(fitted.metrics["test_loss"] or math.nan)


def test_a_prediction_beyond_float32_is_divergence() -> None:
    # Every number of the training is small; in raw units, the row at 1000 leaves float32.
    x, y = [1.0, 2.0, 3.0, 4.0, 1000.0], [1e37, 2e37, 3e37, 4e37, 5e37]
    with pytest.raises(DivergedError, match="prediction for test row 0 is beyond float32"):
        fit(points(x, y, split={"train": 0.8, "shuffle": False}, loss="l1"))


def test_a_loss_that_overflows_only_at_the_end_is_divergence() -> None:
    run = Fit(spec(loss="mse", epochs=1), CPU)
    list(run)
    run._loop.test = Part(torch.tensor([[1e30]]), torch.tensor([[1.0]]))
    with pytest.raises(DivergedError, match="test loss is inf"):
        run.result()


def test_noise_beyond_float32_is_divergence_not_a_crash() -> None:
    with pytest.raises(DivergedError):
        fit(spec(data={"noise": 3e38}, split={"shuffle": True}))


# ---- start from a version ----


@pytest.mark.parametrize("kind", ["parameters", "linear", "mlp"])
@pytest.mark.parametrize("standardize", [False, True])
def test_start_from_predicts_the_same_before_any_step(kind: str, standardize: bool) -> None:
    x_old, y_old = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
    old = fit(points(x_old, y_old, architecture={"kind": kind}, epochs=20))
    x = [10.0, 20.0, 40.0, 80.0, 30.0]
    asked = points(
        x,
        [1.0, 2.0, 3.0, 4.0, 5.0],
        architecture=old.bundle.architecture.model_dump(),
        standardize=standardize,
        optimizer={"kind": "sgd", "lr": 1e-30},  # a step that moves nothing
        epochs=1,
        early_stopping=None,
    )
    new = fit(asked, start_from=old.bundle)
    assert (new.bundle.scaling is not None) == standardize
    x_N1 = torch.tensor(x)[:, None]
    # Folding one scaling into another rounds each parameter to float32 once.
    torch.testing.assert_close(
        Predictor(new.bundle, CPU).predict(x_N1),
        Predictor(old.bundle, CPU).predict(x_N1),
        rtol=1e-5,
        atol=1e-5,
        check_dtype=False,
    )


def test_start_from_goes_on_where_it_stood() -> None:
    half = fit(spec(epochs=60, evaluate_every=1))
    rest = fit(spec(epochs=60, evaluate_every=1), start_from=half.bundle)
    whole = fit(spec(epochs=120, evaluate_every=1))
    assert [p.train_loss for p in half.curve + rest.curve] == [p.train_loss for p in whole.curve]


@pytest.mark.parametrize(
    "asked",
    [
        {"architecture": {"kind": "parameters"}},
        {"architecture": {"kind": "mlp"}},
        {"data": {"source": "points", "x": [[1, 2], [3, 4], [5, 7]], "y": [1, 2, 3]}},
        {"data": {"source": "points", "x": [1, 2, 3], "y": [[1, 2], [3, 4], [5, 7]]}},
    ],
)
def test_start_from_another_architecture_or_shape_is_refused(asked: dict[str, Any]) -> None:
    old = fit(spec(epochs=1)).bundle
    with pytest.raises(InputError, match="cannot start from linear with 1 features"):
        fit(spec(**asked), start_from=old)


# ---- what a training tells ----


def test_the_result_says_where_its_numbers_come_from() -> None:
    fitted = fit(spec(epochs=3))
    assert fitted.truth is not None
    assert (fitted.truth.weight, fitted.truth.bias) == (0.7, 0.3)
    assert fitted.least_squares is not None
    assert fitted.least_squares.weight_TF.item() == pytest.approx(0.7, rel=1e-6)
    assert fitted.environment.torch == torch.__version__
    assert (fitted.environment.device, fitted.best_epoch) == ("cpu", None)
    assert fitted.bundle.feature_names == ("x",)


def test_metrics_are_those_of_the_raw_rows_and_losses_those_of_the_training() -> None:
    asked = points(
        [float(i) for i in range(10)],
        [2.0 * i + (-1) ** i for i in range(10)],
        split={"train": 0.6, "validation": 0.2, "shuffle": False},
    )
    run = Fit(asked, CPU)
    list(run)
    fitted = run.result()
    predictor = Predictor(fitted.bundle, CPU)
    for name in ("train", "validation", "test"):
        part = getattr(run.parts, name)
        error_N1 = predictor.predict(part.x_NF).double() - part.y_NT
        assert fitted.metrics[f"{name}_mae"] == pytest.approx(float(error_N1.abs().mean()))
        assert fitted.bundle.scaling is not None
        scaled_N1 = error_N1 / fitted.bundle.scaling.y_std_T
        assert fitted.metrics[f"{name}_loss"] == pytest.approx(
            float(scaled_N1.square().mean()), rel=1e-4
        )


def test_scaling_comes_from_the_training_rows_alone() -> None:
    x = [0.0, 1.0, 2.0, 3.0, 1000.0]
    fitted = fit(points(x, [0.0, 1.0, 2.0, 3.0, 4.0], split={"train": 0.8, "shuffle": False}))
    assert fitted.bundle.scaling is not None
    assert fitted.bundle.scaling.x_mean_F.item() == 1.5


def test_the_same_spec_gives_the_same_bits_and_another_seed_others() -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        x = [i / 10 for i in range(30)]
        asked = points(
            x,
            [value**2 for value in x],
            architecture={"kind": "mlp", "hidden": [8], "dropout": 0.2},
            batch_size=7,
            epochs=10,
            seed=seed,
        )
        return fit(asked).bundle.state

    one, same, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not any(torch.equal(one[key], other[key]) for key in one)


def test_the_data_digest_follows_the_data_and_not_the_training() -> None:
    digests = [
        fit(spec(epochs=epochs, data={"weight": weight})).data_sha256
        for epochs, weight in [(1, 0.7), (2, 0.7), (1, 0.8)]
    ]
    assert digests[0] == digests[1] != digests[2]


def test_progress_is_told_and_the_curve_is_its_points() -> None:
    told: list[Progress] = []
    fitted = fit(spec(epochs=10, evaluate_every=4), on_progress=told.append)
    assert [progress.epochs_done for progress in told if progress.point] == [1, 5, 9, 10]
    assert tuple(progress.point for progress in told if progress.point) == fitted.curve
    assert all(isinstance(point, Point) for point in fitted.curve)


def test_closing_a_fit_stops_it() -> None:
    turning = iter(Fit(spec(epochs=10**9, evaluate_every=1), CPU))
    assert next(turning).epochs_done == 1
    turning.close()  # type: ignore[attr-defined]
    assert next(turning, None) is None


def test_no_row_to_train_on_is_refused_where_a_spec_was_not_checked() -> None:
    unchecked = spec().model_copy(update={"split": SplitSpec(train=0.01), "data": LineSpec()})
    with pytest.raises(DataError, match="leave no row to train on"):
        Fit(unchecked, CPU)
