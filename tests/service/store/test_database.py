"""Transactions: all or nothing, durable, and honest about a database that does not answer."""

from __future__ import annotations

import gc
import threading
import time

import pytest
from sqlalchemy.exc import IntegrityError

import service.store.database
from service.errors import StoreUnavailableError
from service.store.database import Database
from tests.service.making import NOW, PowerCutError, at_once, new_job, new_version, write_locked


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for another writer gives up soon."""
    monkeypatch.setattr(service.store.database, "BUSY_SECONDS", 0.1)


def test_an_exception_undoes_all_that_the_block_wrote(database: Database) -> None:
    with pytest.raises(PowerCutError), database.write() as stores:  # noqa: PT012
        stores.jobs.add(new_job(), NOW)
        stores.versions.add(new_version(), "api", NOW)
        stores.deployments.move("default", 1, "promoted", NOW)
        assert stores.jobs.count() == 1
        raise PowerCutError
    with database.read() as stores:
        assert stores.jobs.count() == 0
        assert stores.versions.count_models() == 0
        assert stores.deployments.newest_generation() == 0


def test_what_was_written_is_seen_by_others_only_when_the_block_has_ended(
    database: Database, database_url: str
) -> None:
    other = Database(database_url)
    with database.write() as stores:
        stores.jobs.add(new_job(), NOW)
        with other.read() as seen:
            assert seen.jobs.count() == 0
    with other.read() as seen:
        assert seen.jobs.count() == 1
    other.close()


def test_a_read_sees_one_instant_whatever_is_written_meanwhile(
    database: Database, database_url: str
) -> None:
    other = Database(database_url)
    with database.read() as stores:
        assert stores.jobs.count() == 0
        with other.write() as writing:
            writing.jobs.add(new_job(), NOW)
        assert stores.jobs.count() == 0
        assert stores.jobs.list_newest(10, None, None, None) == []
    other.close()


def test_rows_that_contradict_each_other_are_refused(database: Database) -> None:
    with database.write() as stores:
        stores.versions.add(new_version(), "api", NOW)
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"), database.write() as stores:
        stores.deployments.move("default", 99, "activated", NOW)
    with database.write() as stores:
        stores.deployments.move("default", 1, "activated", NOW)
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"), database.write() as stores:
        stores.versions.delete("default", 1)


@pytest.mark.usefixtures("impatient")
def test_a_locked_database_is_unavailable_for_writers(database_url: str) -> None:
    database = Database(database_url)
    with write_locked(database_url):
        started = time.monotonic()
        with (
            pytest.raises(StoreUnavailableError, match="does not answer; try again"),
            database.write() as stores,
        ):
            stores.jobs.add(new_job(), NOW)
        assert 0.1 <= time.monotonic() - started < 5
    with database.write() as stores:
        assert stores.jobs.count() == 0
    database.close()


@pytest.mark.usefixtures("impatient")
def test_a_locked_database_can_still_be_read(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as stores:
        stores.jobs.add(new_job(), NOW)
    with write_locked(database_url), database.read() as stores:
        assert stores.jobs.count() == 1
    database.close()


def test_a_writer_waits_its_turn(database: Database, database_url: str) -> None:
    locked, unlock = threading.Event(), threading.Event()

    def hold() -> None:
        with write_locked(database_url):
            locked.set()
            unlock.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait()
    threading.Timer(0.3, unlock.set).start()
    started = time.monotonic()
    with database.write() as stores:
        waited = time.monotonic() - started
        stores.jobs.add(new_job(), NOW)
    holder.join()
    assert waited > 0.2


def test_writers_that_read_first_never_fail_however_many_there_are(
    database_url: str,
) -> None:
    # With a deferred BEGIN, SQLite fails most of these at once: SQLITE_BUSY_SNAPSHOT.
    def write(_: int) -> None:
        database = Database(database_url)
        for _ in range(15):
            with database.write() as stores:
                before = stores.jobs.count()
                stores.jobs.add(new_job(), NOW)
                assert stores.jobs.count() == before + 1
        database.close()

    at_once(8, write)
    database = Database(database_url)
    with database.read() as stores:
        assert stores.jobs.count() == 8 * 15
    database.close()


@pytest.mark.usefixtures("impatient")
def test_a_pool_that_is_used_up_is_unavailable(database_url: str) -> None:
    database = Database(database_url)
    leave = threading.Event()
    inside = threading.Barrier(41)

    def hold() -> None:
        with database.read():
            inside.wait()
            leave.wait()

    holders = [threading.Thread(target=hold) for _ in range(40)]
    for holder in holders:
        holder.start()
    inside.wait()
    with pytest.raises(StoreUnavailableError), database.read():
        pass
    leave.set()
    for holder in holders:
        holder.join()
    with database.read() as stores:
        assert stores.jobs.count() == 0
    database.close()


@pytest.mark.filterwarnings(
    "ignore:.*was deleted while still open:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_connections_are_let_go_after_a_fork_and_new_ones_opened(database: Database) -> None:
    with database.write() as stores:
        stores.jobs.add(new_job(), NOW)
    database.forget_after_fork()
    # psycopg complains of what was let go on purpose; here, not in a later test.
    gc.collect()
    with database.read() as stores:
        assert stores.jobs.count() == 1
