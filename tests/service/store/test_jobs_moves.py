"""Which state of a job follows which, and that nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from service.entities import ALLOWED_MOVES, ENDED, Job, JobError, JobEvent, JobState, Promotion
from service.errors import JobNotFoundError
from service.store.database import Database, Stores
from service.store.jobs import JobStore
from tests.service.making import NOW, later, new_job

STATES: tuple[JobState, ...] = get_args(JobState)
PROMOTION = Promotion(promoted=True, reason="first version", generation=1)

Act = Callable[[JobStore, Job], object]

ACTS: dict[str, tuple[JobState, JobState, Act]] = {
    "claim": ("queued", "running", lambda jobs, job: jobs.claim(later(1))),
    "succeed": (
        "running",
        "succeeded",
        lambda jobs, job: jobs.succeed(job.id, job.fence, 1, {"train_loss": 0.5}, PROMOTION, NOW),
    ),
    "fail": (
        "running",
        "failed",
        lambda jobs, job: jobs.fail(job.id, job.fence, JobError("diverged", "lower lr"), NOW),
    ),
    "cancel_running": (
        "running",
        "cancelled",
        lambda jobs, job: jobs.cancel_running(job.id, job.fence, NOW),
    ),
    "requeue": (
        "running",
        "queued",
        lambda jobs, job: jobs.requeue(job.id, job.fence, NOW, count_attempt=True),
    ),
    "request_cancel": ("queued", "cancelled", lambda jobs, job: jobs.request_cancel(job.id, NOW)),
}
"""The state that each act takes a job from, and to."""


def job_in(state: JobState, stores: Stores) -> Job:
    job = stores.jobs.add(new_job(), NOW)
    if state == "queued":
        return job
    claimed = stores.jobs.claim(NOW)
    assert claimed is not None
    for source, target, act in ACTS.values():
        if (source, target) == ("running", state):
            act(stores.jobs, claimed)
    return stores.jobs.get(job.id)


def history(stores: Stores, job: Job) -> list[JobEvent]:
    return stores.jobs.events(job.id, 0, 1000)


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("state", STATES)
def test_a_job_moves_where_the_table_allows_and_else_stays_as_it_is(
    database: Database, state: JobState, name: str
) -> None:
    source, target, act = ACTS[name]
    with database.write() as stores:
        before = job_in(state, stores)
        assert before.state == state
        told = history(stores, before)
        act(stores.jobs, before)
        after = stores.jobs.get(before.id)
        news = history(stores, before)[len(told) :]
    if state == source:
        assert after.state == target
        assert (news[0].kind, news[0].data["state"]) == ("state", target)
        assert [event.kind for event in news[1:]] == (["end"] if target in ENDED else [])
    else:
        assert after.state == state
        assert news == []


def test_the_acts_make_exactly_the_moves_that_are_allowed() -> None:
    made = {(source, target) for source, target, _ in ACTS.values()}
    assert made == {(state, target) for state in STATES for target in ALLOWED_MOVES[state]}


@pytest.mark.parametrize("name", ["succeed", "fail", "cancel_running", "requeue"])
@pytest.mark.parametrize("state", [state for state in STATES if state != "running"])
def test_a_write_of_a_training_process_says_that_it_did_not_happen(
    database: Database, state: JobState, name: str
) -> None:
    with database.write() as stores:
        job = job_in(state, stores)
        assert ACTS[name][2](stores.jobs, job) is False
        assert stores.jobs.get(job.id) == job


def test_a_success_keeps_version_metrics_and_promotion(database: Database) -> None:
    with database.write() as stores:
        job = job_in("running", stores)
        metrics = {"train_loss": 0.5, "test_r2": None}
        assert stores.jobs.succeed(job.id, job.fence, 7, metrics, PROMOTION, later(3))
        ended = stores.jobs.get(job.id)
        end = history(stores, job)[-1]
    assert (ended.version, ended.metrics, ended.promotion) == (7, metrics, PROMOTION)
    assert (ended.finished_at, ended.ended) == (later(3), True)
    assert (end.kind, end.at) == ("end", later(3))
    assert end.data == {"state": "succeeded", "version": 7, "promoted": True}


def test_a_failure_keeps_its_reason(database: Database) -> None:
    with database.write() as stores:
        job = job_in("failed", stores)
        end = history(stores, job)[-1]
    assert job.error == JobError("diverged", "lower lr")
    assert end.data["error"] == {"code": "diverged", "message": "lower lr"}


def test_a_cancel_of_a_running_job_is_only_asked_for(database: Database) -> None:
    with database.write() as stores:
        job = job_in("running", stores)
        asked = stores.jobs.request_cancel(job.id, NOW)
    assert (asked.state, asked.cancel_requested) == ("running", True)


def test_a_cancel_of_a_queued_job_ends_it(database: Database) -> None:
    with database.write() as stores:
        job = job_in("queued", stores)
        ended = stores.jobs.request_cancel(job.id, later(2))
    assert (ended.state, ended.finished_at) == ("cancelled", later(2))


def test_a_requeue_after_a_crash_counts_the_attempt_and_after_a_stop_does_not(
    database: Database,
) -> None:
    with database.write() as stores:
        job = job_in("running", stores)
        assert (job.attempt, job.fence) == (1, 1)
        stores.jobs.requeue(job.id, job.fence, NOW, count_attempt=True)
        second = stores.jobs.claim(NOW)
        assert second is not None
        assert (second.attempt, second.fence) == (2, 2)
        stores.jobs.requeue(job.id, second.fence, NOW, count_attempt=False)
        third = stores.jobs.claim(NOW)
        assert third is not None
    # The fence grows whatever the attempt does: no process of an earlier claim may write.
    assert (third.attempt, third.fence) == (2, 3)


def test_a_requeued_job_starts_its_progress_anew(database: Database) -> None:
    with database.write() as stores:
        job = job_in("running", stores)
        stores.jobs.progress(job.id, job.fence, 70, [], NOW)
        stores.jobs.requeue(job.id, job.fence, NOW, count_attempt=True)
        requeued = stores.jobs.get(job.id)
    assert requeued.epoch == 0


def test_what_does_not_exist_is_named(database: Database) -> None:
    with database.write() as stores:
        with pytest.raises(JobNotFoundError, match="there is no job nope"):
            stores.jobs.get("nope")
        with pytest.raises(JobNotFoundError, match="there is no job nope"):
            stores.jobs.request_cancel("nope", NOW)
