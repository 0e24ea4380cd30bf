"""Plain predictions of one turn of the event loop, answered together by one forward pass a model.

Nobody waits for others: whatever one turn of the loop has read is answered in that turn.
"""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from time import perf_counter
from typing import Protocol

import numpy as np
import orjson

from service.http.heads import PlainHead
from service.observability.metrics import Metrics
from service.serving.plain import read_number, read_rows, write_answer, write_numbers
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


class _Group:
    """Rows for one version. ``askers`` are the connection, how many of the rows are its own (None:
    one, not in a list), and its request."""

    __slots__ = ("askers", "cells", "route", "served")

    def __init__(self, served: Served, route: str) -> None:
        self.served = served
        self.route = route
        self.cells: list[float] = []
        self.askers: list[tuple[Connection, int | None, bytes]] = []


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
        self._ids = RequestIds()
        self.date = b""
        """The header `date` as uvicorn sends it, with its line end."""
        self.time = loop.time()
        """When the last turn was finished."""

    @property
    def answered(self) -> int:
        """Requests that were answered on the plain road so far."""
        return self._ids.count

    def take(self, connection: Connection, head: PlainHead, request: bytes, body_from: int) -> bool:
        """Answer ``request``, whose body begins at ``body_from``, at the end of this turn; False
        where it must take the ordinary road."""
        served = self._pool.active(head.model)
        if served is None:
            return False
        predictor = served.predictor
        if predictor.probe_seconds > HEAVY_SECONDS or predictor.bundle.categories:
            return False
        body = request[body_from:]
        count: int | None
        if predictor.features == 1:
            x = read_number(body)
            if x is None:
                return False
            count = None if isinstance(x, float) else len(x)
        else:
            found = read_rows(body, predictor.features)
            if found is None:
                return False
            x, count = found[0].ravel().tolist(), len(found[0])
        if count is not None and count > self._max_rows:
            return False
        group = self._group(served, head.route)
        if count is None:
            group.cells.append(x)  # type: ignore[arg-type]
        else:
            group.cells.extend(x)  # type: ignore[arg-type]
        group.askers.append((connection, count, request))
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

    def _head(self, served: Served) -> bytes:
        return b"HTTP/1.1 200 OK\r\n%brefit-version: %d\r\ncontent-length: " % (
            self.date,
            served.version,
        )

    def _answer_number(self, group: _Group) -> bool:
        """Answer the only request of a turn without an array, where it is a number."""
        served, ((connection, count, _),) = group.served, group.askers
        predict = served.predictor.predict_number
        if count not in (None, 1) or predict is None:
            return False
        y = predict(group.cells[0])
        if y is None:
            return False
        body = b'{"y":%b%b' % (orjson.dumps([y]), served.tail)
        seconds = perf_counter() - self._began
        self._metrics.predictions(served.model, served.version).add_one(1, seconds)
        self._metrics.route("POST", group.route).add_one(200, seconds)
        connection.answered(
            b"%b%d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n\r\n%b"
            % (self._head(served), len(body), self._ids.next(), body)
        )
        return True

    def _answer(self, group: _Group) -> None:
        served = group.served
        if len(group.askers) == 1 and self._answer_number(group):
            return
        x_NF = np.array(group.cells).reshape(-1, served.predictor.features)
        try:
            y_NT = served.predictor.predict_array(x_NF)
        except Exception:
            # A row that cannot be answered, or a bug in somebody's module: all go where each fails,
            # or not, by itself.
            for connection, _, request in group.askers:
                connection.take_ordinary_road(request)
            return
        # Before the answers, so that whoever has his finds it counted.
        taken = [perf_counter() - self._began] * len(group.askers)
        self._metrics.predictions(served.model, served.version).add(len(y_NT), taken)
        self._metrics.route("POST", group.route).add(200, taken)
        head = self._head(served)
        ids = self._ids
        if y_NT.shape[1] == 1 and len(y_NT) == len(group.askers):
            # One row each, as is usual: their numbers are written at once and cut apart.
            tail = b"]%b" % served.tail
            size = len(tail) + 6
            numbers = write_numbers(y_NT[:, 0])[1:-1].split(b",")
            for (connection, _, _), number in zip(group.askers, numbers, strict=True):
                connection.answered(
                    b"%b%d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n\r\n"
                    b'{"y":[%b%b' % (head, size + len(number), ids.next(), number, tail)
                )
            return
        start = 0
        for connection, count, _ in group.askers:
            end = start + (count or 1)
            body = write_answer(served, y_NT[start:end])
            start = end
            connection.answered(
                b"%b%d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n\r\n%b"
                % (head, len(body), ids.next(), body)
            )


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
