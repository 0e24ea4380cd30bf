"""Counts predictions, whatever the protocol they came by."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from service.api.state import AppState
from service.errors import ServiceError
from service.observability.metrics import Predictions
from service.serving.pool import Served


@dataclass
class Tally:
    """What a route notes of a prediction on its way."""

    served: Served | None = None
    """The version that answers; None until it is found."""
    rows: int = 0
    passes: float = 1.0
    """The request's share of a forward pass."""
    began: float = field(default_factory=time.perf_counter)
    """When the work began: once the body was there."""


async def counted(parts: AppState, predict: Callable[[Tally], Awaitable[Response]]) -> Response:
    """The answer of ``predict``, which is counted, or its error, which is counted too."""
    tally = Tally()
    try:
        response = await predict(tally)
    except ClientDisconnect:
        raise
    except Exception as error:
        code = error.code if isinstance(error, ServiceError) else "internal_error"
        seconds = time.perf_counter() - tally.began
        _counts(parts, tally.served).fail(code, seconds=seconds)
        raise
    seconds = time.perf_counter() - tally.began
    _counts(parts, tally.served).add_one(tally.rows, seconds, tally.passes)
    return response


def _counts(parts: AppState, served: Served | None) -> Predictions:
    if served is None:
        return parts.metrics.no_version()
    return parts.metrics.predictions(served.model, served.version)
