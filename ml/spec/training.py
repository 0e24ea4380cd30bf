"""One training in full: data, split, architecture, loss, optimizer, budget, and defaults."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, model_validator

from ml.spec.base import Number, Spec, check_field_count, fail_at
from ml.spec.data import DataSpec, LineSpec, PointsSpec
from ml.spec.dataset import DATASETS, DatasetSpec
from ml.spec.model import ArchitectureSpec, LinearSpec, is_linear

LossName = Literal["l1", "mse", "huber"]

LearningRate = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]


class SplitCounts(NamedTuple):
    """Rows of each part."""

    train: int
    validation: int
    test: int


class SplitSpec(Spec):
    """Fractions of the rows; the test part is what is left."""

    train: Annotated[float, Field(gt=0, le=1)] = 0.8
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shuffle: bool = False
    """Shuffle the rows by the seed before they are split."""

    @model_validator(mode="after")
    def _is_at_most_one(self) -> SplitSpec:
        # 1e-9: fractions such as 0.7 + 0.3 may miss 1 by a rounding.
        if self.train + self.validation > 1 + 1e-9:
            message = (
                f"train {self.train:g} and validation {self.validation:g} add up to more than 1"
            )
            fail_at(("validation",), "split_above_one", message)
        return self

    def counts(self, rows: int) -> SplitCounts:
        """Rows of each part; ``int(train * rows)`` is the tutorial's own formula."""
        train = int(self.train * rows)
        left = rows - train
        if self.train + self.validation >= 1 - 1e-9:
            return SplitCounts(
                train, left if self.validation else 0, 0 if self.validation else left
            )
        validation = min(left, math.floor(self.validation * rows + 1e-9))
        return SplitCounts(train, validation, left - validation)


class SgdSpec(Spec):
    """`torch.optim.SGD`."""

    kind: Literal["sgd"] = "sgd"
    lr: LearningRate = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: NotNegative = 0.0


class AdamSpec(Spec):
    """`torch.optim.Adam`."""

    kind: Literal["adam"] = "adam"
    lr: LearningRate = 0.01
    weight_decay: NotNegative = 0.0


class AdamWSpec(Spec):
    """`torch.optim.AdamW`."""

    kind: Literal["adamw"] = "adamw"
    lr: LearningRate = 0.01
    weight_decay: NotNegative = 0.01


class LbfgsSpec(Spec):
    """`torch.optim.LBFGS` with the strong Wolfe line search; needs every row in one batch."""

    kind: Literal["lbfgs"] = "lbfgs"
    lr: LearningRate = 1.0


OptimizerSpec = Annotated[SgdSpec | AdamSpec | AdamWSpec | LbfgsSpec, Field(discriminator="kind")]


class ConstantSpec(Spec):
    """The learning rate of the optimizer, at every step."""

    kind: Literal["constant"] = "constant"


class CosineSpec(Spec):
    """From the optimizer's learning rate down half a cosine, a little after every epoch."""

    kind: Literal["cosine"] = "cosine"
    final_lr: NotNegative = 0.0
    """Where the cosine ends, one epoch after the last."""


class OneCycleSpec(Spec):
    """Up to a peak in three tenths of all steps, then down to almost nothing (Smith, 2018).

    It begins at a 25th of the peak and ends at a 250,000th; the momentum stays as it is.
    """

    kind: Literal["one_cycle"] = "one_cycle"
    max_lr: LearningRate | None = None
    """The peak; null for the optimizer's learning rate."""


class PlateauSpec(Spec):
    """Lower the learning rate when a loss no longer falls by a part in 10,000.

    It watches the validation loss, without that part the test loss, without both the train loss.
    """

    kind: Literal["plateau"] = "plateau"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 10
    """Epochs without a gain that are let pass; the next one lowers the learning rate."""
    min_lr: NotNegative = 0.0


ScheduleSpec = Annotated[
    ConstantSpec | CosineSpec | OneCycleSpec | PlateauSpec, Field(discriminator="kind")
]


class EarlyStoppingSpec(Spec):
    """Stop when the watched loss has not fallen by more than `min_delta` for `patience` epochs."""

    patience: Annotated[int, Field(ge=1)] = 20
    min_delta: NotNegative = 0.0


class TrainingSpec(Spec):
    """What a training is asked to do; with no field at all, the tutorial's line.

    Defaults depend on the source of the data: the line is trained as the tutorial trains it; real
    rows are standardized, shuffled, and fitted by an optimizer that needs no tuning.
    """

    data: DataSpec = LineSpec()
    split: SplitSpec = SplitSpec()
    architecture: ArchitectureSpec = LinearSpec()
    loss: LossName = "l1"
    """`l1` for the line, `mse` for other sources."""
    optimizer: OptimizerSpec = SgdSpec()
    """SGD for the line; for other sources L-BFGS where the model is linear, else Adam."""
    epochs: Annotated[int, Field(ge=1)] = 1000
    """Passes over the training rows; 50 with L-BFGS."""
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Rows of one step; null takes all of them at once."""
    evaluate_every: Annotated[int, Field(ge=1)] = 100
    """Epochs between two points of the learning curve; a tenth of `epochs` where not given."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    standardize: bool = False
    """Scale x and y by training statistics, kept in the artifact; true but for the line."""
    early_stopping: EarlyStoppingSpec | None = None
    """Watches the validation loss, or the test loss where there is no validation part."""
    schedule: ScheduleSpec = ConstantSpec()
    """How the learning rate changes while training; L-BFGS takes `constant` only."""
    clip_grad_norm: Annotated[Number, Field(gt=0)] | None = None
    """Longest gradient of all parameters together, longer ones are shortened; not for L-BFGS."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_defaults(cls, asked: Any, info: ValidationInfo) -> Any:
        if not isinstance(asked, dict):
            return asked
        return with_defaults(check_field_count(asked), _rows(asked.get("data"), info))

    @model_validator(mode="after")
    def _lbfgs_steps_by_itself(self) -> TrainingSpec:
        if self.optimizer.kind == "lbfgs":
            if self.schedule.kind != "constant":
                message = "`lbfgs` finds the length of its steps itself: leave schedule constant"
                fail_at(("schedule",), "schedule_with_lbfgs", message)
            if self.clip_grad_norm is not None:
                message = "`lbfgs` needs gradients as they are: leave clip_grad_norm null"
                fail_at(("clip_grad_norm",), "clip_with_lbfgs", message)
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingSpec:
        counts = self.split.counts(self.data.rows)
        if counts.train == 0:
            message = f"{self.data.rows} rows × {self.split.train:g} leave no row to train on"
            fail_at(("split", "train"), "split_empty", message)
        if why := self.architecture.refusal(self.data.feature_count, self.data.target_count):
            fail_at(("architecture", "kind"), "architecture_shape", why)
        if self.optimizer.kind == "lbfgs" and self.batch_size is not None:
            message = "`lbfgs` needs every row in one batch: leave batch_size null"
            fail_at(("batch_size",), "batch_with_lbfgs", message)
        if self.early_stopping is not None and counts.validation + counts.test == 0:
            message = "there is no validation or test row to watch: lower split.train"
            fail_at(("early_stopping",), "nothing_to_watch", message)
        if self.architecture.needs_two_rows:
            last = counts.train if self.batch_size is None else counts.train % self.batch_size
            if 1 in (last, counts.train, self.batch_size):
                message = "batch norm cannot train on a batch of one row: choose another batch_size"
                fail_at(("batch_size",), "batch_of_one", message)
        return self


FEW_ROWS = 10
"""Fewer given rows than these are all trained on, unless a split is asked for."""

MANY_ROWS = 10_000
"""From here on a step over all rows at once is wasteful where the model is not linear."""

BATCH_ROWS = 1024
STEPS = 100_000
"""Steps of a training in batches, as far as 10 to 1000 epochs allow; early stopping ends most."""


def _rows(data: Any, info: ValidationInfo) -> int:
    """How many rows a request speaks of, before it is validated; 0 where that is unknown."""
    if isinstance(data, PointsSpec | DatasetSpec):
        return data.rows
    x, dataset = _get(data, "x", None), _get(data, "dataset", None)
    find = (info.context or {}).get(DATASETS)
    if isinstance(dataset, str) and find is not None and _get(data, "source", "") == "dataset":
        rows: int = find(dataset).rows
        return rows
    return len(x) if isinstance(x, list | tuple) else 0


def with_defaults(asked: dict[str, Any], rows: int = 0) -> dict[str, Any]:
    """A copy of ``asked`` in which every missing field has the default that suits its data.

    Sub-objects may be dicts or specs; what is malformed is left for validation to name.
    """
    source = _get(asked.get("data"), "source", "line")
    kind = _get(asked.get("architecture"), "kind", "linear")
    real_rows, linear = source != "line", is_linear(kind)
    # A part held out of a handful of rows would say little, and its rows would be missed.
    few = real_rows and 0 < rows < FEW_ROWS and not asked.get("early_stopping")
    train = 1.0 if few else 0.8
    split = _with(asked, "split", train=train, shuffle=real_rows)
    # With every row in training, there would be nothing to watch.
    watched = real_rows and not linear and _get(split, "train", train) != 1
    filled = {
        "standardize": real_rows,
        "loss": "mse" if real_rows else "l1",
        "early_stopping": {} if watched else None,
        **asked,
        "data": _with(asked, "data", source=source),
        "architecture": _with(asked, "architecture", kind=kind),
        "split": split,
    }
    solver = ("lbfgs" if linear else "adam") if real_rows else "sgd"
    filled["optimizer"] = _with(asked, "optimizer", kind=solver)
    by_lbfgs = _get(filled["optimizer"], "kind", solver) == "lbfgs"
    epochs = 50 if by_lbfgs else 1000
    if not linear and rows > MANY_ROWS and not by_lbfgs:
        size = filled.setdefault("batch_size", BATCH_ROWS)
        if isinstance(size, int) and size > 0:
            epochs = min(1000, max(10, STEPS * size // rows))
    filled.setdefault("epochs", epochs)
    epochs = filled["epochs"]
    if isinstance(epochs, int) and "evaluate_every" not in filled:
        # The tutorial prints every 10th of 100 epochs and every 100th of 1000.
        filled["evaluate_every"] = max(1, epochs // 10)
    return filled


def _with(asked: dict[str, Any], field: str, **defaults: Any) -> Any:
    part = asked.get(field, {})
    return {**defaults, **part} if isinstance(part, dict) else part


def _get(part: Any, field: str, default: str | float | None) -> Any:
    if isinstance(part, dict):
        return part.get(field, default)
    return getattr(part, field, default)
