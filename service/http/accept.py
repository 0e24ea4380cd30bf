"""Takes connections one at a time.

`loop.create_server` takes all that wait at once, so that one of several workers may end up with
every connection. Taking one a turn leaves the next to whoever is free first; and a worker that has
more than another waits a moment before it takes one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

logger = logging.getLogger(__name__)

YIELD_SECONDS = 0.002
"""How long one that has more leaves a connection to others. Several times what it takes a process
to wake; nobody notices it, and it is rare."""

BURST = 16
"""Connections that it takes at once where, after that, nobody else has: they may all be stuck."""

PAUSE_SECONDS = 0.1
"""Rest after a connection could not be taken, as where there are no file descriptors left."""


class Acceptor:
    """Accepts from ``listener``, which other processes accept from too. Has what uvicorn wants of
    an `asyncio.Server`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        leads: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._make_protocol = make_protocol
        self._leads = leads
        self._tasks: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        loop.add_reader(listener, self._take_one)

    def close(self) -> None:
        """Take what still waits, then no more."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener)
        while self._take():
            pass
        self._listener.close()

    async def wait_closed(self) -> None:
        """Wait until those taken last are connected."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take_one(self) -> None:
        if self._leads():
            self._loop.remove_reader(self._listener)
            self._loop.call_later(YIELD_SECONDS, self._take_what_is_left)
        else:
            self._take()

    def _take_what_is_left(self) -> None:
        self._resume()
        for _ in range(BURST):
            if self._listener.fileno() < 0 or not self._take():
                break

    def _take(self) -> bool:
        try:
            taken, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another worker was faster, or the client has left
        except OSError as error:
            logger.error("cannot take a connection: %s", error)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(PAUSE_SECONDS, self._resume)
            return False
        taken.setblocking(False)
        task = self._loop.create_task(self._connect(taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._take_one)

    async def _connect(self, taken: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, taken)
        except OSError:
            taken.close()
