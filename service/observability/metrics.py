"""What a web worker counts. The hot path's methods write a few cells and allocate nothing.

Call from the event loop's thread only: `x += 1` in two threads at once would lose one.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from service.observability import layout
from service.observability.cells import OTHER, Table
from service.observability.layout import BOUNDS, Shared

_STATUS_CELL = {str(status): i for i, status in enumerate(layout.STATUSES)}
_CODE_CELL = {code: i for i, code in enumerate(layout.PREDICTION_CODES)}

FULL_SECONDS = 1.0
"""Once there was no row for a version, none is looked for until so much later."""


@dataclass(frozen=True)
class Totals:
    """What all web workers have answered for one version."""

    requests: int
    rows: int
    seconds: float
    errors: int
    passes: int
    """Forward passes; fewer than requests where several are joined."""
    failed_seconds: float
    """Spent on requests that were answered with an error."""
    last: float
    """When the last one was answered, in seconds since 1970; 0 for never."""


class _Row:
    """A row of this worker's slot; may be kept for one turn of the event loop."""

    __slots__ = ("_cells", "_first", "generation", "generation_at", "kept", "used_at")

    def __init__(self, shared: Shared, slot: int, table: Table, name: str) -> None:
        row, self.generation = table.claim(name)
        self._cells = shared.cells
        self._first = shared.slot(slot) + table.cell(row)
        self.generation_at = table.generation_at(row)
        self.used_at = table.used_at(row)
        self.kept = False

    def _observe(self, seconds: Sequence[float]) -> None:
        """Count some durations, at least one."""
        cells, first = self._cells, self._first
        cells[first] += sum(seconds)
        first += 1
        low, high = bisect_left(BOUNDS, min(seconds)), bisect_left(BOUNDS, max(seconds))
        if low < high:
            # Sorted, they are counted bucket by bucket instead of one by one.
            seconds, counted = sorted(seconds), 0
            while low < high:
                upto = bisect_right(seconds, BOUNDS[low], counted)
                cells[first + low] += upto - counted
                counted = upto
                low += 1
            cells[first + high] += len(seconds) - counted
        else:
            cells[first + low] += len(seconds)


class Predictions(_Row):
    """Requests for predictions of one version."""

    __slots__ = ()

    def add_one(self, rows: int, seconds: float, passes: float = 1.0) -> None:
        """Count a request that was answered, with its rows and its duration; ``passes`` is its
        share of a forward pass."""
        cells, first = self._cells, self._first
        cells[first] += seconds
        cells[first + 1 + bisect_left(BOUNDS, seconds)] += 1.0
        cells[first + layout.PREDICTION_ROWS] += rows
        cells[first + layout.PREDICTION_PASSES] += passes
        cells[first + layout.PREDICTION_LAST] = time.time()

    def add(self, rows: int, seconds: Sequence[float]) -> None:
        """Count requests that were answered by one forward pass: all their rows, and the duration
        of each.

        ``seconds`` holds one number for each request, at least one.
        """
        cells, first = self._cells, self._first
        cells[first + layout.PREDICTION_ROWS] += rows
        cells[first + layout.PREDICTION_PASSES] += 1.0
        cells[first + layout.PREDICTION_LAST] = time.time()
        self._observe(seconds)

    def fail(self, code: str, count: int = 1, seconds: float = 0.0) -> None:
        """Count requests that were answered with an error of that code, and took so long."""
        self._cells[self._first + layout.PREDICTION_FAILED] += seconds
        cell = _CODE_CELL.get(code, len(_CODE_CELL))
        self._cells[self._first + layout.PREDICTION_ERRORS + cell] += count

    def keep(self, kept: bool) -> None:
        """Say whether this worker serves the version: then the row is given to no other."""
        self.kept = kept
        self._cells[self._first + layout.PREDICTION_KEPT] = float(kept)
        self._cells[self.used_at] = time.monotonic()


class Route(_Row):
    """Requests for one method and route."""

    __slots__ = ()

    def add_one(self, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        cells, first = self._cells, self._first
        cells[first] += seconds
        cells[first + 1 + bisect_left(BOUNDS, seconds)] += 1.0
        cell = _STATUS_CELL.get(str(status), len(_STATUS_CELL))
        cells[first + layout.HTTP_STATUSES + cell] += 1.0

    def add(self, status: int, seconds: Sequence[float]) -> None:
        """Count requests that were answered with the same status in one turn, with the duration of
        each, at least one."""
        cell = _STATUS_CELL.get(str(status), len(_STATUS_CELL))
        self._cells[self._first + layout.HTTP_STATUSES + cell] += len(seconds)
        self._observe(seconds)


class Metrics:
    """The numbers of the web worker in one slot of the tree."""

    def __init__(self, shared: Shared, slot: int) -> None:
        self.shared = shared
        self._slot = slot
        self._cells = shared.cells
        self._first = shared.slot(slot)
        self._predictions: dict[tuple[str, int], Predictions] = {}
        self._routes: dict[tuple[str, str], Route] = {}
        self._counters: dict[tuple[str, str], int] = {}
        self._served: frozenset[tuple[str, int]] = frozenset()
        self._none = Predictions(shared, slot, shared.predictions, OTHER)
        self._full_until = 0.0
        self._forget_predecessor()

    def _forget_predecessor(self) -> None:
        """What the process before us in this slot counted stays; how it was is over."""
        self._cells[self._first + layout.IN_FLIGHT] = 0.0
        self._cells[self._first + layout.LOADED] = 0.0
        predictions = self.shared.predictions
        for row in range(predictions.shape.rows):
            kept_at = self._first + predictions.cell(row) + layout.PREDICTION_KEPT
            if self._cells[kept_at]:
                self._cells[kept_at] = 0.0

    def predictions(self, model: str, version: int) -> Predictions:
        """Where to count predictions of a version. Ask anew in each turn of the event loop."""
        found = self._predictions.get((model, version))
        if found is None or self._cells[found.generation_at] != found.generation:
            found = self._claim(model, version)
        if not found.kept:
            self._cells[found.used_at] = time.monotonic()
        return found

    def _claim(self, model: str, version: int) -> Predictions:
        if time.monotonic() < self._full_until:
            return self._none
        found = Predictions(self.shared, self._slot, self.shared.predictions, f"{model} {version}")
        if found.generation_at == self._none.generation_at:
            self._full_until = time.monotonic() + FULL_SECONDS
            return self._none
        if len(self._predictions) >= 2 * layout.PREDICTIONS.rows:
            # Those of versions that are gone.
            self._predictions.clear()
        self._predictions[model, version] = found
        return found

    def no_version(self) -> Predictions:
        """Where to count errors of requests that found no version."""
        return self._none

    def route(self, method: str, template: str) -> Route:
        """Where to count requests; ``template`` is the path with the names of its parameters."""
        found = self._routes.get((method, template))
        if found is None:
            name = f"{method} {template}"
            found = Route(self.shared, self._slot, self.shared.http, name)
            if found.generation_at != self.shared.http.generation_at(0):
                self._routes[method, template] = found
        return found

    def problem(self, code: str, count: int = 1) -> None:
        """Count errors that were answered with that code."""
        self._count("problems", code, count)

    def rejected(self, reason: str, count: int = 1) -> None:
        """Count requests that were turned away because there were too many. Reasons are few."""
        self._count("rejected", reason, count)

    def _count(self, what: str, label: str, count: int) -> None:
        cell = self._counters.get((what, label))
        if cell is None:
            row, _ = self.shared.counters.claim(f"{what} {label}")
            cell = self._first + self.shared.counters.cell(row)
            if row:
                self._counters[what, label] = cell
        self._cells[cell] += count

    def begin(self, count: int = 1) -> None:
        """So many requests more are being answered."""
        self._cells[self._first + layout.IN_FLIGHT] += count

    def end(self, count: int = 1) -> None:
        """So many requests less."""
        self._cells[self._first + layout.IN_FLIGHT] -= count

    def loop_lag(self, seconds: float) -> None:
        """Count one look at how late the event loop is."""
        at = self._first + layout.LAG
        self._cells[at] += seconds
        self._cells[at + 1 + bisect_left(layout.LAG_BOUNDS, seconds)] += 1.0

    def serving(self, versions: Collection[tuple[str, int]], loaded: int) -> None:
        """Say which versions answer where a request names none, and how many are in memory."""
        self._cells[self._first + layout.LOADED] = loaded
        served = frozenset(versions)
        for model, version in self._served - served:
            self.predictions(model, version).keep(False)
        for model, version in served:
            # Also those of before: a row may not have been free at first.
            row = self.predictions(model, version)
            if not row.kept and row.generation_at != self._none.generation_at:
                row.keep(True)
        self._served = served

    def totals(self, model: str, version: int) -> Totals:
        """What all web workers of the tree have answered for a version; zeros before the first."""
        name = f"{model} {version}"
        cells = self.shared.predictions.find(name)
        if cells is None:
            return Totals(0, 0, 0.0, 0, 0, 0.0, 0.0)
        return Totals(
            requests=int(sum(cells[1 : layout.HISTOGRAM])),
            rows=int(cells[layout.PREDICTION_ROWS]),
            seconds=cells[0],
            errors=int(sum(cells[layout.PREDICTION_ERRORS :])),
            passes=round(cells[layout.PREDICTION_PASSES]),
            failed_seconds=cells[layout.PREDICTION_FAILED],
            last=self.shared.predictions.greatest(name, layout.PREDICTION_LAST),
        )
