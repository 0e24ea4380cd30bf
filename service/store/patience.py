"""How long anybody waits for a Postgres that stands still, or that a network has swallowed.

Nothing on the server's side ends such a wait, and the kernel of its machine answers for a process
that does not.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, event

T = TypeVar("T")

FIRST_ANSWER_SECONDS = 5.0
"""For what begins a transaction, which waits for nobody."""

MARGIN_SECONDS = 5.0
"""Beyond the longest wait for a lock, which the server ends by itself."""


def limit_silence(engine: Engine, busy_seconds: float) -> None:
    """Let connections of ``engine`` give up a server that says nothing, and close.

    Within a transaction, that may wait for a lock, after ``busy_seconds`` and some more.
    """

    class Impatient(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
            idle = self.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
            seconds = FIRST_ANSWER_SECONDS if idle else busy_seconds + MARGIN_SECONDS
            try:
                return super().wait(_until_silent(gen, seconds), *args, **options)
            except _SilentError:
                # It may be in the midst of anything.
                self.close()
                message = f"the server said nothing for {seconds:g} s"
                raise psycopg.OperationalError(message) from None

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, args: list[Any], options: dict[str, Any]) -> Any:
        return Impatient.connect(*args, **options)


class _SilentError(Exception):
    pass


def _until_silent(gen: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """The same steps of psycopg, which are told every now and then that nothing came."""
    deadline = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                deadline = time.monotonic() + seconds
            elif time.monotonic() > deadline:
                raise _SilentError
            wanted = gen.send(ready)
    except StopIteration as end:
        value: T = end.value
        return value
