"""Four times a second: how late the event loop is, and what this web worker serves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from service.observability.metrics import Metrics

logger = logging.getLogger(__name__)

PULSE_SECONDS = 0.25

Serving = Callable[[], tuple[Collection[tuple[str, int]], int]]
"""The versions that answer where a request names none, and how many are in memory."""


async def pulse(metrics: Metrics, serving: Serving) -> None:
    """Write both down until cancelled."""
    while True:
        try:
            metrics.serving(*serving())
        except Exception:
            # Whatever it is, predictions are worth more than being told of.
            logger.exception("the pulse stumbled and goes on")
        due = time.monotonic() + PULSE_SECONDS
        await asyncio.sleep(PULSE_SECONDS)
        metrics.loop_lag(max(0.0, time.monotonic() - due))
