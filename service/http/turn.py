"""Plain predictions of one turn of the event loop, answered together by one forward pass a model.

Nobody waits for others: whatever one turn of the loop has read is answered in that turn.
"""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import orjson

from service.http.heads import PlainHead
from service.observability.metrics import Metrics
from service.observability.trace import Caller
from service.serving.plain import read_number, read_rows, write_numbers
from service.serving.pool import Pool, Served
from service.serving.work import HEAVY_SECONDS


class Connection(Protocol):
    """Who waits for an answer."""

    def answered(self, answer: bytes) -> None:
        """Send the answer."""
        ...

    def take_ordinary_road(self, request: bytes) -> None:
        """Let the application answer the request."""
        ...


_ANSWER = b'%b%d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n\r\n{"y":[%b]%b'
"""Its head up to the length of the body, that length, an id, the numbers, the end of the body."""

_BODY_BYTES = len(b'{"y":[]')
"""Of the body, beside the numbers and its end."""


class _Group:
    """Requests for one version.

    ``askers`` are the connection, how many of the rows are its own (None: one, not in a list), its
    request, and what that tells of itself (None: nothing).
    """

    __slots__ = ("askers", "cells", "route", "served")

    def __init__(self, served: Served, route: str) -> None:
        self.served = served
        self.route = route
        self.cells: list[Any] = []
        """All that is asked: numbers where the model has one feature, else pieces of ``x_NF``."""
        self.askers: list[tuple[Connection, int | None, bytes, Caller | None]] = []

    def rows(self) -> np.ndarray:
        """``x_NF`` of all that ask."""
        if self.served.predictor.features == 1:
            return np.array(self.cells)[:, None]
        return np.concatenate(self.cells)


class Turn:
    """Takes plain predictions; answers all of them before the loop waits for its next turn."""

    def __init__(
        self, loop: AbstractEventLoop, pool: Pool, metrics: Metrics, max_rows: int
    ) -> None:
        self._loop = loop
        self._pool = pool
        self._metrics = metrics
        self._began = 0.0
        self._max_rows = max_rows
        self._groups: list[_Group] = []
        self.ids = RequestIds()
        self.date = b""
        """The header `date` as uvicorn sends it, with its line end."""
        self.time = loop.time()
        """When the last turn was finished."""

    @property
    def answered(self) -> int:
        """Requests that were answered on the plain road so far."""
        return self.ids.count

    def take(
        self,
        connection: Connection,
        head: PlainHead,
        request: bytes,
        body_from: int,
        caller: Caller | None,
    ) -> bool:
        """Answer ``request``, whose body begins at ``body_from``, at the end of this turn; False
        where it must take the ordinary road."""
        served = self._pool.active(head.model)
        if served is None:
            return False
        predictor = served.predictor
        if predictor.probe_seconds > HEAVY_SECONDS or predictor.bundle.categories:
            return False
        body = request[body_from:]
        if predictor.features == 1:
            x = read_number(body)
            if x is None:
                return False
            if isinstance(x, float):
                group = self._group(served, head.route)
                group.cells.append(x)
                group.askers.append((connection, None, request, caller))
                return True
            if len(x) > self._max_rows:
                return False
            group = self._group(served, head.route)
            group.cells.extend(x)
            group.askers.append((connection, len(x), request, caller))
            return True
        found = read_rows(body, predictor.features)
        if found is None or len(found[0]) > self._max_rows:
            return False
        group = self._group(served, head.route)
        group.cells.append(found[0])
        group.askers.append((connection, len(found[0]), request, caller))
        return True

    def _group(self, served: Served, route: str) -> _Group:
        for group in self._groups:
            # By identity: a swap within the turn must not mix versions.
            if group.served is served and group.route == route:
                return group
        if not self._groups:
            self._began = perf_counter()
            self._loop.call_soon(self.finish)
        group = _Group(served, route)
        self._groups.append(group)
        return group

    def finish(self) -> None:
        """Answer all that was taken."""
        groups, self._groups = self._groups, []
        self.time = self._loop.time()
        for group in groups:
            self._answer(group)

    def _answer(self, group: _Group) -> None:
        served, askers = group.served, group.askers
        try:
            rows, texts = _answers(group)
        except Exception:
            # A row that cannot be answered, or a bug in somebody's module: all go where each fails,
            # or not, by itself.
            for connection, _, request, _ in askers:
                connection.take_ordinary_road(request)
            return
        # Before the answers, so that whoever has his finds it counted.
        seconds = perf_counter() - self._began
        predictions = self._metrics.predictions(served.model, served.version)
        route = self._metrics.route("POST", group.route)
        if len(askers) == 1:
            predictions.add_one(rows, seconds)
            route.add_one(200, seconds)
        else:
            taken = [seconds] * len(askers)
            predictions.add(rows, taken)
            route.add(200, taken)
        first = self.date, served.version
        head = b"HTTP/1.1 200 OK\r\n%brefit-version: %d\r\ncontent-length: " % first
        tail, ids = served.tail, self.ids
        size = _BODY_BYTES + len(tail)
        # A strict `zip` would cost a request that is alone a third of a microsecond more.
        for place, text in enumerate(texts):
            connection, _, _, caller = askers[place]
            told = ids.next() if caller is None else told_of(caller, ids.next())
            answer = _ANSWER % (head, size + len(text), told, text, tail)
            connection.answered(answer)


def told_of(caller: Caller, own_id: bytes) -> bytes:
    """The id of a request, and its trace as a header of its own."""
    (_, request_id), *others = caller.told(own_id)
    return request_id + b"".join(b"\r\n%b: %b" % header for header in others)


def _answers(group: _Group) -> tuple[int, list[bytes]]:
    """How many rows were asked for, and the numbers for each that asked, as JSON without brackets.

    Raises:
        InputError: a row cannot be answered.
    """
    askers, predictor = group.askers, group.served.predictor
    if len(group.cells) == len(askers) == 1 and predictor.predict_number is not None:
        # Without an array.
        y = predictor.predict_number(group.cells[0])
        if y is not None:
            return 1, [orjson.dumps(y)]
    y_NT = predictor.predict_array(group.rows())
    rows = len(y_NT)
    if rows == len(askers) and predictor.targets == 1:
        # One row each, as is usual: their numbers are written at once and cut apart.
        return rows, write_numbers(y_NT[:, 0])[1:-1].split(b",")
    if predictor.targets == 1:
        y_NT = y_NT[:, 0]
    texts, start = [], 0
    for _, count, _, _ in askers:
        end = start + (count or 1)
        texts.append(write_numbers(y_NT[start:end])[1:-1])
        start = end
    return rows, texts


class RequestIds:
    """Ids of requests that bring none: unique by 80 random bits of this process and a counter."""

    def __init__(self) -> None:
        self._prefix = os.urandom(10).hex().encode()
        self.count = 0
        """How many there were."""

    def next(self) -> bytes:
        """32 hexadecimal digits."""
        self.count += 1
        return b"%b%012x" % (self._prefix, self.count)
