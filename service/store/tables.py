"""The schema. A change here needs a script under migrations/; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite itself keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts rows by itself only in a column that is exactly INTEGER PRIMARY KEY.
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _json(name: str, nullable: bool = True) -> Column[Any]:
    return Column(name, JSON(none_as_null=True), nullable=nullable)


jobs = Table(
    "jobs",
    metadata,
    Column("number", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("model", String(64), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    _json("spec", nullable=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("fence", Integer, nullable=False, default=0),
    # Grows whenever the lease is renewed: whoever sees it stand still for long may take the job.
    Column("beat", Integer, nullable=False, default=0, server_default="0"),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("epoch", Integer, nullable=False, default=0),
    Column("epochs", Integer, nullable=False),
    Column("events", Integer, nullable=False, default=0),
    _json("metrics"),
    Column("version", Integer),
    _json("promotion"),
    _json("error"),
    # The dataset it reads. No foreign key: an ended job outlives its dataset.
    Column("dataset", String(32), index=True),
    _json("warnings"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("progress_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Index(None, "state", "number"),
    Index(None, "model", "number"),
    sqlite_autoincrement=True,
)

job_events = Table(
    "job_events",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    # Tells the points of one run from another's; an attempt that a stop undid is counted twice.
    Column("fence", Integer, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    _json("data", nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(256), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("last_version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("model", String(64), ForeignKey("models.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("job_id", String(32), nullable=False, unique=True),
    Column("origin", String(16), nullable=False),
    Column("artifact", String(64), nullable=False, index=True),
    _json("spec", nullable=False),
    _json("metrics", nullable=False),
    _json("truth"),
    _json("least_squares"),
    Column("data_sha256", String(64), nullable=False),
    _json("environment", nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    _json("warnings"),
    _json("feature_names"),
    _json("target_names"),
)

deployment_moves = Table(
    "deployment_moves",
    metadata,
    Column("generation", _Serial, primary_key=True, autoincrement=True),
    Column("model", String(64), ForeignKey("models.name"), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    # The move that a rollback goes back to: moves form a stack, a rollback pops it.
    Column("below", _Serial),
    Column("kind", String(16), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

deployments = Table(
    "deployments",
    metadata,
    Column("model", String(64), ForeignKey("models.name"), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("generation", _Serial, ForeignKey("deployment_moves.generation"), nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.number"]),
)

datasets = Table(
    "datasets",
    metadata,
    Column("number", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("name", String(128)),
    Column("sha256", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("format", String(16), nullable=False),
    _json("options", nullable=False),
    Column("rows", BigInteger, nullable=False),
    _json("profile", nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

workers = Table(
    "workers",
    metadata,
    Column("node", String(128), primary_key=True),
    Column("slot", Integer, primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("generation", _Serial, nullable=False),
    Column("failure", String(1024)),
    Column("seen_at", UtcDateTime, nullable=False),
    _json("loaded"),
)
