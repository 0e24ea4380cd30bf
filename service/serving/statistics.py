"""What each version has done: counted by `Inference`, told by `/v2/models/stats`."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Protocol


@dataclass(frozen=True)
class Totals:
    """Since the service started."""

    successes: int = 0
    """Requests that were answered."""
    failures: int = 0
    """Requests that the version could not answer."""
    rows: int = 0
    """Of the requests that were answered."""
    executions: int = 0
    """Forward passes; fewer than requests where several are joined."""
    success_ns: int = 0
    failure_ns: int = 0
    last_ms: int = 0
    """When the last one was answered, in milliseconds since 1970; 0 for never."""


class Statistics(Protocol):
    """Where predictions are counted. Any thread may call."""

    def count(self, model: str, version: int, rows: int | None, ns: int) -> None:
        """One request: so many rows answered, or None where it failed, in so many nanoseconds."""

    def totals(self, model: str, version: int) -> Totals:
        """What a version has done."""


class ProcessStatistics:
    """The `Statistics` of this process alone."""

    def __init__(self) -> None:
        self._totals: dict[tuple[str, int], Totals] = {}
        self._lock = threading.Lock()

    def count(self, model: str, version: int, rows: int | None, ns: int) -> None:
        key = model, version
        with self._lock:
            so_far = self._totals.get(key, Totals())
            if rows is None:
                failures, spent = so_far.failures + 1, so_far.failure_ns + ns
                self._totals[key] = replace(so_far, failures=failures, failure_ns=spent)
                return
            self._totals[key] = Totals(
                successes=so_far.successes + 1,
                failures=so_far.failures,
                rows=so_far.rows + rows,
                executions=so_far.executions + 1,
                success_ns=so_far.success_ns + ns,
                failure_ns=so_far.failure_ns,
                last_ms=time.time_ns() // 1_000_000,
            )

    def totals(self, model: str, version: int) -> Totals:
        return self._totals.get((model, version), Totals())
