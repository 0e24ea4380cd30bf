"""Wakes coroutines from a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Bell:
    """Rung by a thread; heard by whoever listens in an event loop.

    It carries no news, which can be lost: who hears it looks where they are.
    """

    def __init__(self) -> None:
        self._listening: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listening)

    @contextmanager
    def listen(self) -> Iterator[asyncio.Event]:
        """An event that is set at every ring meanwhile; clear it before you look, not after."""
        event = asyncio.Event()
        with self._lock:
            self._listening[event] = asyncio.get_running_loop()
        try:
            yield event
        finally:
            with self._lock:
                del self._listening[event]

    def ring(self) -> None:
        """Wake all who listen."""
        with self._lock:
            listening = list(self._listening.items())
        for event, loop in listening:
            # The loop of a process that ends.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)
