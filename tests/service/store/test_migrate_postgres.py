"""On Postgres too, migrations lead from nothing to the schema of the code, and keep rows."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from service.errors import StoreUnavailableError
from service.store.database import Database
from service.store.migrate import migrate
from service.store.tables import metadata
from tests.postgres import PostgresServer
from tests.service.making import FORKSERVER, NOW, new_job
from tests.service.store.test_migrate import config, rows_of_0001, tables


@pytest.fixture
def empty_url(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def connection(empty_url: str) -> Iterator[Connection]:
    engine = create_engine(empty_url)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def test_migrations_make_the_schema_of_the_code(empty_url: str, connection: Connection) -> None:
    migrate(empty_url)
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    assert compare_metadata(context, metadata) == []
    assert tables(connection) == {*metadata.tables, "alembic_version"}


def test_rows_of_0001_are_kept(empty_url: str, connection: Connection) -> None:
    command.upgrade(config(connection), "0001")
    connection.commit()
    rows_of_0001(connection)
    migrate(empty_url)
    database = Database(empty_url)
    with database.read() as stores:
        assert stores.jobs.get("j" * 32).beat == 0
        assert stores.versions.get("m", 3).feature_names == ["x1", "x2"]
    database.close()
    command.downgrade(config(connection), "0001")
    connection.commit()
    migrate(empty_url)


def test_processes_that_migrate_at_once_all_succeed(empty_url: str) -> None:
    with ProcessPoolExecutor(4, mp_context=FORKSERVER) as pool:
        list(pool.map(migrate, [empty_url] * 4))
    database = Database(empty_url)
    with database.write() as stores:
        stores.jobs.add(new_job(), NOW)
    database.close()


def test_a_server_that_is_not_there_is_named_as_the_reason() -> None:
    with pytest.raises(StoreUnavailableError, match="the database cannot be opened"):
        migrate("postgresql+psycopg://refit@/none?host=/nowhere")
