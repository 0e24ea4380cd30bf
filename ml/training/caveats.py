"""What a person should know about a training that ended well, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ml.data.scaling import Range
from ml.data.sources import Loaded
from ml.spec.dataset import DatasetSpec
from ml.spec.training import TrainingSpec
from ml.training.optimum import LeastSquares

WIDE = 1e-4
"""Differences of predictions, in standard deviations of y, that are worth a word."""

FAR = 0.125
"""The same, where another loss than the mean square may well end elsewhere. The tutorial's steps
end 0.104 from the optimum on lines that they are made for (its exercise, 0.3 x + 0.9), and 0.18
after a tenth of the epochs."""

WEAK = 1e-5
"""Directions in which standardized features vary by so small a share of the greatest are hard to
find for any optimizer."""

MAX_NAMES = 10


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    optimum: LeastSquares | None
    """Of a linear model."""
    gap: float | None
    """From its predictions to those of the optimum, in standard deviations of y."""
    converged: bool
    """False where L-BFGS was still moving at its last epoch."""
    raw_gap: float | None
    """From the predictions of the state_dict in raw units to those of the service, likewise; None
    where there is none in raw units."""
    targets_vary: bool


def caveats(spec: TrainingSpec, loaded: Loaded, seen: Range, outcome: Outcome) -> tuple[str, ...]:
    """Sentences; none where there is nothing to be careful about. ``seen`` is the range of the
    training rows."""
    sentences = [*_about_rows(spec, loaded), *_about_columns(loaded, seen, outcome)]
    if outcome.optimum is not None and outcome.gap is not None:
        sentences += _about_optimum(spec, loaded, outcome.optimum, outcome.gap, seen)
    if not outcome.converged:
        sentences.append(
            f"L-BFGS was still moving after {_count(spec.epochs, 'epoch')}: ask for more"
        )
    if spec.loss == "l1" and spec.optimizer.kind == "lbfgs":
        # Measured: up to 4.5 % above the least loss.
        sentences.append(
            "the L1 loss has kinks, where L-BFGS may stop a few percent above the optimum"
        )
    if outcome.raw_gap is not None and outcome.raw_gap > WIDE:
        sentences.append(
            "float32 cannot hold these parameters in raw units: the state_dict files predict "
            f"otherwise than the service by {outcome.raw_gap:.1g} standard deviations of y"
        )
    return tuple(sentences)


def _about_rows(spec: TrainingSpec, loaded: Loaded) -> Iterator[str]:
    parts = loaded.parts
    rows = len(parts.train) + len(parts.validation) + len(parts.test)
    if loaded.dropped_rows:
        of = loaded.dropped_rows + rows
        yield f"{loaded.dropped_rows:,} of {of:,} rows have a missing cell and were left out"
    if isinstance(spec.data, DatasetSpec):
        columns = [spec.data.profile.column(name) for name in spec.data.left_out]
        others = [column for column in columns if column is not None]
        # Where a number was left out too, the person has chosen.
        if others and not any(column.is_numeric for column in others):
            names = _join([f"{column.name} ({column.type})" for column in others])
            yield f"columns without numbers were left out: {names}; `categories` makes text usable"
    if len(parts.train) == rows and spec.data.source != "line":
        yield "no row was held out: the metrics are of the rows that the model was trained on"


def _about_columns(loaded: Loaded, seen: Range, outcome: Outcome) -> Iterator[str]:
    constant = _constant(loaded, seen)
    if constant:
        yield f"constant in the training rows, so nothing is known of them: {_join(constant)}"
    if not outcome.targets_vary:
        yield "a target does not vary in the training rows"


def _about_optimum(
    spec: TrainingSpec, loaded: Loaded, optimum: LeastSquares, gap: float, seen: Range
) -> Iterator[str]:
    train = loaded.parts.train
    names, constant = train.column_names, set(_constant(loaded, seen))
    # The columns of a category add up to 1 in every row: that is no flaw of the data.
    expected = len(names) - len(constant)
    for category, words in train.categories.items():
        expected -= any(f"{category}={word}" not in constant for word in words)
    if len(train) <= len(names):
        rows, features = _count(len(train), "training row"), _count(len(names), "feature")
        yield (
            f"{rows} for {features}: many models fit them all alike, so neither the weights nor "
            "predictions for other rows mean much"
        )
    elif optimum.rank < expected:
        involved = optimum.involved(names, optimum.rank)
        collinear = [name for name in involved if name not in constant]
        yield (
            f"collinear features: {_join(collinear)}; predictions for rows like these are not "
            "affected, but the weight could as well be shared out otherwise among them"
        )
    if getattr(spec.optimizer, "weight_decay", 0):
        # Asked to end elsewhere.
        return
    apart = f"the predictions are {gap:.1g} standard deviations of y away from those of the "
    apart += "least-squares optimum"
    if spec.loss == "mse" and gap > WIDE:
        weak = int((optimum.strength_K > WEAK).sum())
        if weak < optimum.rank:
            nearly = _join(optimum.involved(names, weak))
            yield f"{apart}: these features are nearly collinear: {nearly}"
        elif spec.data.source == "line":
            yield f"{apart}: train longer, or take the optimizer `lbfgs`"
        else:
            yield f"{apart}: train longer, or leave optimizer and epochs to their defaults"
    elif spec.loss != "mse" and spec.optimizer.kind != "lbfgs" and gap > FAR:
        yield (
            f"{apart}: train longer, or take the optimizer `lbfgs`; where some rows lie far off, "
            f"the loss {spec.loss} is meant to end elsewhere"
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _constant(loaded: Loaded, seen: Range) -> list[str]:
    """The columns that hold one value in all training rows."""
    constant_F = (seen.x_min_F == seen.x_max_F).tolist()
    names = loaded.parts.train.column_names
    return [name for name, is_constant in zip(names, constant_F, strict=True) if is_constant]


def _join(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
