"""Score new and active version on the same held-out rows."""

from __future__ import annotations

import math

import torch

from ml.artifact import Bundle
from ml.data.table import Rows
from ml.errors import MLError
from ml.predictor import Predictor
from ml.spec.training import LossName
from ml.training.evaluate import Tally
from service.registry.promotion import Contest

_METRIC: dict[LossName, str] = {"l1": "mae", "mse": "rmse", "huber": "mae"}


def hold_contest(
    new: Bundle,
    active: Bundle | None,
    rows: Rows,
    loss: LossName,
    device: torch.device,
    active_version: int,
    active_is_bootstrap: bool,
) -> Contest:
    """Score both on ``rows``, in raw units, by the metric that goes with the loss.

    ``active`` is None where it cannot be loaded: it then scores infinitely badly.
    """
    metric = _METRIC[loss]
    active_score: float | None = math.inf
    if active is not None:
        comparable = _take_the_same_rows(active, new) and _knows_all_words(new, active)
        active_score = _score(active, rows, new, metric, device) if comparable else None
    return Contest(
        metric=metric,
        new=_score(new, rows, new, metric, device),
        active=active_score,
        active_version=active_version,
        active_is_bootstrap=active_is_bootstrap,
    )


def _take_the_same_rows(one: Bundle, other: Bundle) -> bool:
    """Whether what a client sends and gets means the same for both: as many columns, none of them
    moved, and the same ones text. Other names in the same places are taken for a renaming."""
    if one.categories or other.categories:
        same_names = one.feature_names == other.feature_names
        same_features = same_names and set(one.categories) == set(other.categories)
    else:
        same_features = _stand_alike(one.feature_names, other.feature_names)
    return same_features and _stand_alike(one.target_names, other.target_names)


def _knows_all_words(new: Bundle, active: Bundle) -> bool:
    """Whether ``new`` takes every value of a category that clients of ``active`` may send."""
    return all(set(words) <= set(new.categories[name]) for name, words in active.categories.items())


def _stand_alike(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    return len(mine) == len(theirs) and (mine == theirs or set(mine) != set(theirs))


def _score(bundle: Bundle, rows: Rows, new: Bundle, metric: str, device: torch.device) -> float:
    """The metric over ``rows``, which are encoded as ``new`` takes them; infinite where a
    prediction is not finite, or a category holds what ``bundle`` has never seen."""
    tally = Tally()
    try:
        predictor = Predictor(bundle, device)
        for x_NF, y_NT in rows.blocks():
            tally.add(predictor.predict(_encoded_for(bundle, new, x_NF)), y_NT)
        score: float = getattr(tally.metrics(), metric)
    except (MLError, _UnseenError):
        return math.inf
    return score


class _UnseenError(Exception):
    """A category holds a value that the model cannot take."""


def _encoded_for(bundle: Bundle, new: Bundle, x_NF: torch.Tensor) -> torch.Tensor:
    """Rows encoded by the vocabularies of ``new``, encoded by those of ``bundle``."""
    theirs, wanted = _columns(new), _columns(bundle)
    if not bundle.categories or wanted == theirs:
        return x_NF
    known = set(wanted)
    unknown = [column for column, meaning in enumerate(theirs) if meaning not in known]
    if bool(x_NF[:, unknown].any()):
        raise _UnseenError
    place = {meaning: column for column, meaning in enumerate(theirs)}
    return x_NF[:, [place[meaning] for meaning in wanted]]


def _columns(bundle: Bundle) -> list[tuple[str, str | None]]:
    """Feature and word of each column, None for a number: the name of a column would not do, as a
    number may be called `color=red` too."""
    return [
        (name, word)
        for name in bundle.feature_names
        for word in bundle.categories.get(name, (None,))
    ]
