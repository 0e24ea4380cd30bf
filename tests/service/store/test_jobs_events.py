"""The history of a job: numbered without gaps, one transaction with the state."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from service.entities import Job, JobError
from service.store.database import Database
from tests.service.making import NOW, PowerCutError, later, new_job


def claimed(database: Database) -> Job:
    with database.write() as stores:
        stores.jobs.add(new_job(), NOW)
        job = stores.jobs.claim(NOW)
    assert job is not None
    return job


def point(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "train_loss": 1 / (epoch + 1), "test_loss": 2 / (epoch + 1)}


def test_events_count_from_one_without_gaps(database: Database) -> None:
    job = claimed(database)
    for first in range(0, 30, 10):
        with database.write() as stores:
            points = [point(epoch) for epoch in range(first, first + 10)]
            stores.jobs.progress(job.id, job.fence, first, points, later(first))
    with database.write() as stores:
        stores.jobs.fail(job.id, job.fence, JobError("diverged", "…"), later(40))
    with database.read() as stores:
        events = stores.jobs.events(job.id, 0, 1000)
    assert [event.seq for event in events] == list(range(1, 35))
    kinds = [event.kind for event in events]
    assert kinds == ["state", "state", *["point"] * 30, "state", "end"]
    assert [event.data for event in events if event.kind == "point"] == [
        point(epoch) for epoch in range(30)
    ]


def test_events_of_one_job_do_not_count_for_another(database: Database) -> None:
    one, other = claimed(database), claimed(database)
    with database.write() as stores:
        stores.jobs.progress(one.id, one.fence, 1, [point(0)], NOW)
        stores.jobs.progress(other.id, other.fence, 1, [point(5)], NOW)
        stores.jobs.progress(one.id, one.fence, 1, [point(1)], NOW)
    with database.read() as stores:
        assert [event.seq for event in stores.jobs.events(one.id, 0, 100)] == [1, 2, 3, 4]
        assert [event.seq for event in stores.jobs.events(other.id, 0, 100)] == [1, 2, 3]


def test_events_are_read_in_portions_without_gap_or_repeat(database: Database) -> None:
    job = claimed(database)
    with database.write() as stores:
        stores.jobs.progress(job.id, job.fence, 9, [point(e) for e in range(10)], NOW)
        whole = stores.jobs.events(job.id, 0, 1000)
        portions, after = [], 0
        while portion := stores.jobs.events(job.id, after, 5):
            portions += portion
            after = portion[-1].seq
    assert portions == whole
    assert len(whole) == 12


def test_an_event_and_its_state_are_undone_together(database: Database) -> None:
    with database.write() as stores:
        job = stores.jobs.add(new_job(), NOW)
        told = stores.jobs.events(job.id, 0, 100)
    with pytest.raises(PowerCutError), database.write() as stores:  # noqa: PT012
        stores.jobs.claim(NOW)
        assert len(stores.jobs.events(job.id, 0, 100)) == 2
        raise PowerCutError
    with database.read() as stores:
        assert stores.jobs.get(job.id) == job
        assert stores.jobs.events(job.id, 0, 100) == told


def test_a_reader_never_sees_a_state_that_the_history_does_not_tell(database: Database) -> None:
    with database.write() as stores:
        job_id = stores.jobs.add(new_job(), NOW).id
    moved = threading.Event()

    def move() -> None:
        try:
            for _ in range(60):
                with database.write() as stores:
                    job = stores.jobs.claim(datetime.now(UTC))
                assert job is not None
                with database.write() as stores:
                    assert stores.jobs.requeue(job.id, job.fence, datetime.now(UTC), True)
        finally:
            moved.set()

    mover = threading.Thread(target=move)
    mover.start()
    seen = set()
    while not moved.is_set():
        with database.read() as stores:
            job = stores.jobs.get(job_id)
            last = stores.jobs.events(job_id, 0, 10_000)[-1]
        assert last.data == {"state": job.state, "attempt": job.attempt}
        seen.add(job.state)
    mover.join()
    assert seen == {"queued", "running"}
    with database.read() as stores:
        assert len(stores.jobs.events(job_id, 0, 10_000)) == 1 + 2 * 60


def test_points_written_anew_take_the_place_of_an_earlier_attempts(database: Database) -> None:
    first = claimed(database)
    with database.write() as stores:
        stores.jobs.progress(first.id, 1, 2, [point(0), point(10)], NOW)
        assert stores.jobs.curve(first.id) == [point(0), point(10)]
        stores.jobs.requeue(first.id, 1, NOW, count_attempt=True)
        stores.jobs.claim(NOW)
        assert stores.jobs.curve(first.id) == [point(0), point(10)]
        stores.jobs.progress(first.id, 2, 1, [point(0)], NOW)
        assert stores.jobs.curve(first.id) == [point(0)]
        # The history keeps them all.
        events = stores.jobs.events(first.id, 0, 100)
    assert [e.data["epoch"] for e in events if e.kind == "point"] == [0, 10, 0]


def test_the_curve_of_an_attempt_that_a_stop_undid_is_not_shown_twice(database: Database) -> None:
    job = claimed(database)
    with database.write() as stores:
        stores.jobs.progress(job.id, 1, 2, [point(0), point(10)], NOW)
        stores.jobs.requeue(job.id, 1, NOW, count_attempt=False)
        again = stores.jobs.claim(NOW)
        assert again is not None
        stores.jobs.progress(job.id, again.fence, 1, [point(0)], NOW)
        assert stores.jobs.curve(job.id) == [point(0)]
