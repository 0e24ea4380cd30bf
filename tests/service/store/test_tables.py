"""Types of columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.exc import StatementError

from service.store.database import Database
from tests.service.making import NOW, new_job, new_version


def test_a_naive_time_is_refused(database: Database) -> None:
    naive = datetime(2026, 3, 1, 12, 0)
    with (
        pytest.raises(StatementError, match="a naive datetime cannot be stored"),
        database.write() as stores,
    ):
        stores.jobs.add(new_job(), naive)


def test_a_time_of_any_zone_comes_back_in_utc(database: Database) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-7)))
    with database.write() as stores:
        job = stores.jobs.add(new_job(), elsewhere)
    assert job.created_at == NOW
    assert job.created_at.tzinfo is UTC


def test_microseconds_are_kept(database: Database) -> None:
    moment = NOW.replace(microsecond=123456)
    with database.write() as stores:
        assert stores.jobs.add(new_job(), moment).created_at == moment


def test_json_keeps_every_bit_of_a_number(database: Database) -> None:
    metrics = {"a": 0.1 + 0.2, "b": 5e-324, "c": 1.7976931348623157e308, "d": None}
    new = new_version()
    new.metrics.update(metrics)
    with database.write() as stores:
        stores.versions.add(new, "api", NOW)
    with database.read() as stores:
        assert stores.versions.get("default", 1).metrics == new.metrics


def test_what_no_json_can_hold_is_refused_before_it_is_written(database: Database) -> None:
    new = new_version()
    new.metrics["train_loss"] = float("nan")
    # psycopg turns it into JSON itself, outside of what SQLAlchemy wraps.
    refused = pytest.raises((StatementError, ValueError), match="not JSON compliant")
    with refused, database.write() as stores:
        stores.versions.add(new, "api", NOW)
    with database.read() as stores:
        assert stores.versions.count_models() == 0
