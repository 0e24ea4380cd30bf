"""All connections of a web process: how many there may be, and how long a client may take.

uvicorn has neither a deadline for the head of a request nor one for its body, and its limit of
connections counts idle ones, which turns slow clients into an outage. Here a client that owes bytes
has `client_timeout` seconds, and a connection that only waits makes room for others.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Transport
from collections.abc import Callable
from operator import attrgetter
from typing import Protocol

from uvicorn.protocols.http.flow_control import FlowControl

MIN_BYTES_PER_SECOND = 1024
"""A body that comes more slowly holds a connection for nothing."""

MAX_HEAD_BYTES = 64 * 1024
"""Of the line of a request and its headers; uvicorn has no bound."""

ROOM = 100
"""The hundredth part of the connections is closed at once where there are too many: to look for
the one that has been idle longest costs as much as to look for many."""

Refusal = Callable[[str], bytes]
"""An answer in bytes for the code of an error."""


class Connection(Protocol):
    """What is known of a connection; see `RefitProtocol`."""

    transport: Transport
    flow: FlowControl
    since: float
    received: int
    served_before: bool

    @property
    def is_receiving(self) -> bool: ...
    @property
    def is_busy(self) -> bool: ...
    @property
    def has_begun_to_answer(self) -> bool: ...


class Connections:
    """Turn the crank with `sweep`."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        refusal: Refusal,
        most: int,
        client_timeout: float,
        keep_alive_seconds: float,
    ) -> None:
        self.now = loop.time
        self._loop = loop
        self._refusal = refusal
        self._most = most
        self._keep_alive = keep_alive_seconds
        # A client is sent away within its time, not at the first sweep after it.
        self._every = min(0.5, client_timeout / 10)
        self._patience = client_timeout - 2 * self._every
        self._open: set[Connection] = set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    @property
    def unserved(self) -> int:
        """Connections that have not been answered anything yet."""
        return sum(not connection.served_before for connection in self._open)

    def add(self, connection: Connection) -> None:
        """A client has connected; where there are too many, those idle longest make room."""
        if len(self._open) >= self._most and not self._make_room():
            self.refuse(connection, "too_many_connections")
            return
        self._open.add(connection)

    def discard(self, connection: Connection) -> None:
        """The connection is gone."""
        self._open.discard(connection)

    def refuse(self, connection: Connection, code: str) -> None:
        """Say why, if no answer has begun, and close."""
        if not connection.has_begun_to_answer:
            connection.transport.write(self._refusal(code))
        connection.transport.close()

    def start(self) -> None:
        """Sweep again and again."""

        def turn() -> None:
            self.sweep(self.now())
            self._loop.call_later(self._every, turn)

        self._loop.call_later(self._every, turn)

    def sweep(self, now: float) -> None:
        """Close the connections whose client has been too slow."""
        for connection in list(self._open):
            self._check(connection, now)

    def _check(self, connection: Connection, now: float) -> None:
        waited = now - connection.since
        if waited < self._patience:
            return
        if connection.transport.is_closing() or connection.flow.write_paused:
            # It does not read its answer.
            if connection.transport.get_write_buffer_size() and self._is_stuck(connection, now):
                connection.transport.abort()
        elif connection.is_receiving and not connection.flow.read_paused:
            if connection.received < MIN_BYTES_PER_SECOND * waited:
                self.refuse(connection, "client_too_slow")
            else:
                connection.since, connection.received = now, 0
        elif connection.is_receiving or connection.is_busy:
            # We are the slow ones.
            connection.since, connection.received = now, 0
        elif waited >= self._keep_alive or not connection.served_before:
            connection.transport.close()

    def _is_stuck(self, connection: Connection, now: float) -> bool:
        """Whether nothing of what is to be sent has left since the last look."""
        left = connection.transport.get_write_buffer_size()
        before, connection.received, connection.since = connection.received, left, now
        return left >= before > 0

    def _make_room(self) -> bool:
        idle = [each for each in self._open if not (each.is_busy or each.is_receiving)]
        idle.sort(key=attrgetter("since"))
        for connection in idle[: max(1, self._most // ROOM)]:
            self._open.discard(connection)
            connection.transport.close()
        return bool(idle)
