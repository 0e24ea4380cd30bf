"""Bring the schema up to date."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import OperationalError

from service.errors import StoreUnavailableError

HEAD = "0001"
"""The newest revision; a test compares it with the scripts. Known without Alembic, so that an
ordinary start need not import it (0.2 s)."""

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(url: str) -> None:
    """Bring the database at ``url`` to `HEAD`; all in one transaction, so it may die at any moment.

    Raises:
        StoreUnavailableError: the database cannot be opened.
    """
    engine = create_engine(url)
    try:
        if engine.dialect.name == "sqlite":
            _migrate_sqlite(engine)
        else:
            _migrate_locked(engine)
    except OperationalError as error:
        raise StoreUnavailableError(f"the database cannot be opened: {error.orig}") from error
    finally:
        engine.dispose()


def _migrate_sqlite(engine: Engine) -> None:
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.isolation_level = None
        connection.exec_driver_sql("PRAGMA busy_timeout = 10000")
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        connection.exec_driver_sql("PRAGMA synchronous = FULL")
        # One process migrates, the others wait here and then find nothing left to do.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        _upgrade(connection)
        connection.exec_driver_sql("COMMIT")


def _migrate_locked(engine: Engine) -> None:
    with engine.begin() as connection:
        # Any constant will do, as long as every Refit uses the same.
        connection.execute(text("SELECT pg_advisory_xact_lock(7236117)"))
        _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    if _revision(connection) == HEAD:
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    query = text("SELECT version_num FROM alembic_version")
    return connection.execute(query).scalar_one_or_none()
