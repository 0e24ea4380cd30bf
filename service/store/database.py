"""The engine and its transactions."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.errors import StoreUnavailableError
from service.store.datasets import DatasetStore
from service.store.deployments import DeploymentStore
from service.store.jobs import JobStore
from service.store.keys import KeyStore
from service.store.patience import limit_silence
from service.store.versions import VersionStore
from service.store.watch import Watch
from service.store.workers import WorkerStore

BUSY_SECONDS = 10
"""How long a writer waits for another before the store counts as unavailable."""

WAIT_SECONDS = 0.5
"""Between two questions to a database that is away."""

WRITER_LOCK = 7236118
"""The advisory lock of Postgres that a writer holds. Any number will do that every Refit uses."""

_POSTGRES = {
    # A server that is cut off answers nothing at all: give up before those who ask do.
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
    # A writer that hangs, frozen or cut off, lets go of what it has locked.
    "options": "-c idle_in_transaction_session_timeout=60s",
    "application_name": "refit",
}


_Kind = Literal["read", "alone", "beside others"]


@dataclass(frozen=True)
class Stores:
    """Every store, in one transaction."""

    jobs: JobStore
    keys: KeyStore
    versions: VersionStore
    deployments: DeploymentStore
    datasets: DatasetStore
    workers: WorkerStore


class Database:
    """Rows in SQLite or Postgres. Each process opens its own."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(
            url,
            pool_size=8,
            max_overflow=32,
            pool_timeout=BUSY_SECONDS,
            pool_pre_ping=not url.startswith("sqlite"),
            json_serializer=partial(json.dumps, allow_nan=False),
            connect_args=_POSTGRES if url.startswith("postgresql") else {},
        )
        if self._engine.dialect.name == "sqlite":
            _configure_sqlite(self._engine)
        else:
            limit_silence(self._engine, BUSY_SECONDS)
            _configure_postgres(self._engine)

    @contextmanager
    def read(self) -> Iterator[Stores]:
        """One consistent view of all rows.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        with self._transaction("read") as connection:
            yield _stores(connection)

    @contextmanager
    def write(self, beside_others: bool = False) -> Iterator[Stores]:
        """All or nothing; durable when the block has ended without an exception.

        One writer at a time, so that what a block has read stays true until its end. Those that
        are ``beside_others`` do not wait for this on Postgres; for writes of a single row, or
        guarded by the fence of a job, which need no such promise.

        Raises:
            StoreUnavailableError: the database does not answer; nothing was written, unless it
                went away during the commit: then nobody knows.
        """
        with self._transaction("beside others" if beside_others else "alone") as connection:
            yield _stores(connection)

    @contextmanager
    def _transaction(self, kind: _Kind) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                connection = connection.execution_options(refit_kind=kind)
                with connection.begin():
                    yield connection
        except (OperationalError, PoolTimeoutError) as error:
            raise StoreUnavailableError("the database does not answer; try again") from error
        except DBAPIError as error:
            # SQLite says a bare DatabaseError of a file that is damaged or no database at all.
            if error.connection_invalidated or type(error) is DatabaseError:
                raise StoreUnavailableError("the database went away; try again") from error
            raise

    def watch(self) -> Watch:
        """What tells a loop cheaply whether there is anything new; close it before this."""
        return Watch(self._engine)

    def wait(self, give_up: Callable[[], bool]) -> None:
        """Wait until the database answers.

        Raises:
            StoreUnavailableError: it does not, and ``give_up`` says so.
        """
        while True:
            try:
                with self.read() as stores:
                    stores.jobs.count("running")
                return
            except StoreUnavailableError:
                if give_up():
                    raise
            time.sleep(WAIT_SECONDS)

    def close(self) -> None:
        """Close every connection of this process."""
        self._engine.dispose()

    def forget_after_fork(self) -> None:
        """Let go, without closing them, of connections that belong to the parent process."""
        self._engine.dispose(close=False)


def _stores(connection: Connection) -> Stores:
    return Stores(
        JobStore(connection),
        KeyStore(connection),
        VersionStore(connection),
        DeploymentStore(connection),
        DatasetStore(connection),
        WorkerStore(connection),
    )


def _configure_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def set_pragmas(connection: sqlite3.Connection, record: Any) -> None:
        # sqlite3 must not start transactions by itself: we say BEGIN below.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout = {BUSY_SECONDS * 1000}",
            "journal_mode = WAL",
            # NORMAL loses every acknowledged row since the last checkpoint in a power cut.
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred BEGIN that reads and then writes fails at once with SQLITE_BUSY_SNAPSHOT,
        # whatever the busy timeout; IMMEDIATE waits its turn.
        kind = connection.get_execution_options().get("refit_kind", "read")
        connection.exec_driver_sql("BEGIN DEFERRED" if kind == "read" else "BEGIN IMMEDIATE")


def _configure_postgres(engine: Engine) -> None:
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # psycopg says BEGIN before the first of these; they hold until the transaction ends.
        kind = connection.get_execution_options().get("refit_kind", "read")
        if kind == "read":
            # Each statement of READ COMMITTED would see another instant.
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(BUSY_SECONDS * 1000)}")
        # Whatever the server's configuration says: what was acknowledged is durable.
        connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
        if kind == "alone":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
