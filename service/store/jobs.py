"""Jobs and their events.

Every change of state is one transaction with the event that tells of it. Writes of a training
process carry the fence it was given at the claim and report whether they happened: after another
claim they do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, and_, func, insert, select, update

from service.entities import (
    ALLOWED_MOVES,
    EventKind,
    Job,
    JobError,
    JobEvent,
    JobState,
    Origin,
    Promotion,
)
from service.errors import JobNotFoundError
from service.store.tables import job_events, jobs

_LIGHT = [column for column in jobs.c if column.name != "spec"]


@dataclass(frozen=True)
class NewJob:
    """What a request to train becomes."""

    id: str
    model: str
    origin: Origin
    spec: dict[str, Any]
    epochs: int
    dataset: str | None = None
    """Id of the dataset it reads, if it reads one."""


class JobStore:
    """Rows of jobs in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, new: NewJob, now: datetime) -> Job:
        """Queue a job."""
        values = {**asdict(new), "state": "queued", "created_at": now}
        self._connection.execute(insert(jobs).values(values))
        self._record(new.id, [("state", {"state": "queued"})], now)
        return self.get(new.id)

    def get(self, job_id: str, with_spec: bool = True) -> Job:
        """The job of that id. A spec may hold many points; leave it out where it is not needed.

        Raises:
            JobNotFoundError: there is none.
        """
        query = select(jobs) if with_spec else select(*_LIGHT)
        row = self._connection.execute(query.where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise JobNotFoundError(f"there is no job {job_id}")
        return _job(row)

    def list_newest(
        self, limit: int, below: int | None, model: str | None, state: JobState | None
    ) -> list[Job]:
        """At most ``limit`` jobs without their specs, newest first, numbered under ``below``."""
        query = select(*_LIGHT).order_by(jobs.c.number.desc()).limit(limit)
        if below is not None:
            query = query.where(jobs.c.number < below)
        if model is not None:
            query = query.where(jobs.c.model == model)
        if state is not None:
            query = query.where(jobs.c.state == state)
        return [_job(row) for row in self._connection.execute(query)]

    def count(self, state: JobState | None = None) -> int:
        """How many jobs there are, of that state if one is given."""
        query = select(func.count()).select_from(jobs)
        if state is not None:
            query = query.where(jobs.c.state == state)
        return self._connection.execute(query).scalar_one()

    def uses_dataset(self, dataset: str) -> bool:
        """Whether a queued or running job reads that dataset."""
        reads = and_(jobs.c.dataset == dataset, jobs.c.state.in_(("queued", "running")))
        query = select(jobs.c.number).where(reads).limit(1)
        return self._connection.execute(query).one_or_none() is not None

    def claim(self, now: datetime, lease_seconds: float) -> Job | None:
        """Take the oldest queued job, without its spec: attempt + 1, fence + 1, and a lease.

        None where none waits.
        """
        oldest = (
            select(jobs.c.id)
            .where(jobs.c.state == "queued")
            .order_by(jobs.c.number)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        job_id = self._connection.execute(oldest).scalar_one_or_none()
        if job_id is None:
            return None
        self._connection.execute(
            update(jobs)
            .where(jobs.c.id == job_id)
            .values(
                state="running",
                attempt=jobs.c.attempt + 1,
                fence=jobs.c.fence + 1,
                lease_until=now + timedelta(seconds=lease_seconds),
                epoch=0,
                started_at=now,
                progress_at=now,
            )
        )
        self._record(job_id, [("state", {"state": "running"})], now)
        return self.get(job_id, with_spec=False)

    def expired(self, now: datetime) -> list[Job]:
        """Running jobs, without their specs, whose lease has run out."""
        query = select(*_LIGHT).where(jobs.c.state == "running", jobs.c.lease_until < now)
        return [_job(row) for row in self._connection.execute(query)]

    def progress(
        self,
        job_id: str,
        fence: int,
        epoch: int,
        points: Iterable[Mapping[str, Any]],
        now: datetime,
        lease_seconds: float,
    ) -> bool | None:
        """Write points of the curve, say how far the job is and renew its lease, all at once.

        Returns whether a cancel is asked for; None where the lease was lost and nothing written.
        """
        values = {
            "epoch": epoch,
            "progress_at": now,
            "lease_until": now + timedelta(seconds=lease_seconds),
        }
        if not self._update_fenced(job_id, fence, values):
            return None
        self._record(job_id, [("point", dict(point)) for point in points], now)
        asked = select(jobs.c.cancel_requested).where(jobs.c.id == job_id)
        return bool(self._connection.execute(asked).scalar_one())

    def succeed(
        self,
        job_id: str,
        fence: int,
        version: int,
        metrics: dict[str, float | None],
        promotion: Promotion,
        now: datetime,
        warnings: Sequence[str] = (),
    ) -> bool:
        """End the job with its version; False where the lease was lost and nothing written."""
        values = {
            "version": version,
            "metrics": metrics,
            "promotion": asdict(promotion),
            "warnings": list(warnings),
        }
        data = {"version": version, "promoted": promotion.promoted}
        return self._end(job_id, fence, "succeeded", values, data, now)

    def fail(self, job_id: str, fence: int, error: JobError, now: datetime) -> bool:
        """End the job with its reason; False where the lease was lost and nothing written."""
        values = {"error": asdict(error)}
        return self._end(job_id, fence, "failed", values, {"error": asdict(error)}, now)

    def cancel_running(self, job_id: str, fence: int, now: datetime) -> bool:
        """End a job whose cancel was asked for; False where the lease was lost."""
        return self._end(job_id, fence, "cancelled", {}, {}, now)

    def requeue(self, job_id: str, fence: int, now: datetime, count_attempt: bool) -> bool:
        """Let the job run again; False where the lease was lost.

        ``count_attempt`` is False where the job did not fail but was stopped with the service.
        """
        values: dict[str, Any] = {"state": "queued", "lease_until": None, "epoch": 0}
        if not count_attempt:
            values["attempt"] = jobs.c.attempt - 1
        if not self._update_fenced(job_id, fence, values):
            return False
        self._record(job_id, [("state", {"state": "queued"})], now)
        return True

    def request_cancel(self, job_id: str, now: datetime) -> Job:
        """Cancel a queued job at once; ask a running one to stop. An ended one stays as it is.

        Raises:
            JobNotFoundError: there is none.
        """
        queued = and_(jobs.c.id == job_id, jobs.c.state == "queued")
        values = {"state": "cancelled", "cancel_requested": True, "finished_at": now}
        if self._connection.execute(update(jobs).where(queued).values(values)).rowcount == 1:
            self._record_end(job_id, "cancelled", {}, now)
        else:
            running = and_(jobs.c.id == job_id, jobs.c.state == "running")
            self._connection.execute(update(jobs).where(running).values(cancel_requested=True))
        return self.get(job_id)

    def events(self, job_id: str, after: int, limit: int) -> list[JobEvent]:
        """At most ``limit`` events numbered above ``after``, in order."""
        query = (
            select(job_events)
            .where(job_events.c.job_id == job_id, job_events.c.seq > after)
            .order_by(job_events.c.seq)
            .limit(limit)
        )
        rows = self._connection.execute(query)
        return [JobEvent(row.seq, row.kind, row.at, row.data) for row in rows]

    def curve(self, job_id: str) -> list[dict[str, Any]]:
        """The points since the job was claimed last, in order."""
        fence = select(jobs.c.fence).where(jobs.c.id == job_id).scalar_subquery()
        query = (
            select(job_events.c.data)
            .where(
                job_events.c.job_id == job_id,
                job_events.c.kind == "point",
                job_events.c.fence == fence,
            )
            .order_by(job_events.c.seq)
        )
        return list(self._connection.execute(query).scalars())

    def _end(
        self,
        job_id: str,
        fence: int,
        state: JobState,
        values: dict[str, Any],
        data: dict[str, Any],
        now: datetime,
    ) -> bool:
        assert state in ALLOWED_MOVES["running"]
        ended = {"state": state, "finished_at": now, "lease_until": None}
        if not self._update_fenced(job_id, fence, {**ended, **values}):
            return False
        self._record_end(job_id, state, data, now)
        return True

    def _update_fenced(self, job_id: str, fence: int, values: Mapping[str, Any]) -> bool:
        held = and_(jobs.c.id == job_id, jobs.c.fence == fence, jobs.c.state == "running")
        return self._connection.execute(update(jobs).where(held).values(values)).rowcount == 1

    def _record_end(
        self, job_id: str, state: JobState, data: dict[str, Any], now: datetime
    ) -> None:
        self._record(job_id, [("state", {"state": state}), ("end", {"state": state, **data})], now)

    def _record(
        self, job_id: str, events: list[tuple[EventKind, dict[str, Any]]], now: datetime
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
        last, fence, attempt = self._connection.execute(counted).one()
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
        self._connection.execute(insert(job_events), rows)


def _job(row: Row[Any]) -> Job:
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
        lease_until=values["lease_until"],
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
