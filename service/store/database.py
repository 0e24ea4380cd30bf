"""The engine and its transactions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.errors import StoreUnavailableError
from service.store.datasets import DatasetStore
from service.store.deployments import DeploymentStore
from service.store.jobs import JobStore
from service.store.keys import KeyStore
from service.store.versions import VersionStore
from service.store.workers import WorkerStore

BUSY_SECONDS = 10
"""How long a writer waits for another before the store counts as unavailable."""


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
        )
        if self._engine.dialect.name == "sqlite":
            _configure_sqlite(self._engine)

    @contextmanager
    def read(self) -> Iterator[Stores]:
        """One consistent view of all rows.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        with self._transaction(write=False) as connection:
            yield _stores(connection)

    @contextmanager
    def write(self) -> Iterator[Stores]:
        """All or nothing; durable when the block has ended without an exception.

        Raises:
            StoreUnavailableError: the database does not answer; nothing was written.
        """
        with self._transaction(write=True) as connection:
            yield _stores(connection)

    @contextmanager
    def _transaction(self, write: bool) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                connection = connection.execution_options(refit_write=write)
                with connection.begin():
                    yield connection
        except (OperationalError, PoolTimeoutError) as error:
            raise StoreUnavailableError("the database does not answer; try again") from error
        except DBAPIError as error:
            # SQLite says a bare DatabaseError of a file that is damaged or no database at all.
            if error.connection_invalidated or type(error) is DatabaseError:
                raise StoreUnavailableError("the database went away; try again") from error
            raise

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
        write = connection.get_execution_options().get("refit_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN DEFERRED")
