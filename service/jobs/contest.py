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
        comparable = _shape(active) == _shape(new)
        active_score = _score(active, rows, metric, device) if comparable else None
    return Contest(
        metric=metric,
        new=_score(new, rows, metric, device),
        active=active_score,
        active_version=active_version,
        active_is_bootstrap=active_is_bootstrap,
    )


def _shape(bundle: Bundle) -> tuple[int, int]:
    return len(bundle.feature_names), len(bundle.target_names)


def _score(bundle: Bundle, rows: Table, metric: str, device: torch.device) -> float:
    """The metric; infinite where a prediction is not finite."""
    try:
        x_NF = _reorder(rows.x_NF, rows.feature_names, bundle.feature_names)
        y_NT = _reorder(rows.y_NT, rows.target_names, bundle.target_names)
        score: float = getattr(measure(Predictor(bundle, device).predict(x_NF), y_NT), metric)
    except MLError:
        return math.inf
    return score


def _reorder(
    values_NC: torch.Tensor, names: tuple[str, ...], wanted: tuple[str, ...]
) -> torch.Tensor:
    """The columns in the order of ``wanted``; as they stand where the names are not the same."""
    if names == wanted or set(names) != set(wanted):
        return values_NC
    return values_NC[:, [names.index(name) for name in wanted]]
