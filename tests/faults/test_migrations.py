"""A migration that is killed at any of its writes: the old schema or the new one, rows intact."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from service.store.migrate import HEAD
from tests.faults import victims
from tests.faults.counting import LONG, Count
from tests.faults.laying import lay_copy
from tests.faults.tracing import WRITES, Work, calls_of, failing_at, killed_at, needs_strace, traced
from tests.service.store.test_migrate import config, rows_of_0001

pytestmark = [pytest.mark.faults, needs_strace]

CALLS = "all" if LONG else WRITES
"""The short run leaves out what changes nothing."""

OLD = sorted(
    script.revision
    for script in ScriptDirectory.from_config(config()).walk_revisions()
    if script.revision != HEAD
)

Dump = dict[str, list[Any]]


def lay_revision(data: Path, revision: str) -> Path:
    """A data folder of an earlier Refit, with rows, as it leaves it: in WAL mode."""
    data.mkdir(parents=True)
    engine = create_engine(f"sqlite:///{data}/refit.db")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        command.upgrade(config(connection), "0001")
        connection.commit()
        rows_of_0001(connection)
        command.upgrade(config(connection), revision)
        connection.commit()
    engine.dispose()
    return data


def dump(data: Path) -> Dump:
    """Every table with its definition and rows."""
    with closing(sqlite3.connect(data / "refit.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        tables = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        rows: Dump = {"": tables}
        for name, sql in tables:
            if sql is not None and sql.startswith("CREATE TABLE"):
                rows[name] = sorted(map(repr, connection.execute(f"SELECT * FROM {name}")))
    return rows


def complaints(data: Path, before: Dump, after: Dump, migrated: bool) -> list[str]:
    """What is wrong with the schema, and with a second migration."""
    try:
        found = dump(data)
        said = [] if found in (before, after) else ["neither the old schema nor the new one"]
        if migrated and found != after:
            said.append("the migration was acknowledged and is lost")
        again = traced(victims.migrate_schema, data, options=["-e", "trace=none"])
        if again.acknowledged != ("migrated",):
            said.append(f"a second migration fails: {again}")
        if dump(data) != after:
            said.append("the second migration leaves something else")
    except (sqlite3.Error, AssertionError) as error:
        return [f"the database does not open: {error}"]
    return said


def hurt_everywhere(
    work: Work,
    start: Path,
    room: Path,
    hurt: Count,
    options: Callable[[str, int], list[str]],
    calls: str = CALLS,
) -> None:
    """Hurt ``work`` at each of its calls in turn."""
    data, before = room / "data", dump(start)
    traced(victims.migrate_schema, lay_copy(start, data), options=["-e", "trace=none"])
    after = dump(data)
    for call, place in calls_of(room / "log", calls, work, lay_copy(start, data)):
        ending = traced(work, lay_copy(start, data), options=options(call, place))
        hurt.add(f"{call} {place}", complaints(data, before, after, bool(ending.acknowledged)))


@pytest.mark.parametrize("revision", OLD if LONG else OLD[-1:])
def test_a_migration_killed_at_any_call_leaves_one_whole_schema(
    revision: str, fast_path: Path, count: Callable[..., Count]
) -> None:
    kind = "system call" if LONG else "write"
    killed = count(
        f"kill -9 at every {kind} of the migration {revision} to {HEAD}", exhaustive=True
    )
    start = lay_revision(fast_path / "start", revision)
    hurt_everywhere(victims.migrate_schema, start, fast_path, killed, killed_at)
    killed.require_none(at_least=10)


@pytest.mark.skipif(not LONG, reason="in the long run only: make faults")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_migration_whose_disk_fails_leaves_one_whole_schema(
    error: str, fast_path: Path, count: Callable[..., Count]
) -> None:
    failing = count(
        f"{error} from every write of the migration {OLD[0]} to {HEAD}", exhaustive=True
    )
    start = lay_revision(fast_path / "start", OLD[0])

    def fail(call: str, place: int) -> list[str]:
        return failing_at(call, place, error)

    hurt_everywhere(victims.migrate_schema, start, fast_path, failing, fail)
    failing.require_none(at_least=10)


def test_the_oracle_notices_a_migration_in_many_transactions(fast_path: Path) -> None:
    planted = Count("planted")
    start = lay_revision(fast_path / "start", OLD[0])
    work = victims.migrate_bit_by_bit
    hurt_everywhere(work, start, fast_path, planted, killed_at, calls="fdatasync")
    assert any("neither the old schema nor the new one" in said for said in planted.complaints)
