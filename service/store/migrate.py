"""Bring the schema up to date."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from service.errors import StoreUnavailableError
from service.store.database import BUSY_SECONDS

HEAD = "0003"
"""The newest revision; a test compares it with the scripts. Known without Alembic, so that an
ordinary start need not import it (0.2 s)."""

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(url: str) -> None:
    """Bring the database at ``url`` to `HEAD`; all in one transaction, so it may die at any moment.

    Raises:
        StoreUnavailableError: the database cannot be opened, or is of a newer Refit.
    """
    try:
        engine = create_engine(url)
    except (ArgumentError, ImportError) as error:
        message = f"REFIT_DATABASE_URL: expected the SQLAlchemy URL of a database: {error}"
        raise StoreUnavailableError(message) from error
    try:
        if engine.dialect.name == "sqlite":
            _migrate_sqlite(engine)
        else:
            _migrate_locked(engine)
    except DatabaseError as error:
        raise StoreUnavailableError(f"the database cannot be opened: {error.orig}") from error
    finally:
        engine.dispose()


def _migrate_sqlite(engine: Engine) -> None:
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.isolation_level = None
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        _enter_wal_mode(connection)
        connection.exec_driver_sql("PRAGMA synchronous = FULL")
        # One process migrates, the others wait here and then find nothing left to do.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        _upgrade(connection)
        connection.exec_driver_sql("COMMIT")


def _enter_wal_mode(connection: Connection) -> None:
    # Where two processes do this to a new file at once, SQLite fails without any waiting.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            return
        except OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= deadline:
                raise
        time.sleep(0.01)


def _is_busy(error: OperationalError) -> bool:
    """Whether waiting may help: on a disk that cannot be written it does not."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _migrate_locked(engine: Engine) -> None:
    with engine.begin() as connection:
        # Any constant will do, as long as every Refit uses the same.
        connection.execute(text("SELECT pg_advisory_xact_lock(7236117)"))
        _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    revision = _revision(connection)
    if revision == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        message = f"the database is at revision {revision}: it was made by a newer Refit"
        raise StoreUnavailableError(message)
    command.upgrade(config, HEAD)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    query = text("SELECT version_num FROM alembic_version")
    return connection.execute(query).scalar_one_or_none()
