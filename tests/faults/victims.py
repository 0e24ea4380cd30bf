"""What the processes do that are killed: small, and by the same code as the service."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, event

import service.artifacts.local
import service.store.database
import service.store.migrate
import tests.faults.laying
from ml.artifact import Bundle, artifact_id, encode
from service.artifacts.local import LocalArtifacts
from service.datasets.catalogue import Datasets
from service.datasets.folders import ROWS, seal
from service.store.database import Database
from service.store.migrate import migrate
from tests.faults.laying import NEW, NEXT, publish_and_register, settings_of
from tests.service.making import NOW, new_dataset, new_version

DATASET = "d" * 32


def publish(say: Callable[[int], None], data: Path) -> None:
    """Publish and register a version; say its number once it is acknowledged."""
    publish_and_register(data, NEW, say=say)


def publish_twice(say: Callable[[int], None], data: Path) -> None:
    """The same with two, one after the other."""
    publish_and_register(data, NEW, NEXT, say=say)


def publish_dataset(say: Callable[[str], None], data: Path) -> None:
    """Write the columns of a dataset, seal and publish them; say its id."""
    settings = settings_of(data)
    database = Database(settings.sqlalchemy_url)
    with database.write() as stores:
        # As in a service: SQLite's log is there when the first dataset comes.
        stores.versions.add(new_version("other"), "api", NOW)
    datasets = Datasets(database, settings.datasets_dir)
    workbench = datasets.new_workbench()
    try:
        finished = workbench / "dataset"
        finished.mkdir()
        (finished / ROWS).write_bytes(b"rows" * 500)
        seal(finished)
        datasets.publish(new_dataset(DATASET), finished, mends=False, most=10)
        say(DATASET)
    finally:
        datasets.discard(workbench)
        database.close()


def migrate_schema(say: Callable[[str], None], data: Path) -> None:
    """Bring the schema up to date."""
    migrate(settings_of(data).sqlalchemy_url)
    say("migrated")


# ---- what the oracle must notice ----


def register_first(say: Callable[[int], None], data: Path) -> None:
    """A version whose artifact is published after its registration."""
    publish_artifact = LocalArtifacts.publish
    vars(tests.faults.laying)["LocalArtifacts"] = _Promising
    numbers: list[int] = []
    publish_and_register(data, NEW, say=numbers.append)
    publish_artifact(LocalArtifacts(settings_of(data).artifacts_dir), NEW)
    say(numbers[0])


class _Promising(LocalArtifacts):
    def publish(self, bundle: Bundle) -> str:
        return artifact_id(encode(bundle))


def say_too_early(say: Callable[[int], None], data: Path) -> None:
    """A publication that is acknowledged before it is registered."""
    say(2)
    publish_and_register(data, NEW)


def publish_without_fsync(say: Callable[[int], None], data: Path) -> None:
    """An artifact whose bytes are left to the kernel."""
    module = vars(service.artifacts.local)
    module["write_durably"] = lambda path, content: path.write_bytes(content)
    module["sync"] = lambda folder: None
    publish_twice(say, data)


def publish_with_normal(say: Callable[[int], None], data: Path) -> None:
    """A database that does not wait for the disk at a commit."""
    configure = service.store.database._configure_sqlite

    def relaxed(engine: Engine) -> None:
        configure(engine)

        @event.listens_for(engine, "connect")
        def relax(connection: sqlite3.Connection, record: object) -> None:
            connection.execute("PRAGMA synchronous = NORMAL")

    vars(service.store.database)["_configure_sqlite"] = relaxed
    publish_twice(say, data)


def migrate_bit_by_bit(say: Callable[[str], None], data: Path) -> None:
    """A migration whose every statement is a transaction of its own."""

    def migrate_sqlite(engine: Engine) -> None:
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.isolation_level = None
            service.store.migrate._upgrade(connection)

    vars(service.store.migrate)["_migrate_sqlite"] = migrate_sqlite
    migrate_schema(say, data)
