"""Jobs and their events.

Every change of state is one transaction with the event that tells of it. Writes of a training
process carry the fence it was given at the claim and report whether they happened: after another
claim they do not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from service.entities import (
    ALLOWED_MOVES,
    ENDED,
    Job,
    JobError,
    JobEvent,
    JobState,
    Origin,
    Promotion,
)
from service.errors import JobNotFoundError
from service.store.job_rows import LIGHT, job_of, record
from service.store.tables import job_events, jobs


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
        record(self._connection, new.id, [("state", {"state": "queued"})], now)
        return self.get(new.id)

    def get(self, job_id: str, with_spec: bool = True) -> Job:
        """The job of that id. A spec may hold many points; leave it out where it is not needed.

        Raises:
            JobNotFoundError: there is none.
        """
        query = select(jobs) if with_spec else select(*LIGHT)
        row = self._connection.execute(query.where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise JobNotFoundError(f"there is no job {job_id}")
        return job_of(row)

    def list_newest(
        self, limit: int, below: int | None, model: str | None, state: JobState | None
    ) -> list[Job]:
        """At most ``limit`` jobs without their specs, newest first, numbered under ``below``."""
        query = select(*LIGHT).order_by(jobs.c.number.desc()).limit(limit)
        if below is not None:
            query = query.where(jobs.c.number < below)
        if model is not None:
            query = query.where(jobs.c.model == model)
        if state is not None:
            query = query.where(jobs.c.state == state)
        return [job_of(row) for row in self._connection.execute(query)]

    def count(self, state: JobState | None = None) -> int:
        """How many jobs there are, of that state if one is given."""
        query = select(func.count()).select_from(jobs)
        if state is not None:
            query = query.where(jobs.c.state == state)
        return self._connection.execute(query).scalar_one()

    def count_by_state(self) -> dict[JobState, int]:
        """How many jobs there are of each state that any has."""
        query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        return dict(tuple(row) for row in self._connection.execute(query))

    def oldest_queued(self) -> datetime | None:
        """When the job was made that waits longest; None where none waits."""
        queued = select(jobs.c.created_at).where(jobs.c.state == "queued")
        oldest = queued.order_by(jobs.c.number).limit(1)
        return self._connection.execute(oldest).scalar_one_or_none()

    def uses_dataset(self, dataset: str) -> bool:
        """Whether a queued or running job reads that dataset."""
        reads = and_(jobs.c.dataset == dataset, jobs.c.state.in_(("queued", "running")))
        query = select(jobs.c.number).where(reads).limit(1)
        return self._connection.execute(query).one_or_none() is not None

    def starting_versions(self) -> set[tuple[str, int]]:
        """Model and number of each version that a waiting or running job starts from by number."""
        start = jobs.c.spec["start_from"].as_string()
        query = select(jobs.c.model, start).where(jobs.c.state.in_(("queued", "running")))
        rows = self._connection.execute(query)
        return {(model, int(text)) for model, text in rows if text and text.isdigit()}

    def delete_ended(self, before: datetime, limit: int) -> int:
        """Delete at most ``limit`` jobs that ended before then, with all they tell; how many."""
        old = and_(jobs.c.state.in_(ENDED), jobs.c.finished_at < before)
        some = select(jobs.c.number).where(old).order_by(jobs.c.number).limit(limit)
        return self._connection.execute(delete(jobs).where(jobs.c.number.in_(some))).rowcount

    def claim(self, now: datetime, passing_over: Collection[str] = ()) -> Job | None:
        """Take the oldest queued job, without its spec: attempt + 1, fence + 1.

        Jobs with an id in ``passing_over`` are left; None where no other waits. Several may claim
        at once: each gets another job, and none waits for the others.
        """
        oldest = (
            select(jobs.c.id)
            .where(jobs.c.state == "queued", jobs.c.id.not_in(passing_over))
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
                beat=jobs.c.beat + 1,
                epoch=0,
                started_at=now,
                progress_at=now,
            )
        )
        record(self._connection, job_id, [("state", {"state": "running"})], now)
        return self.get(job_id, with_spec=False)

    def list_running(self) -> list[Job]:
        """Every running job, without its spec, oldest first."""
        query = select(*LIGHT).where(jobs.c.state == "running").order_by(jobs.c.number)
        return [job_of(row) for row in self._connection.execute(query)]

    def find_held(self, job_id: str, fence: int) -> Job | None:
        """The job, without its spec, if it runs under that fence."""
        running = and_(jobs.c.id == job_id, jobs.c.state == "running")
        row = self._connection.execute(select(*LIGHT).where(running)).one_or_none()
        return None if row is None or row.fence != fence else job_of(row)

    def list_tried(self) -> list[Job]:
        """Queued jobs, without their specs, that were tried before and did not come to an end."""
        tried = and_(jobs.c.state == "queued", jobs.c.attempt > 0)
        query = select(*LIGHT).where(tried).order_by(jobs.c.number)
        return [job_of(row) for row in self._connection.execute(query)]

    def vouch(self, job_id: str, fence: int) -> bool:
        """Renew the lease of a job for a process that lives; False where it was lost."""
        return self._update_fenced(job_id, fence, {"beat": jobs.c.beat + 1})

    def progress(
        self,
        job_id: str,
        fence: int,
        epoch: int,
        points: Iterable[Mapping[str, Any]],
        now: datetime,
    ) -> bool | None:
        """Write points of the curve, say how far the job is and renew its lease, all at once.

        Returns whether a cancel is asked for; None where the lease was lost and nothing written.
        """
        values = {"epoch": epoch, "progress_at": now, "beat": jobs.c.beat + 1}
        if not self._update_fenced(job_id, fence, values):
            return None
        record(self._connection, job_id, [("point", dict(point)) for point in points], now)
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
        values: dict[str, Any] = {"state": "queued", "epoch": 0}
        if not count_attempt:
            values["attempt"] = jobs.c.attempt - 1
        if not self._update_fenced(job_id, fence, values):
            return False
        record(self._connection, job_id, [("state", {"state": "queued"})], now)
        return True

    def request_cancel(self, job_id: str, now: datetime) -> Job:
        """Cancel a queued job at once; ask a running one to stop. An ended one stays as it is.

        Raises:
            JobNotFoundError: there is none.
        """
        # On Postgres its state may not change between the two updates below.
        self._connection.execute(select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
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
        """The points of the training, in order; one that was written anew takes the place of those
        from its epoch on."""
        query = (
            select(job_events.c.data)
            .where(job_events.c.job_id == job_id, job_events.c.kind == "point")
            .order_by(job_events.c.seq)
        )
        points: list[dict[str, Any]] = []
        for point in self._connection.execute(query).scalars():
            while points and points[-1]["epoch"] >= point["epoch"]:
                points.pop()
            points.append(point)
        return points

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
        ended = {"state": state, "finished_at": now}
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
        record(
            self._connection,
            job_id,
            [("state", {"state": state}), ("end", {"state": state, **data})],
            now,
        )
