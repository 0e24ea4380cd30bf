"""Rows of jobs and their events as records, for `service.store.jobs`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, insert, update

from service.entities import EventKind, Job, JobError, Promotion
from service.store.tables import job_events, jobs

LIGHT = [column for column in jobs.c if column.name != "spec"]
"""All but the spec, which may hold many points."""


def record(
    connection: Connection,
    job_id: str,
    events: Sequence[tuple[EventKind, dict[str, Any]]],
    now: datetime,
) -> None:
    """Number the events and write them; those of a state also tell the attempt."""
    if not events:
        return
    # The row of the job is locked from here on, so no other writer takes the same numbers.
    counted = (
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(events=jobs.c.events + len(events))
        .returning(jobs.c.events, jobs.c.fence, jobs.c.attempt)
    )
    last, fence, attempt = connection.execute(counted).one()
    first = last - len(events) + 1
    rows = [
        {
            "job_id": job_id,
            "seq": first + index,
            "fence": fence,
            "kind": kind,
            "at": now,
            "data": {**data, "attempt": attempt} if kind == "state" else data,
        }
        for index, (kind, data) in enumerate(events)
    ]
    connection.execute(insert(job_events), rows)


def job_of(row: Row[Any]) -> Job:
    """The job that a row tells of, without its spec where that was left out."""
    values: RowMapping = row._mapping
    promotion, error = values["promotion"], values["error"]
    return Job(
        number=values["number"],
        id=values["id"],
        model=values["model"],
        origin=values["origin"],
        state=values["state"],
        spec=values.get("spec"),
        attempt=values["attempt"],
        fence=values["fence"],
        beat=values["beat"],
        cancel_requested=values["cancel_requested"],
        epoch=values["epoch"],
        epochs=values["epochs"],
        metrics=values["metrics"],
        version=values["version"],
        promotion=None if promotion is None else Promotion(**promotion),
        error=None if error is None else JobError(**error),
        created_at=values["created_at"],
        started_at=values["started_at"],
        progress_at=values["progress_at"],
        finished_at=values["finished_at"],
        dataset=values["dataset"],
        warnings=values["warnings"] or [],
    )
