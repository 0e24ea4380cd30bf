"""One training from spec to result, turned step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from functools import cached_property

import torch
from torch import nn

from ml.artifact import Bundle, require_fit
from ml.data.dataset import DatasetFiles
from ml.data.rowfile import RowFile
from ml.data.scaling import Range, Scaling, fit_range, fit_scaling
from ml.data.sources import load_parts
from ml.data.split import Parts
from ml.data.table import Rows, Truth
from ml.errors import CheckpointError, DivergedError, OverflowedError
from ml.models.architecture import StateDict
from ml.models.build import build_model, line_of
from ml.models.check import check_architecture
from ml.predictor import Predictor
from ml.spec.dataset import DatasetSpec
from ml.spec.model import BUILT_IN
from ml.spec.training import TrainingSpec
from ml.training.caveats import Outcome, caveats
from ml.training.checkpoint import Checkpoint, identity
from ml.training.environment import Environment, environment
from ml.training.evaluate import Tally
from ml.training.loop import Budget, Loop, Point, Progress
from ml.training.losses import build_loss, check_finite
from ml.training.optimizers import build_optimizer
from ml.training.optimum import Gap, LeastSquares, least_squares
from ml.training.parts import AnyPart, make_part
from ml.training.sense import check_sense, raw_gap


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

    With ``resume`` it goes on from there, and ``start_from`` is not looked at.

    Raises, while made:
        DataError: the rows cannot be used as asked.
        InputError: ``start_from`` has another architecture or other shapes than the model.
        PluginError, ArchitectureError: an architecture that a package brings cannot be trained.
        CheckpointError: ``resume`` is of another training, or was made elsewhere.
    Raises, while iterated or asked for its result:
        DivergedError: a loss, a metric or a parameter is no longer finite, or the loss is absurd.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        device: torch.device,
        start_from: Bundle | None = None,
        files: DatasetFiles | None = None,
        resume: Checkpoint | None = None,
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
        self._model = self._new_model(None if resume else start_from)
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
        if resume is not None:
            self._go_on_from(resume)

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        checkpoint.require(self._identity)
        try:
            self._loop.load_state(checkpoint.state["loop"])
            self._curve += [Point(*values) for values in checkpoint.state["curve"]]
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            # Whole, but not as this version of Refit keeps it.
            raise CheckpointError(f"it holds something else: {error!r}") from error

    @property
    def curve(self) -> tuple[Point, ...]:
        """The points so far, with those made before the checkpoint that this goes on from."""
        return tuple(self._curve)

    def checkpoint(self) -> Checkpoint:
        """All that another `Fit` of the same spec needs to go on from here to the same bits, on
        the CPU; for before the iteration, or at any `Progress`. Taking it changes nothing."""
        curve = [astuple(point) for point in self._curve]
        return Checkpoint(self._identity, {"loop": self._loop.state(), "curve": curve})

    def checkpoint_bytes(self) -> int:
        """About how large a checkpoint is."""
        return self._loop.state_bytes()

    @cached_property
    def _environment(self) -> Environment:
        return environment(self.device, self._dtype, isinstance(self.parts.train, RowFile))

    @cached_property
    def _identity(self) -> Mapping[str, str]:
        return identity(self.spec, self._loaded.sha256, self._environment)

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
        check_sense(self._loop, self._curve)
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
            raw_gap=raw_gap(bundle, train, self.device),
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
            environment=self._environment,
            best_epoch=self._loop.best_epoch,
        )

    def _shown_optimum(self, bundle: Bundle) -> LeastSquares | None:
        optimum = self._optimum
        if optimum is None or optimum.rank == self._features:
            return optimum
        line = line_of(bundle.architecture, bundle.state_for(optimum.scaling))
        return optimum if line is None else optimum.nearest_to(line.weight_TF)

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
