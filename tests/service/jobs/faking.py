"""Processes that are made of notes, and a database that can be away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import StoreUnavailableError
from service.store.database import Database, Stores


class Processes:
    """Starts, waits for and kills processes as the kernel does, one note each."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int]] = []
        """Job and fence of each process; its pid is 1000 + its place."""
        self.killed: list[tuple[int, signal.Signals]] = []
        self._ended: dict[int, int] = {}
        self._reaped: set[int] = set()

    def start(self, job_id: str, fence: int) -> int:
        self.started.append((job_id, fence))
        return self.newest

    @property
    def newest(self) -> int:
        return 999 + len(self.started)

    def exit(self, code: int = 0) -> None:
        """Let the newest process exit."""
        self._ended[self.newest] = code << 8

    def die(self, number: signal.Signals) -> None:
        """Let a signal end the newest process."""
        self._ended[self.newest] = int(number)

    def wait_for(self, pid: int, options: int) -> tuple[int, int]:
        if pid in self._reaped:
            raise ChildProcessError(10, "No child processes")
        if pid not in self._ended:
            return 0, 0
        self._reaped.add(pid)
        return pid, self._ended[pid]

    def kill(self, pid: int, number: int) -> None:
        if pid in self._reaped:
            raise ProcessLookupError(3, "No such process")
        self.killed.append((pid, signal.Signals(number)))


class MortalDatabase(Database):
    """A real database that does not answer while it is ``away``."""

    away = False
    asked = 0
    """How often."""

    @contextmanager
    def read(self) -> Iterator[Stores]:
        self._require_presence()
        with super().read() as stores:
            yield stores

    @contextmanager
    def write(self, beside_others: bool = False) -> Iterator[Stores]:
        self._require_presence()
        with super().write(beside_others) as stores:
            yield stores

    def _require_presence(self) -> None:
        self.asked += 1
        if self.away:
            raise StoreUnavailableError("the database does not answer; try again")
