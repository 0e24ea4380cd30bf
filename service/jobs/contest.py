"""Score new and active version on the same held-out rows."""

from __future__ import annotations

import math

import torch

from ml.artifact import Bundle
from ml.data.table import Table
from ml.errors import MLError
from ml.predictor import Predictor
from ml.spec.training import LossName
from ml.training.evaluate import measure
from service.registry.promotion import Contest

_METRIC: dict[LossName, str] = {"l1": "mae", "mse": "rmse", "huber": "mae"}


def hold_contest(
    new: Bundle,
    active: Bundle | None,
    rows: Table,
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
        comparable = _take_the_same_rows(active, new)
        active_score = _score(active, rows, metric, device) if comparable else None
    return Contest(
        metric=metric,
        new=_score(new, rows, metric, device),
        active=active_score,
        active_version=active_version,
        active_is_bootstrap=active_is_bootstrap,
    )


def _take_the_same_rows(one: Bundle, other: Bundle) -> bool:
    """Whether what `{"x": [[…]]}` and its answer mean is the same for both: as many columns, and
    none of them moved. Other names in the same places are taken for a renaming."""
    return all(
        len(mine) == len(theirs) and (mine == theirs or set(mine) != set(theirs))
        for mine, theirs in (
            (one.feature_names, other.feature_names),
            (one.target_names, other.target_names),
        )
    )


def _score(bundle: Bundle, rows: Table, metric: str, device: torch.device) -> float:
    """The metric; infinite where a prediction is not finite."""
    try:
        pred_NT = Predictor(bundle, device).predict(rows.x_NF)
        score: float = getattr(measure(pred_NT, rows.y_NT), metric)
    except MLError:
        return math.inf
    return score
