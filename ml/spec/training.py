"""One training in full: data, split, architecture, loss, optimizer, budget, and defaults."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from ml.spec.base import Number, Spec, check_field_count, fail_at
from ml.spec.data import DataSpec, LineSpec
from ml.spec.model import ArchitectureSpec, LinearSpec

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

    @model_validator(mode="before")
    @classmethod
    def _fill_in_defaults(cls, asked: Any) -> Any:
        return with_defaults(check_field_count(asked)) if isinstance(asked, dict) else asked

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingSpec:
        counts = self.split.counts(self.data.rows)
        kind = self.architecture.kind
        if counts.train == 0:
            message = f"{self.data.rows} rows × {self.split.train:g} leave no row to train on"
            fail_at(("split", "train"), "split_empty", message)
        if kind == "parameters" and (self.data.features, self.data.targets) != (1, 1):
            message = (
                f"`parameters` takes one feature and one target, the data has {self.data.features} "
                f"and {self.data.targets}; use `linear`"
            )
            fail_at(("architecture", "kind"), "architecture_shape", message)
        if self.optimizer.kind == "lbfgs" and self.batch_size is not None:
            message = "`lbfgs` needs every row in one batch: leave batch_size null"
            fail_at(("batch_size",), "batch_with_lbfgs", message)
        if self.early_stopping is not None and counts.validation + counts.test == 0:
            message = "there is no validation or test row to watch: lower split.train"
            fail_at(("early_stopping",), "nothing_to_watch", message)
        if self.architecture.kind == "mlp" and self.architecture.batch_norm:
            last = counts.train if self.batch_size is None else counts.train % self.batch_size
            if 1 in (last, counts.train, self.batch_size):
                message = "batch norm cannot train on a batch of one row: choose another batch_size"
                fail_at(("batch_size",), "batch_of_one", message)
        return self


def with_defaults(asked: dict[str, Any]) -> dict[str, Any]:
    """A copy of ``asked`` in which every missing field has the default that suits its data.

    Sub-objects may be dicts or specs; what is malformed is left for validation to name.
    """
    source = _get(asked.get("data"), "source", "line")
    kind = _get(asked.get("architecture"), "kind", "linear")
    real_rows = source != "line"
    # With every row in training, there would be nothing to watch.
    watched = real_rows and kind == "mlp" and _get(asked.get("split"), "train", 0.8) != 1
    filled = {
        "standardize": real_rows,
        "loss": "mse" if real_rows else "l1",
        "early_stopping": {} if watched else None,
        **asked,
        "data": _with(asked, "data", source=source),
        "architecture": _with(asked, "architecture", kind=kind),
        "split": _with(asked, "split", shuffle=real_rows),
    }
    solver = ("adam" if kind == "mlp" else "lbfgs") if real_rows else "sgd"
    filled["optimizer"] = _with(asked, "optimizer", kind=solver)
    by_lbfgs = _get(filled["optimizer"], "kind", solver) == "lbfgs"
    filled.setdefault("epochs", 50 if by_lbfgs else 1000)
    epochs = filled["epochs"]
    if isinstance(epochs, int) and "evaluate_every" not in filled:
        # The tutorial prints every 10th of 100 epochs and every 100th of 1000.
        filled["evaluate_every"] = max(1, epochs // 10)
    return filled


def _with(asked: dict[str, Any], field: str, **defaults: Any) -> Any:
    part = asked.get(field, {})
    return {**defaults, **part} if isinstance(part, dict) else part


def _get(part: Any, field: str, default: str | float) -> Any:
    if isinstance(part, dict):
        return part.get(field, default)
    return getattr(part, field, default)
