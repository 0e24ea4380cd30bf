"""All connections of a web process: how many there may be, and how long a client may take.

uvicorn has neither a deadline for the head of a request nor one for its body, and its limit of
connections counts idle ones, which turns slow clients into an outage. Here a client that owes bytes
has `client_timeout` seconds, and a connection that only waits makes room for others.
"""

from __future__ import annotations

import fcntl
import termios
from array import array
from asyncio import AbstractEventLoop, Transport
from collections.abc import Callable
from contextlib import suppress
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

SLICE = 32
"""Connections that are looked at in one turn of the event loop; to close one takes 50 us."""

Refusal = Callable[[str], bytes]
"""An answer in bytes for the code of an error."""


class Connection(Protocol):
    """What is known of a connection; see `RefitProtocol`."""

    transport: Transport
    flow: FlowControl
    since: float
    """When what is waited for now began to be waited for, by the loop's clock."""
    received: int
    """Bytes that came since then."""
    unsent: int
    """Bytes of an answer that waited to be sent at `unsent_since`; 0 where none did."""
    unsent_since: float
    served_before: bool
    """Whether a request of this connection has been answered."""

    @property
    def is_receiving(self) -> bool: ...
    @property
    def is_awaited(self) -> bool: ...
    @property
    def is_busy(self) -> bool: ...
    def end_with(self, answer: bytes) -> None: ...
    def drain(self) -> None: ...


class Connections:
    """Turn the crank with `check`."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        refusal: Refusal,
        most: int,
        client_timeout: float,
        keep_alive_seconds: float,
        tell_count: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.now = loop.time
        self._loop = loop
        self._refusal = refusal
        self._most = most
        self._keep_alive = keep_alive_seconds
        # A client is sent away within its time, not at the first look after it.
        self._every = min(0.5, client_timeout / 10)
        self._patience = client_timeout - 2 * self._every
        self._open: set[Connection] = set()
        self._tell_count = tell_count
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
        self._tell_count(len(self._open))

    def discard(self, connection: Connection) -> None:
        """The connection is gone."""
        self._open.discard(connection)
        self._tell_count(len(self._open))

    def drain(self) -> None:
        """Let every answer from now on end its connection."""
        self.draining = True
        for connection in self._open:
            connection.drain()

    def refuse(self, connection: Connection, code: str) -> None:
        """Say why, where no answer has begun, and close."""
        connection.end_with(self._refusal(code))

    def start(self) -> None:
        """Look at every connection again and again."""
        self._look([])

    def _look(self, left: list[Connection]) -> None:
        """Look at some of those that are ``left`` of this round. Thousands that connected together
        also become too slow together, and would hold up the loop if they were closed in one turn.
        """
        left = left or list(self._open)
        slices = len(self._open) // SLICE + 1
        part = left[-SLICE:]
        del left[-SLICE:]
        self._loop.call_later(self._every / slices, self._look, left)
        for connection in part:
            self.check(connection, self.now())

    def check(self, connection: Connection, now: float) -> None:
        """Close a connection whose client has been too slow."""
        size = connection.transport.get_write_buffer_size()
        if size or connection.unsent:
            self._check_reader(connection, size and size + _in_kernel(connection.transport), now)
        waited = now - connection.since
        if waited < self._patience or size or connection.transport.is_closing():
            return
        if connection.is_awaited and not connection.flow.read_paused:
            if connection.received < MIN_BYTES_PER_SECOND * waited:
                self.refuse(connection, "client_too_slow")
            else:
                connection.since, connection.received = now, 0
        elif connection.is_receiving or connection.is_busy:
            # We are the slow ones.
            connection.since, connection.received = now, 0
        elif waited >= self._keep_alive or not connection.served_before:
            connection.transport.close()

    def _check_reader(self, connection: Connection, size: int, now: float) -> None:
        """Whether a client reads what waits to be sent to it, ``size`` bytes."""
        waited = now - connection.unsent_since
        if not connection.unsent or size > connection.unsent or not size:
            connection.unsent, connection.unsent_since = size, now
        elif waited >= self._patience:
            if connection.unsent - size < MIN_BYTES_PER_SECOND * waited:
                connection.transport.abort()
            connection.unsent, connection.unsent_since = size, now

    def _make_room(self) -> bool:
        idle = [each for each in self._open if not (each.is_busy or each.is_receiving)]
        idle.sort(key=attrgetter("since"))
        for connection in idle[: max(1, self._most // ROOM)]:
            self._open.discard(connection)
            connection.transport.close()
        return bool(idle)


def _in_kernel(transport: Transport) -> int:
    """Bytes that the kernel keeps until the client has taken them: some megabytes, of which a slow
    client takes away for a minute before the transport can send any more."""
    count = array("i", [0])
    with suppress(OSError):
        fcntl.ioctl(transport.get_extra_info("socket"), termios.TIOCOUTQ, count)
    return count[0]
