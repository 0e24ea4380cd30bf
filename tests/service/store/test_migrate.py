"""Migrations lead from nothing to the schema of the code, once, however many try at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from service.errors import StoreUnavailableError
from service.store.database import Database
from service.store.migrate import HEAD, migrate
from service.store.tables import metadata
from tests.service.making import FORKSERVER, NOW, new_dataset, new_job, write_locked


@pytest.fixture
def empty_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/empty.db"


@pytest.fixture
def connection(empty_url: str) -> Iterator[Connection]:
    engine = create_engine(empty_url)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def config(connection: Connection | None = None) -> Config:
    made = Config()
    made.set_main_option("script_location", "service/store/migrations")
    made.attributes["connection"] = connection
    return made


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def test_migrations_make_the_schema_of_the_code(empty_url: str, connection: Connection) -> None:
    migrate(empty_url)
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    assert compare_metadata(context, metadata) == []
    assert tables(connection) == {*metadata.tables, "alembic_version"}


def test_migrations_make_the_constraints_of_the_code(
    empty_url: str, connection: Connection
) -> None:
    # Autogenerate does not compare all of these.
    migrate(empty_url)
    by_code = create_engine("sqlite://")
    metadata.create_all(by_code)
    for table in metadata.tables:
        for get in ("get_pk_constraint", "get_foreign_keys", "get_unique_constraints"):
            by_scripts, wanted = (getattr(inspect(of), get)(table) for of in (connection, by_code))
            if isinstance(wanted, list):
                by_scripts.sort(key=lambda constraint: constraint["name"])
                wanted.sort(key=lambda constraint: constraint["name"])
            assert by_scripts == wanted, (table, get)
    query = text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%' ORDER BY name")
    with by_code.connect() as other:
        counted = other.execute(query).scalars().all()
    wanted = ["datasets", "deployment_moves", "jobs"]
    assert connection.execute(query).scalars().all() == counted == wanted
    by_code.dispose()


def test_head_is_the_newest_script() -> None:
    assert ScriptDirectory.from_config(config()).get_current_head() == HEAD


def test_the_database_is_left_in_wal_mode(empty_url: str, connection: Connection) -> None:
    migrate(empty_url)
    assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_a_second_migration_changes_nothing(empty_url: str, connection: Connection) -> None:
    migrate(empty_url)
    database = Database(empty_url)
    with database.write() as stores:
        job = stores.jobs.add(new_job(), NOW)
    schema = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.commit()
    migrate(empty_url)
    assert connection.exec_driver_sql("PRAGMA schema_version").scalar_one() == schema
    with database.read() as stores:
        assert stores.jobs.get(job.id) == job
    database.close()


def test_an_ordinary_start_does_not_import_alembic(empty_url: str) -> None:
    migrate(empty_url)
    program = (
        "import sys; from service.store.migrate import migrate;"
        f"migrate({empty_url!r}); assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_processes_that_migrate_at_once_all_succeed(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=FORKSERVER) as pool:
        for turn in range(6):
            url = f"sqlite:///{tmp_path}/turn{turn}.db"
            list(pool.map(migrate, [url] * 4))
            database = Database(url)
            with database.write() as stores:
                stores.jobs.add(new_job(), NOW)
            database.close()


def test_a_migration_that_dies_half_way_leaves_nothing(
    empty_url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = command.upgrade

    def upgrade_and_die(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise RuntimeError("power cut")

    monkeypatch.setattr(command, "upgrade", upgrade_and_die)
    with pytest.raises(RuntimeError, match="power cut"):
        migrate(empty_url)
    assert tables(connection) == set()
    monkeypatch.undo()
    connection.commit()
    migrate(empty_url)
    assert tables(connection) >= set(metadata.tables)


def test_downgrades_lead_back_to_nothing(empty_url: str, connection: Connection) -> None:
    migrate(empty_url)
    command.downgrade(config(connection), "base")
    connection.commit()
    assert tables(connection) == {"alembic_version"}
    connection.commit()
    migrate(empty_url)
    assert tables(connection) == {*metadata.tables, "alembic_version"}


def rows_of_0001(connection: Connection) -> None:
    """A job, its event and versions of every kind of data, as revision 0001 wrote them."""
    line = {"source": "line", "weight": 0.7, "bias": 0.3}
    flat = {"source": "points", "x": [1.0, 2.0], "y": [1.0, 2.0]}
    wide = {"source": "points", "x": [[1.0, 2.0]], "y": [[1.0, 2.0, 3.0]], "feature_names": None}
    named = {**wide, "feature_names": ["a", "b"], "target_names": ["c", "d", "e"]}
    job = {
        "id": "j" * 32,
        "model": "default",
        "origin": "api",
        "state": "succeeded",
        "spec": json.dumps({"data": line, "epochs": 10}),
        **dict.fromkeys(("attempt", "fence", "events"), 1),
        "cancel_requested": False,
        **dict.fromkeys(("epoch", "epochs"), 10),
        "metrics": json.dumps({"train_loss": 0.5}),
        "created_at": "2026-03-01 12:00:00.000000",
    }
    insert(connection, "jobs", job)
    event = {
        "job_id": "j" * 32,
        "seq": 1,
        "fence": 1,
        "kind": "state",
        "data": '{"state": "queued"}',
    }
    insert(connection, "job_events", {**event, "at": job["created_at"]})
    insert(connection, "models", {"name": "m", "last_version": 4, "created_at": job["created_at"]})
    for number, data in enumerate((line, flat, wide, named), start=1):
        version = {
            "model": "m",
            "number": number,
            "job_id": f"{number:032}",
            "origin": "api",
            "artifact": "a" * 64,
            "spec": json.dumps({"data": data}),
            "metrics": "{}",
            "data_sha256": "d" * 64,
            "environment": "{}",
            "created_at": job["created_at"],
        }
        insert(connection, "versions", version)
    connection.commit()


def insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), row)


@pytest.fixture
def of_0001(connection: Connection) -> Connection:
    command.upgrade(config(connection), "0001")
    connection.commit()
    rows_of_0001(connection)
    return connection


def test_rows_of_0001_are_kept_and_their_columns_named(empty_url: str, of_0001: Connection) -> None:
    migrate(empty_url)
    database = Database(empty_url)
    with database.write() as stores:
        job = stores.jobs.get("j" * 32)
        assert (job.state, job.metrics, job.epochs) == ("succeeded", {"train_loss": 0.5}, 10)
        assert (job.dataset, job.warnings) == (None, [])
        assert [event.data for event in stores.jobs.events(job.id, 0, 9)] == [{"state": "queued"}]
        versions = [stores.versions.get("m", number) for number in range(1, 5)]
        assert [(v.feature_names, v.target_names) for v in versions] == [
            (["x"], ["y"]),
            (["x"], ["y"]),
            (["x1", "x2"], ["y1", "y2", "y3"]),
            (["a", "b"], ["c", "d", "e"]),
        ]
        assert all(version.warnings == [] for version in versions)
        assert stores.jobs.add(new_job(), NOW).number == job.number + 1
        assert stores.datasets.add(new_dataset(), NOW).number == 1
    database.close()


def test_rows_of_0001_survive_the_way_back(empty_url: str, of_0001: Connection) -> None:
    def rows() -> list[Any]:
        tables = ("jobs", "job_events", "models", "versions")
        of_each = (of_0001.execute(text(f"SELECT * FROM {t} ORDER BY 1, 2")) for t in tables)
        return [[dict(row) for row in found.mappings()] for found in of_each]

    before = rows()
    of_0001.commit()
    migrate(empty_url)
    command.downgrade(config(of_0001), "0001")
    of_0001.commit()
    assert rows() == before


def test_a_database_that_cannot_be_opened_is_named_as_the_reason(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="unable to open database file"):
        migrate(f"sqlite:///{tmp_path}/nowhere/refit.db")


def test_a_url_that_is_none_is_named_as_the_reason() -> None:
    with pytest.raises(StoreUnavailableError, match="REFIT_DATABASE_URL"):
        migrate("nonsense")
    with pytest.raises(StoreUnavailableError, match="REFIT_DATABASE_URL"):
        migrate("nosuchdatabase://user:secret@host/refit")


def test_a_url_that_is_wrong_does_not_show_its_password() -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        migrate("nosuchdatabase://user:secret@host/refit")
    assert "secret" not in caught.value.detail


def test_a_database_of_a_newer_refit_is_refused_in_words(
    empty_url: str, connection: Connection
) -> None:
    migrate(empty_url)
    connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    connection.commit()
    with pytest.raises(StoreUnavailableError, match=r"revision 9999.*newer"):
        migrate(empty_url)


def test_a_migration_waits_for_who_writes(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(empty_url)
    monkeypatch.setattr("service.store.migrate.BUSY_SECONDS", 0.1)
    with write_locked(empty_url), pytest.raises(StoreUnavailableError, match="locked"):
        migrate(empty_url)
