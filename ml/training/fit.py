"""One training from spec to result, turned step by step."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ml.artifact import Bundle, require_fit
from ml.data.dataset import DatasetFiles
from ml.data.rowfile import RowFile
from ml.data.scaling import Range, Scaling, fit_range, fit_scaling
from ml.data.sources import load_parts
from ml.data.split import Parts
from ml.data.table import Rows, Truth
from ml.errors import DivergedError, OverflowedError
from ml.models.architecture import StateDict
from ml.models.build import build_model, can_fold, line_of
from ml.models.check import check_architecture
from ml.predictor import Predictor
from ml.spec.dataset import DatasetSpec
from ml.spec.model import BUILT_IN
from ml.spec.training import TrainingSpec
from ml.training.caveats import Outcome, caveats
from ml.training.evaluate import Tally
from ml.training.loop import Budget, Loop, Point, Progress, check_finite
from ml.training.losses import build_loss
from ml.training.optimizers import build_optimizer
from ml.training.optimum import Gap, LeastSquares, least_squares
from ml.training.parts import AnyPart, make_part

ABSURD = 100
"""A training that ends with so many times the loss of always answering 0, and twice the loss that
it began with, took too large steps, even where each number stayed finite: L1 swings for ever
instead of overflowing."""


RAW_GAP_ROWS = 10_000
"""Training rows on which the state_dict in raw units is compared with the service."""


@dataclass(frozen=True)
class Environment:
    """What the numbers of a training depend on beside its spec."""

    torch: str
    numpy: str
    python: str
    device: str
    threads: int
    dtype: str
    """Of the parameters while they were trained."""
    streamed: bool
    """Whether the rows were read from disk block by block."""


@dataclass(frozen=True)
class Fitted:
    """What a training gives."""

    bundle: Bundle
    curve: tuple[Point, ...]
    metrics: dict[str, float | None]
    """`train_loss` and `test_loss` in the units of the training; `test_mae`, … in raw units."""
    truth: Truth | None
    least_squares: LeastSquares | None
    """Of a linear model: the optimum in closed form; how far the model is from it is `gap`."""
    gap: float | None
    """Root mean square difference between its predictions for the training rows and those of the
    optimum, in standard deviations of y."""
    warnings: tuple[str, ...]
    """What a person should know, in words."""
    data_sha256: str
    rows: dict[str, int]
    """Rows of each part, and how many were left out as incomplete."""
    environment: Environment
    best_epoch: int | None


class Fit:
    """A training that is prepared; iterate over it, then ask for its ``result``.

    Raises, while made:
        DataError: the rows cannot be used as asked.
        InputError: ``start_from`` has another architecture or other shapes than the model.
        PluginError, ArchitectureError: an architecture that a package brings cannot be trained.
    Raises, while iterated or asked for its result:
        DivergedError: a loss, a metric or a parameter is no longer finite, or the loss is absurd.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        device: torch.device,
        start_from: Bundle | None = None,
        files: DatasetFiles | None = None,
    ) -> None:
        self.spec = spec
        self.device = device
        self._loaded = load_parts(spec, files)
        self.parts: Parts[Rows] = self._loaded.parts
        train = self.parts.train
        self._features, self._targets = len(train.column_names), len(train.target_names)
        self._range: Range = fit_range(train)
        statistics = fit_scaling(train)
        self._scaling: Scaling | None = statistics if spec.standardize else None
        self._optimum = least_squares(train, statistics) if spec.architecture.linear else None
        # Seeded twice, as the tutorial does: before the parameters are drawn and before the loop.
        torch.manual_seed(spec.seed)
        self._model = self._new_model(start_from)
        torch.manual_seed(spec.seed)
        self._loop = Loop(
            model=self._model,
            loss=build_loss(spec.loss),
            optimizer=build_optimizer(spec.optimizer, self._model.parameters()),
            train=self._part(train),
            validation=self._part(self.parts.validation),
            test=self._part(self.parts.test),
            budget=Budget(
                spec.epochs,
                spec.evaluate_every,
                spec.batch_size,
                spec.early_stopping,
                spec.seed,
                spec.schedule,
                spec.clip_grad_norm,
            ),
        )
        self._curve: list[Point] = []

    def _new_model(self, start_from: Bundle | None) -> nn.Module:
        architecture, is_ours = self.spec.architecture, type(self.spec.architecture) in BUILT_IN
        if not is_ours:
            check_architecture(architecture, self._features, self._targets)
        model = build_model(architecture, self._features, self._targets)
        if start_from is not None:
            categories = self.parts.train.categories
            require_fit(start_from, architecture, self._features, self._targets, categories)
            model.load_state_dict(start_from.state_for(self._scaling))
        self._dtypes = {key: values.dtype for key, values in model.state_dict().items()}
        # L-BFGS compares losses that differ by next to nothing: in float32 it stalls far from the
        # optimum where features are correlated. SciPy and scikit-learn run it in float64 too. Apple
        # GPUs have no float64, and of another's module we do not know whether it can be cast.
        # Without standardization rounding is the least of its troubles, and the line keeps the bits
        # of the tutorial's loop.
        by_lbfgs = self.spec.optimizer.kind == "lbfgs" and self.spec.standardize
        in_float64 = by_lbfgs and is_ours and self.device.type != "mps"
        self._dtype = torch.float64 if in_float64 else torch.float32
        return (model.double() if in_float64 else model).to(self.device)

    def _part(self, rows: Rows) -> AnyPart:
        return make_part(rows, self._scaling, self.device, self._dtype)

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
            key: values.detach().cpu().to(self._dtypes[key], copy=True)
            for key, values in self._model.state_dict().items()
        }
        for key, values in state.items():
            if not bool(values.isfinite().all()):
                raise DivergedError(f"the parameter {key} is not finite")
        self._check_sense()
        train, data = self.parts.train, self.spec.data
        bundle = Bundle(
            architecture=self.spec.architecture,
            feature_names=train.feature_names,
            target_names=train.target_names,
            scaling=self._scaling,
            state=state,
            categories=train.categories,
            booleans=data.booleans if isinstance(data, DatasetSpec) else (),
            range=self._range,
        )
        metrics, gap = self._metrics(Predictor(bundle, self.device))
        if gap is not None:
            metrics["least_squares_gap"] = gap
        outcome = Outcome(
            optimum=self._optimum,
            gap=gap,
            converged=self._loop.converged or self.spec.optimizer.kind != "lbfgs",
            raw_gap=self._raw_gap(bundle),
            targets_vary=metrics["train_r2"] is not None,
        )
        return Fitted(
            bundle=bundle,
            curve=tuple(self._curve),
            metrics=metrics,
            truth=self._loaded.truth,
            least_squares=self._shown_optimum(bundle),
            gap=gap,
            warnings=caveats(self.spec, self._loaded, self._range, outcome),
            data_sha256=self._loaded.sha256,
            rows={
                "train": len(train),
                "validation": len(self.parts.validation),
                "test": len(self.parts.test),
                "left_out": self._loaded.dropped_rows,
            },
            environment=Environment(
                torch=torch.__version__,
                numpy=np.__version__,
                python=platform.python_version(),
                device=str(self.device),
                threads=torch.get_num_threads(),
                dtype=str(self._dtype).removeprefix("torch."),
                streamed=isinstance(train, RowFile),
            ),
            best_epoch=self._loop.best_epoch,
        )

    def _shown_optimum(self, bundle: Bundle) -> LeastSquares | None:
        optimum = self._optimum
        if optimum is None or optimum.rank == self._features:
            return optimum
        line = line_of(bundle.architecture, bundle.state_for(optimum.scaling))
        return optimum if line is None else optimum.nearest_to(line.weight_TF)

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
        of_zero = sum(
            float(self._loop.loss(torch.zeros_like(y_NT), y_NT)) * (len(y_NT) / len(train))
            for _, y_NT in train.blocks()
        )
        # 1: where y is all 0, or tiny, a loss below that is still no sign of large steps.
        if ended > max(ABSURD * max(of_zero, 1.0), 2 * began):
            raise DivergedError(f"the train loss began at {began:.3g} and ended at {ended:.3g}")

    def _metrics(self, predictor: Predictor) -> tuple[dict[str, float | None], float | None]:
        """The metrics of every part, and the gap of a linear model to its optimum."""
        metrics: dict[str, float | None] = {}
        parts = {
            "train": (self.parts.train, self._loop.train),
            "validation": (self.parts.validation, self._loop.validation),
            "test": (self.parts.test, self._loop.test),
        }
        gap = None if self._optimum is None else Gap(self._optimum)
        for name, (rows, part) in parts.items():
            if len(rows) == 0:
                continue
            loss = self._loop.loss_of(part)
            check_finite(loss, f"{name} loss", self.spec.epochs)
            metrics[f"{name}_loss"] = loss
            tally = Tally()
            done = 0
            for x_NF, y_NT in rows.blocks():
                try:
                    pred_NT = predictor.predict(x_NF)
                except OverflowedError as error:
                    row = done + (error.row or 0)
                    message = f"the prediction for {name} row {row} is beyond float32"
                    raise DivergedError(message) from error
                tally.add(pred_NT, y_NT)
                if gap is not None and name == "train":
                    gap.add(x_NF, pred_NT)
                done += len(x_NF)
            metrics |= tally.metrics().named(name)
        return metrics, None if gap is None else gap.value()

    def _raw_gap(self, bundle: Bundle) -> float | None:
        """How far the state_dict in raw units, which people may download, predicts otherwise than
        the service, in standard deviations of y; None where there is none in raw units."""
        if bundle.scaling is None or not can_fold(bundle.architecture):
            return None
        x_NF = self.parts.train.sample(RAW_GAP_ROWS).x_NF
        raw = replace(bundle, scaling=None, state=bundle.raw_state())
        try:
            by_raw_NT = Predictor(raw, self.device).predict(x_NF)
        except OverflowedError:
            return math.inf
        apart_NT = by_raw_NT.double() - Predictor(bundle, self.device).predict(x_NF)
        return float((apart_NT.square().mean(dim=0).sqrt() / bundle.scaling.y_std_T).max())


def fit(
    spec: TrainingSpec,
    device: torch.device | None = None,
    start_from: Bundle | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    files: DatasetFiles | None = None,
) -> Fitted:
    """Train to the end, on the CPU where no device is given.

    Raises:
        MLError: as `Fit` does.
    """
    run = Fit(spec, device or torch.device("cpu"), start_from, files)
    for progress in run:
        on_progress(progress)
    return run.result()
