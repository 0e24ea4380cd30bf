"""One training from spec to result, turned step by step."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from ml.artifact import Bundle, require_fit
from ml.data.scaling import Scaling, fit_scaling
from ml.data.sources import load_table
from ml.data.split import Parts, split_table
from ml.data.table import Table, Truth
from ml.errors import DivergedError, OverflowedError
from ml.models.architecture import StateDict
from ml.models.build import build_model
from ml.predictor import Predictor
from ml.spec.training import TrainingSpec
from ml.training.evaluate import LeastSquares, least_squares, measure
from ml.training.loop import Budget, Loop, Part, Point, Progress, check_finite
from ml.training.losses import build_loss
from ml.training.optimizers import build_optimizer

ABSURD = 100
"""A training that ends with so many times the loss of always answering 0, and twice the loss that
it began with, took too large steps, even where each number stayed finite: L1 swings for ever
instead of overflowing."""


@dataclass(frozen=True)
class Environment:
    """What the numbers of a training depend on beside its spec."""

    torch: str
    python: str
    device: str
    threads: int


@dataclass(frozen=True)
class Fitted:
    """What a training gives."""

    bundle: Bundle
    curve: tuple[Point, ...]
    metrics: dict[str, float | None]
    """`train_loss` and `test_loss` in the units of the training; `test_mae`, … in raw units."""
    truth: Truth | None
    least_squares: LeastSquares | None
    data_sha256: str
    environment: Environment
    best_epoch: int | None


class Fit:
    """A training that is prepared; iterate over it, then ask for its ``result``.

    Raises, while made:
        DataError: the rows cannot be used as asked.
        InputError: ``start_from`` has another architecture or other shapes than the model.
    Raises, while iterated or asked for its result:
        DivergedError: a loss, a metric or a parameter is no longer finite, or the loss is absurd.
    """

    def __init__(
        self, spec: TrainingSpec, device: torch.device, start_from: Bundle | None = None
    ) -> None:
        self.spec = spec
        self.device = device
        table = load_table(spec.data, spec.seed)
        self.parts: Parts = split_table(table, spec.split, spec.seed)
        self._data_sha256 = table.sha256()
        self._truth = table.truth
        self._scaling: Scaling | None = fit_scaling(self.parts.train) if spec.standardize else None
        # Seeded twice, as the tutorial does: before the parameters are drawn and before the loop.
        torch.manual_seed(spec.seed)
        self._features, self._targets = table.x_NF.shape[1], table.y_NT.shape[1]
        model = build_model(spec.architecture, self._features, self._targets)
        if start_from is not None:
            require_fit(start_from, spec.architecture, self._features, self._targets)
            model.load_state_dict(start_from.state_for(self._scaling))
        self._model = model.to(device)
        torch.manual_seed(spec.seed)
        self._loop = Loop(
            model=self._model,
            loss=build_loss(spec.loss),
            optimizer=build_optimizer(spec.optimizer, self._model.parameters()),
            train=self._on_device(self.parts.train),
            validation=self._on_device(self.parts.validation),
            test=self._on_device(self.parts.test),
            budget=Budget(
                spec.epochs, spec.evaluate_every, spec.batch_size, spec.early_stopping, spec.seed
            ),
        )
        self._curve: list[Point] = []

    def _on_device(self, part: Table) -> Part:
        if self._scaling is None:
            x_NF, y_NT = part.x_NF.float(), part.y_NT.float()
        else:
            x_NF, y_NT = self._scaling.scale_x(part.x_NF), self._scaling.scale_y(part.y_NT)
        return Part(x_NF.to(self.device), y_NT.to(self.device))

    def __iter__(self) -> Iterator[Progress]:
        try:
            for progress in self._loop:
                if progress.point is not None:
                    self._curve.append(progress.point)
                yield progress
        except RuntimeError as error:
            # torch refuses a step that is larger than float32 can hold, and says it so.
            if "without overflow" not in str(error):
                raise
            raise DivergedError("a step of the optimizer is beyond float32") from error

    def result(self) -> Fitted:
        """Measure the trained model; valid once the iteration has ended."""
        state: StateDict = {
            key: values.detach().cpu().clone() for key, values in self._model.state_dict().items()
        }
        for key, values in state.items():
            if not bool(values.isfinite().all()):
                raise DivergedError(f"the parameter {key} is not finite")
        self._check_sense()
        bundle = Bundle(
            architecture=self.spec.architecture,
            feature_names=self.parts.train.feature_names,
            target_names=self.parts.train.target_names,
            scaling=self._scaling,
            state=state,
        )
        is_line = self.spec.architecture.kind != "mlp"
        return Fitted(
            bundle=bundle,
            curve=tuple(self._curve),
            metrics=self._metrics(Predictor(bundle, self.device)),
            truth=self._truth,
            least_squares=least_squares(self.parts.train) if is_line else None,
            data_sha256=self._data_sha256,
            environment=Environment(
                torch=torch.__version__,
                python=platform.python_version(),
                device=str(self.device),
                threads=torch.get_num_threads(),
            ),
            best_epoch=self._loop.best_epoch,
        )

    def _check_sense(self) -> None:
        """Refuse a model that training made absurd.

        Raises:
            DivergedError: it ended far worse than it began, and than one that always answers 0.
        """
        train = self._loop.train
        losses = [self._loop.loss_of(train) or 0.0]
        if self._loop.best_epoch is None:
            # Steps that are too large may swing back to where they began just at the end.
            losses.append(self._curve[-1].train_loss)
        ended, began = max(losses), self._curve[0].train_loss
        of_zero = float(self._loop.loss(torch.zeros_like(train.y_NT), train.y_NT))
        # 1: where y is all 0, or tiny, a loss below that is still no sign of large steps.
        if ended > max(ABSURD * max(of_zero, 1.0), 2 * began):
            raise DivergedError(f"the train loss began at {began:.3g} and ended at {ended:.3g}")

    def _metrics(self, predictor: Predictor) -> dict[str, float | None]:
        metrics: dict[str, float | None] = {}
        parts = {
            "train": (self.parts.train, self._loop.train),
            "validation": (self.parts.validation, self._loop.validation),
            "test": (self.parts.test, self._loop.test),
        }
        for name, (table, part) in parts.items():
            if len(table):
                loss = self._loop.loss_of(part)
                check_finite(loss, f"{name} loss", self.spec.epochs)
                metrics[f"{name}_loss"] = loss
                try:
                    pred_NT = predictor.predict(table.x_NF)
                except OverflowedError as error:
                    message = f"the prediction for {name} row {error.row} is beyond float32"
                    raise DivergedError(message) from error
                metrics |= measure(pred_NT, table.y_NT).named(name)
        return metrics


def fit(
    spec: TrainingSpec,
    device: torch.device | None = None,
    start_from: Bundle | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Fitted:
    """Train to the end, on the CPU where no device is given.

    Raises:
        MLError: as `Fit` does.
    """
    run = Fit(spec, device or torch.device("cpu"), start_from)
    for progress in run:
        on_progress(progress)
    return run.result()
