"""Claims, leases and fences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest

from service.entities import Job, JobError, Promotion
from service.store.database import Database
from service.store.jobs import JobStore
from tests.service.making import FORKSERVER, NOW, at_once, later, new_job
from tests.service.store.claiming import claim_all


def test_a_claim_increments_attempt_fence_and_beat(database: Database) -> None:
    with database.write() as stores:
        stores.jobs.add(new_job(), NOW)
        job = stores.jobs.claim(later(5))
    assert job is not None
    assert (job.state, job.attempt, job.fence, job.beat) == ("running", 1, 1, 1)
    assert job.started_at == later(5)


def test_a_second_claim_starts_the_time_anew(database: Database) -> None:
    with database.write() as stores:
        stores.jobs.add(new_job(), NOW)
        first = stores.jobs.claim(later(5))
        assert first is not None
        stores.jobs.requeue(first.id, first.fence, later(6), count_attempt=True)
        second = stores.jobs.claim(later(50))
    assert second is not None
    assert second.started_at == later(50)


def test_claims_take_the_oldest_first(database: Database) -> None:
    with database.write() as stores:
        added = [stores.jobs.add(new_job(), NOW).id for _ in range(5)]
    claimed = []
    for _ in added:
        with database.write() as stores:
            job = stores.jobs.claim(NOW)
        assert job is not None
        claimed.append(job.id)
    assert claimed == added


def test_a_job_that_is_put_back_keeps_its_place_in_the_queue(database: Database) -> None:
    with database.write() as stores:
        first, second = (stores.jobs.add(new_job(), NOW).id for _ in range(2))
        job = stores.jobs.claim(NOW)
        assert job is not None
        stores.jobs.requeue(job.id, job.fence, NOW, count_attempt=True)
        again = [stores.jobs.claim(NOW) for _ in range(2)]
    assert [job and job.id for job in again] == [first, second]


def test_nothing_is_claimed_where_nothing_waits(database: Database) -> None:
    with database.write() as stores:
        assert stores.jobs.claim(NOW) is None
        stores.jobs.add(new_job(), NOW)
        assert stores.jobs.claim(NOW) is not None
        assert stores.jobs.claim(NOW) is None


def _queue(database: Database, count: int) -> set[str]:
    with database.write() as stores:
        return {stores.jobs.add(new_job(), NOW).id for _ in range(count)}


def test_eight_threads_claim_each_of_fifty_jobs_exactly_once(
    database: Database, database_url: str
) -> None:
    added = _queue(database, 50)
    claimed = [claim for part in at_once(8, lambda _: claim_all(database_url)) for claim in part]
    assert len(claimed) == 50
    assert {job_id for job_id, _, _ in claimed} == added
    assert {(attempt, fence) for _, attempt, fence in claimed} == {(1, 1)}


def test_processes_claim_each_of_fifty_jobs_exactly_once(
    database: Database, database_url: str
) -> None:
    added = _queue(database, 50)
    with ProcessPoolExecutor(4, mp_context=FORKSERVER) as pool:
        parts = list(pool.map(claim_all, [database_url] * 4))
    claimed = [job_id for part in parts for job_id, _, _ in part]
    assert len(claimed) == 50
    assert set(claimed) == added


FENCED: dict[str, Callable[[JobStore, Job], object]] = {
    "progress": lambda jobs, job: jobs.progress(
        job.id, job.fence, 500, [{"epoch": 499, "train_loss": 0.1}], later(9)
    ),
    "succeed": lambda jobs, job: jobs.succeed(
        job.id, job.fence, 1, {}, Promotion(False, "worse"), later(9)
    ),
    "fail": lambda jobs, job: jobs.fail(job.id, job.fence, JobError("a", "b"), later(9)),
    "cancel_running": lambda jobs, job: jobs.cancel_running(job.id, job.fence, later(9)),
    "requeue": lambda jobs, job: jobs.requeue(job.id, job.fence, later(9), count_attempt=True),
}


@pytest.mark.parametrize("name", FENCED)
def test_whoever_lost_the_job_writes_nothing(database: Database, name: str) -> None:
    with database.write() as stores:
        stores.jobs.add(new_job(), NOW)
        lost = stores.jobs.claim(NOW)
        assert lost is not None
        stores.jobs.requeue(lost.id, lost.fence, later(1), count_attempt=True)
        stores.jobs.claim(later(2))
        held = stores.jobs.get(lost.id)
        events = stores.jobs.events(lost.id, 0, 100)
    with database.write() as stores:
        assert not FENCED[name](stores.jobs, lost)
    with database.read() as stores:
        assert stores.jobs.get(lost.id) == held
        assert stores.jobs.events(lost.id, 0, 100) == events


def test_progress_says_whether_a_cancel_is_asked_for_and_whether_the_lease_is_lost(
    database: Database,
) -> None:
    with database.write() as stores:
        stores.jobs.add(new_job(), NOW)
        job = stores.jobs.claim(NOW)
        assert job is not None
        assert stores.jobs.progress(job.id, job.fence, 10, [], later(4)) is False
        assert stores.jobs.get(job.id).beat == job.beat + 1
        stores.jobs.request_cancel(job.id, NOW)
        assert stores.jobs.progress(job.id, job.fence, 20, [], later(5)) is True
        assert stores.jobs.progress(job.id, job.fence + 1, 30, [], later(6)) is None
        assert stores.jobs.get(job.id).epoch == 20


def test_who_vouches_for_a_job_renews_its_lease_and_says_nothing_of_progress(
    database: Database,
) -> None:
    with database.write() as stores:
        stores.jobs.add(new_job(), NOW)
        job = stores.jobs.claim(NOW)
        assert job is not None
        assert stores.jobs.vouch(job.id, job.fence)
        vouched = stores.jobs.get(job.id, with_spec=False)
        assert vouched == dataclasses.replace(job, beat=job.beat + 1)
        assert not stores.jobs.vouch(job.id, job.fence - 1)
        assert stores.jobs.get(job.id, with_spec=False) == vouched


def test_a_claim_passes_over_what_it_is_told_to(database: Database) -> None:
    with database.write() as stores:
        first, second = (stores.jobs.add(new_job(), NOW).id for _ in range(2))
        job = stores.jobs.claim(NOW, [first])
        assert job is not None
        assert job.id == second
        assert stores.jobs.claim(NOW, [first]) is None
        assert stores.jobs.claim(NOW, []) is not None


def test_running_and_tried_jobs_are_told_apart_from_the_rest(database: Database) -> None:
    with database.write() as stores:
        tried, stopped, running, _ = (stores.jobs.add(new_job(), NOW).id for _ in range(4))
        claims = [stores.jobs.claim(NOW) for _ in range(3)]
        for job_id, count_attempt in ((tried, True), (stopped, False)):
            assert stores.jobs.requeue(job_id, 1, NOW, count_attempt)
        assert [job and job.id for job in claims] == [tried, stopped, running]
        assert [job.id for job in stores.jobs.list_tried()] == [tried]
        assert [job.id for job in stores.jobs.list_running()] == [running]


def test_a_claim_waits_for_nobody_who_claims_or_writes_at_the_same_time(
    database: Database, database_url: str
) -> None:
    if database_url.startswith("sqlite"):
        return  # it has one writer at a time
    first, second, third = (_queue(database, 1).pop() for _ in range(3))
    other, another = Database(database_url), Database(database_url)
    with database.write() as alone, other.write(beside_others=True) as stores:
        alone.jobs.request_cancel(first, NOW)
        job = stores.jobs.claim(NOW)
        assert job is not None
        assert job.id == second
        with another.write(beside_others=True) as more:
            job = more.jobs.claim(NOW)
            assert job is not None
            assert job.id == third
    other.close()
    another.close()
