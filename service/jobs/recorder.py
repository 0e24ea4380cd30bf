"""Curve, lease and cancel flag of a running job."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ml.training.loop import Point, Progress
from service.errors import StoreUnavailableError
from service.store.database import Database

logger = logging.getLogger(__name__)

WRITE_SECONDS = 0.1
"""Shortest time between two writes: each is a transaction with its fsync."""


AWAY_SECONDS = 1.0
"""Wait before a database that did not answer is asked again, at least."""

AWAY_SHARE = 0.2
"""Of the time, at most, that a training spends on waiting for a database that hangs."""


class LeaseLostError(Exception):
    """Another process has the job now; this one may write nothing more about it."""


class CancelRequestedError(Exception):
    """Somebody asked to cancel the job."""


class Recorder:
    """Writes what the loop reports, in small batches.

    ``recorded`` is the curve that earlier attempts wrote. A training that is made again comes to
    the same bits, so its points are not written twice; should one differ, it and all after it are.
    """

    def __init__(
        self,
        database: Database,
        job_id: str,
        fence: int,
        clock: Callable[[], float],
        recorded: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self._database = database
        self._job_id = job_id
        self._fence = fence
        self._clock = clock
        self._points: list[dict[str, Any]] = []
        self._recorded = {point["epoch"]: dict(point) for point in recorded}
        self._epoch = 0
        self._next_write = -math.inf
        self._in_doubt = False

    def record(self, progress: Progress) -> None:
        """Note a report of the loop, and write what has gathered if it is time.

        Raises:
            LeaseLostError: nothing was written.
            CancelRequestedError: all was written.
        """
        self._epoch = progress.epochs_done
        if progress.point is not None:
            self.note(progress.point)
        if self._clock() < self._next_write:
            return
        began = self._clock()
        try:
            self.flush()
        except StoreUnavailableError as error:
            # The training goes on; all that gathers is written when the database is back.
            if not self._in_doubt:
                logger.warning("job %s: trains on: %s", self._job_id, error)
            self._in_doubt = True
            now = self._clock()
            self._next_write = now + max(AWAY_SECONDS, (now - began) * (1 / AWAY_SHARE - 1))

    def note(self, point: Point) -> None:
        """Let a point of the curve be written with what gathers, unless it was."""
        told = _as_json(point)
        known = self._recorded.get(point.epoch)
        if known == told:
            return
        if known is not None:
            self._recorded.clear()
        self._points.append(told)

    def flush(self) -> None:
        """Write what has gathered and renew the lease; raises as `record` does, and:

        Raises:
            StoreUnavailableError: nobody knows whether it was written; the next flush finds out.
        """
        with self._database.write(beside_others=True) as stores:
            if self._in_doubt:
                known = stores.jobs.curve(self._job_id)
                self._points = [point for point in self._points if point not in known]
            cancel = stores.jobs.progress(
                self._job_id,
                self._fence,
                self._epoch,
                self._points,
                datetime.now(UTC),
            )
        self._next_write = self._clock() + WRITE_SECONDS
        self._in_doubt = False
        if cancel is None:
            raise LeaseLostError(self._job_id)
        self._points.clear()
        if cancel:
            raise CancelRequestedError(self._job_id)


def _as_json(point: Point) -> dict[str, Any]:
    """The point without the parts that have no rows."""
    return {name: value for name, value in asdict(point).items() if value is not None}
