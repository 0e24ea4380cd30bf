"""A real Postgres that stands still: given up in time, within a transaction and before one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

import service.store.database
import service.store.patience
from service.errors import StoreUnavailableError
from service.store.database import Database
from tests.postgres import PostgresServer
from tests.service.making import NOW, new_job


@pytest.fixture
def back_end() -> str:
    return "postgres"


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """One that gives up soon."""
    monkeypatch.setattr(service.store.patience, "FIRST_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(service.store.patience, "MARGIN_SECONDS", 0.3)
    monkeypatch.setattr(service.store.database, "BUSY_SECONDS", 0.3)
    opened = Database(database_url)
    with opened.read() as stores:
        assert stores.jobs.count() == 0
    yield opened
    opened.close()


@pytest.fixture
def frozen(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """To be frozen by the test; goes on afterwards."""
    yield postgres
    postgres.thaw()


def test_a_server_that_stands_still_is_given_up_and_asked_again_when_it_goes_on(
    database: Database, frozen: PostgresServer
) -> None:
    frozen.freeze()
    for _ in range(2):
        with pytest.raises(StoreUnavailableError), database.write() as stores:
            stores.jobs.add(new_job(), NOW)
    frozen.thaw()
    with database.read() as stores:
        assert stores.jobs.count() == 0


def test_a_server_that_stands_still_within_a_transaction_is_given_up_and_nothing_was_written(
    database: Database, frozen: PostgresServer
) -> None:
    with pytest.raises(StoreUnavailableError), database.write() as stores:  # noqa: PT012
        stores.jobs.add(new_job(), NOW)
        frozen.freeze()
        stores.jobs.add(new_job(), NOW)
    frozen.thaw()
    with database.read() as stores:
        assert stores.jobs.count() == 0


def test_a_network_that_swallows_all_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # The least that psycopg takes.
    monkeypatch.setitem(vars(service.store.database)["_POSTGRES"], "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
        database = Database(f"postgresql+psycopg://refit@127.0.0.1:{port}/refit")
        with pytest.raises(StoreUnavailableError), database.read():
            raise AssertionError("nobody answered")
        database.close()
