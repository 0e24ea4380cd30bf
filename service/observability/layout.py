"""Which cell means what: the layout of a tree's shared memory, the same in all of its processes."""

from __future__ import annotations

import os

from service.observability.cells import Memory, Shape, make_file

BOUNDS = (
    *(0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0),
)
"""Upper bounds of the buckets of a duration, in seconds; one more bucket is without bound."""

LAG_BOUNDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5)
"""Likewise, of the lateness of an event loop."""

STATUSES = (
    *(200, 201, 202, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 405, 406, 408, 409, 410),
    *(411, 412, 413, 415, 416, 422, 428, 429, 431, 499, 500, 501, 502, 503, 504, 505, 507),
)
"""Statuses with a cell of their own; all others share one more, `other`."""

PREDICTION_CODES = (
    *("invalid_request", "unseen_category", "too_large", "unsupported_media_type"),
    *("model_not_found", "version_not_found", "version_unloadable", "not_ready"),
    *("store_unavailable", "overloaded", "deadline_exceeded", "internal_error"),
)
"""Codes of errors with a cell of their own in each row of predictions; one more is `other`."""

HISTOGRAM = 1 + len(BOUNDS) + 1
"""Cells of a duration: the sum in seconds, then the buckets, not accumulated."""

# A row of HTTP requests: a duration, then one cell for each status.
HTTP_STATUSES = HISTOGRAM
HTTP = Shape(rows=192, width=HTTP_STATUSES + len(STATUSES) + 1)

# A row of predictions: a duration, rows, forward passes, when the last was answered (seconds since
# 1970), whether this slot serves the version, seconds spent on what failed, one cell for each code
# of an error.
PREDICTION_ROWS = HISTOGRAM
PREDICTION_PASSES = HISTOGRAM + 1
PREDICTION_LAST = HISTOGRAM + 2
PREDICTION_KEPT = HISTOGRAM + 3
PREDICTION_FAILED = HISTOGRAM + 4
PREDICTION_ERRORS = HISTOGRAM + 5
PREDICTIONS = Shape(
    rows=256, width=PREDICTION_ERRORS + len(PREDICTION_CODES) + 1, kept_at=PREDICTION_KEPT
)

COUNTERS = Shape(rows=128, width=1)
"""Counters with one label; the name is that of the family, a space, and the label."""

# Cells of a slot outside tables.
IN_FLIGHT = 0
LOADED = 1
LAG = 2
SLOT = LAG + 1 + len(LAG_BOUNDS) + 1

# Cells of the tree. The parent writes these:
PARENT_PID = 0
SUPERVISOR_PID = 1
WEB_RESTARTS = 2
SUPERVISOR_RESTARTS = 3
# and whoever reads what the processes use, these:
TREE_CPU = 4
TRAINING_CPU = 5
TRAINING_SINCE = 6
_PIDS = 8
"""Where the pids of the web workers begin; 0 where none runs."""


class Shared(Memory):
    """The memory of one tree."""

    def __init__(self, fd: int, workers: int) -> None:
        super().__init__(fd, workers, _PIDS + workers, SLOT, [HTTP, PREDICTIONS, COUNTERS])
        self.http, self.predictions, self.counters = self.tables

    @classmethod
    def make(cls, workers: int) -> Shared:
        """The memory of a tree that starts; this process is its parent."""
        made = cls(make_file(), workers)
        made.cells[PARENT_PID] = float(os.getpid())
        return made

    @classmethod
    def alone(cls, slot: int) -> Shared:
        """The memory of a web process without a tree."""
        made = cls.make(slot + 1)
        made.cells[PARENT_PID] = 0.0
        made.cells[_PIDS + slot] = float(os.getpid())
        return made

    def note_start(self, slot: int | None, pid: int, again: bool) -> None:
        """A process of the tree runs: the web worker of a slot, or the supervisor (None)."""
        self.cells[SUPERVISOR_PID if slot is None else _PIDS + slot] = float(pid)
        if again:
            self.cells[SUPERVISOR_RESTARTS if slot is None else WEB_RESTARTS] += 1.0

    def note_end(self, slot: int | None) -> None:
        """It runs no more."""
        self.cells[SUPERVISOR_PID if slot is None else _PIDS + slot] = 0.0

    @property
    def supervisor_pid(self) -> int:
        """0 where none runs."""
        return int(self.cells[SUPERVISOR_PID])

    def worker_pids(self) -> dict[int, int]:
        """The pid of the web worker in each slot in which one runs."""
        pids = {slot: int(self.cells[_PIDS + slot]) for slot in range(self.slots)}
        return {slot: pid for slot, pid in pids.items() if pid}
