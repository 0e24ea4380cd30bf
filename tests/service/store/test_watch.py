"""What a loop asks at every turn: it misses nothing that was written, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.errors import StoreUnavailableError
from service.store.database import Database
from service.store.watch import Watch
from tests.service.making import NOW, new_version


@pytest.fixture
def watch(database: Database) -> Iterator[Watch]:
    opened = database.watch()
    yield opened
    opened.close()


def activate(database: Database, model: str = "default") -> int:
    """Register a version and make it the active one; the generation."""
    with database.write() as stores:
        number = stores.versions.add(new_version(model), "api", NOW).number
        return stores.deployments.move(model, number, "activated", NOW)


def break_connections(watch: Watch) -> None:
    """Close what the watch holds behind its back, as a server does that starts anew."""
    held = watch._connection
    assert held is not None
    held.dbapi_connection.close()  # type: ignore[union-attr]


def test_the_newest_generation_is_that_of_the_last_move(database: Database, watch: Watch) -> None:
    assert watch.newest_generation() == 0
    for model in ("default", "other", "default"):
        generation = activate(database, model)
        assert watch.newest_generation() == generation
        with database.read() as stores:
            assert stores.deployments.newest_generation() == generation


def test_a_closed_connection_is_opened_anew(database: Database, watch: Watch) -> None:
    generation = activate(database)
    watch.newest_generation()
    break_connections(watch)
    assert watch.newest_generation() == generation
    watch.close()
    assert watch.newest_generation() == generation


def test_a_watch_keeps_no_transaction_open(database: Database, watch: Watch) -> None:
    # One that did would answer out of its first snapshot for ever, and hold up every checkpoint.
    watch.newest_generation()
    first = activate(database)
    assert watch.newest_generation() == first
    second = activate(database)
    assert watch.newest_generation() == second


def test_closed_connections_do_not_go_back_to_those_of_transactions(
    database: Database, watch: Watch
) -> None:
    for _ in range(50):  # more than the pool has
        watch.newest_generation()
        watch.close()
    generation = activate(database)
    with database.read() as stores:
        assert stores.deployments.newest_generation() == generation


def test_a_stamp_differs_after_every_write_and_only_then(
    database: Database, watch: Watch, back_end: str
) -> None:
    before = watch.stamp()
    if back_end == "postgres":
        assert before is None
        return
    assert before is not None
    assert watch.stamp() == before
    with database.read() as stores:
        stores.deployments.list_all()
    assert watch.stamp() == before
    seen = {before}
    for _ in range(20):
        activate(database)
        stamp = watch.stamp()
        assert stamp is not None
        assert stamp not in seen
        seen.add(stamp)


def test_a_write_by_another_engine_is_noticed(
    database_url: str, watch: Watch, back_end: str
) -> None:
    before = watch.stamp()
    another = Database(database_url)
    generation = activate(another)
    another.close()
    assert watch.newest_generation() == generation
    assert (watch.stamp() == before) is (back_end == "postgres")


def test_a_write_while_the_connection_was_lost_is_noticed(
    database: Database, watch: Watch, back_end: str
) -> None:
    # A new connection begins to count anew, and may come to the number that the old one had.
    before = watch.stamp()
    watch.newest_generation()
    break_connections(watch)
    generation = activate(database)
    assert (watch.stamp() == before) is (back_end == "postgres")
    assert watch.newest_generation() == generation


def test_a_database_that_cannot_be_opened_is_said_to_be_away() -> None:
    away = Database("sqlite:////no/such/folder/refit.db")
    with pytest.raises(StoreUnavailableError):
        away.watch().newest_generation()
    away.close()
