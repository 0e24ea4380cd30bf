"""Curve, lease and cancel flag of a running job."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ml.training.loop import Point, Progress
from service.store.database import Database

WRITE_SECONDS = 0.1
"""Shortest time between two writes: each is a transaction with its fsync."""


class LeaseLostError(Exception):
    """Another process has the job now; this one may write nothing more about it."""


class CancelRequestedError(Exception):
    """Somebody asked to cancel the job."""


class Recorder:
    """Writes what the loop reports, in small batches."""

    def __init__(
        self,
        database: Database,
        job_id: str,
        fence: int,
        lease_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._job_id = job_id
        self._fence = fence
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._points: list[dict[str, Any]] = []
        self._epoch = 0
        self._last_write = -math.inf

    def record(self, progress: Progress) -> None:
        """Note a report of the loop, and write what has gathered if it is time.

        Raises:
            LeaseLostError: nothing was written.
            CancelRequestedError: all was written.
        """
        self._epoch = progress.epochs_done
        if progress.point is not None:
            self._points.append(_as_json(progress.point))
        if self._clock() - self._last_write >= WRITE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered and renew the lease; raises as `record` does."""
        with self._database.write() as stores:
            cancel = stores.jobs.progress(
                self._job_id,
                self._fence,
                self._epoch,
                self._points,
                datetime.now(UTC),
                self._lease_seconds,
            )
        self._last_write = self._clock()
        if cancel is None:
            raise LeaseLostError(self._job_id)
        self._points.clear()
        if cancel:
            raise CancelRequestedError(self._job_id)


def _as_json(point: Point) -> dict[str, Any]:
    """The point without the parts that have no rows."""
    return {name: value for name, value in asdict(point).items() if value is not None}
