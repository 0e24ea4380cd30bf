"""What only SQLite can get wrong: pragmas, and files that are no database."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from service.errors import StoreUnavailableError
from service.store.database import Database
from service.store.migrate import migrate
from tests.service.making import at_once


@pytest.fixture
def back_end() -> str:
    return "sqlite"


def test_every_connection_of_the_pool_is_durable(database_url: str) -> None:
    seen = []

    def look(connection: object, branch: object = None) -> None:
        assert hasattr(connection, "execute")
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        seen.append(tuple(connection.execute(f"PRAGMA {p}").fetchone()[0] for p in pragmas))

    def on_checkout(connection: object, record: object, proxy: object) -> None:
        look(connection)

    event.listen(Engine, "checkout", on_checkout)
    try:
        database = Database(database_url)
        together = threading.Barrier(6)

        def hold(_: int) -> None:
            with database.read() as stores:
                stores.jobs.count()
                together.wait()

        at_once(6, hold)
        with database.write() as stores:
            stores.jobs.count()
        database.close()
    finally:
        event.remove(Engine, "checkout", on_checkout)
    # 2 is FULL: https://sqlite.org/pragma.html#pragma_synchronous
    assert seen == [("wal", 2, 1, 10_000)] * 7


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/nowhere/refit.db")
    with pytest.raises(StoreUnavailableError), database.read():
        pass
    database.close()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "refit.db"
    file.write_bytes(b"this is no database, and long enough to be read as one" * 100)
    database = Database(f"sqlite:///{file}")
    with pytest.raises(StoreUnavailableError), database.read() as stores:
        stores.jobs.count()
    database.close()
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        migrate(f"sqlite:///{file}")
