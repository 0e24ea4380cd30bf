"""What the API may do with jobs."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from service.entities import JobError
from service.errors import (
    IdempotencyKeyReusedError,
    InvalidRequestError,
    JobFinishedError,
    JobNotFoundError,
    QueueFullError,
)
from service.jobs.desk import KEY_LIFE, JobDesk
from service.schemas.training import TrainRequest
from service.settings import Settings
from service.store.database import Database
from tests.service.jobs.submitting import submit_at_once
from tests.service.making import FORKSERVER, NOW, Place, at_once, line

UNKNOWN = "0" * 32


@pytest.fixture(params=["sqlite", "postgres"])
def back_end(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def desk(database: Database, settings: Settings) -> JobDesk:
    return JobDesk(database, settings)


def asked(**fields: Any) -> TrainRequest:
    return TrainRequest.model_validate(fields)


def test_a_job_is_queued_with_every_default_filled_in(desk: JobDesk) -> None:
    job = desk.submit("house-price", asked(epochs=300))
    assert (job.model, job.state, job.origin, job.epochs) == (
        "house-price",
        "queued",
        "api",
        300,
    )
    assert job.spec == asked(epochs=300).model_dump(mode="json")
    assert desk.get(job.id) == job
    assert desk.peek(job.id).spec is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"data": {"source": "points", "x": [[1, 2], [3, 4]], "y": [1e-300, 3.4e38]}},
        {"data": {"source": "points", "x": [0.1, 1 / 3, 3], "y": [1, 2, 3]}, "seed": 2**63 - 1},
        {"architecture": {"kind": "mlp", "dropout": 0.5}, "early_stopping": {}, "batch_size": 3},
    ],
)
def test_a_spec_survives_its_row_unchanged(desk: JobDesk, fields: dict[str, Any]) -> None:
    job = desk.get(desk.submit("default", asked(**fields)).id)
    assert TrainRequest.model_validate_json(json.dumps(job.spec)) == asked(**fields)


def test_a_request_that_is_too_large_is_not_queued(desk: JobDesk, place: Place) -> None:
    with pytest.raises(InvalidRequestError):
        desk.submit("default", asked(epochs=10_000_000))
    assert desk.list_newest(10, None, None, None) == []


# ---- idempotency ----


def test_the_same_key_and_request_are_the_same_job(desk: JobDesk) -> None:
    first = desk.submit("default", asked(), "key")
    assert desk.submit("default", asked(), "key") == first
    # A default that is spelled out asks for the same.
    assert desk.submit("default", asked(epochs=1000, loss="l1"), "key") == first
    assert len(desk.list_newest(10, None, None, None)) == 1


def test_another_key_or_none_is_another_job(desk: JobDesk) -> None:
    jobs = [desk.submit("default", asked(), key) for key in ("a", "b", None, None)]
    assert len({job.id for job in jobs}) == 4


@pytest.mark.parametrize(("model", "fields"), [("default", {"epochs": 999}), ("other", {})])
def test_the_same_key_with_another_request_is_refused(
    desk: JobDesk, model: str, fields: dict[str, Any]
) -> None:
    desk.submit("default", asked(), "key")
    with pytest.raises(IdempotencyKeyReusedError, match="another request"):
        desk.submit(model, asked(**fields), "key")
    assert len(desk.list_newest(10, None, None, None)) == 1


def test_the_key_of_a_job_that_has_ended_still_stands_for_it(desk: JobDesk) -> None:
    first = desk.submit("default", asked(), "key")
    desk.cancel(first.id)
    assert desk.submit("default", asked(), "key").id == first.id


def test_a_hundred_identical_requests_in_one_instant_make_one_job(desk: JobDesk) -> None:
    jobs = at_once(100, lambda _: desk.submit("default", asked(), "key"))
    assert len({job.id for job in jobs}) == 1
    assert len(desk.list_newest(100, None, None, None)) == 1


def test_a_hundred_identical_requests_to_several_processes_make_one_job(
    settings: Settings, desk: JobDesk
) -> None:
    with ProcessPoolExecutor(4, mp_context=FORKSERVER) as pool:
        parts = list(pool.map(submit_at_once, [settings] * 4, [25] * 4))
    assert len({job_id for part in parts for job_id in part}) == 1
    assert sum(map(len, parts)) == 100
    assert len(desk.list_newest(100, None, None, None)) == 1


@pytest.mark.parametrize(("spare_seconds", "is_remembered"), [(60, True), (-1, False)])
def test_a_key_is_remembered_for_a_day(
    desk: JobDesk, database: Database, spare_seconds: float, is_remembered: bool
) -> None:
    first = desk.submit("default", asked(), "key")
    with database.write() as stores:
        known = stores.keys.find("key", NOW - timedelta(days=10_000))
        assert known is not None
        old = first.created_at - KEY_LIFE + timedelta(seconds=spare_seconds)
        stores.keys.remember("key", *known, old)
    assert (desk.submit("default", asked(), "key").id == first.id) is is_remembered
    if not is_remembered:
        # The key is free, for another request too.
        with database.write() as stores:
            stores.keys.delete_older(first.created_at + timedelta(days=1))
        assert desk.submit("default", asked(epochs=5), "key").epochs == 5


# ---- the queue ----


def test_a_full_queue_takes_no_more(database: Database, settings: Settings, place: Place) -> None:
    small = settings.model_copy(update={"max_queued_jobs": 3})
    desk = JobDesk(database, small)
    first = desk.submit("default", asked(), "key")
    for _ in range(2):
        desk.submit("default", asked())
    with pytest.raises(QueueFullError, match="3 jobs wait already"):
        desk.submit("default", asked())
    # Who asks again about a job that waits is not turned away.
    assert desk.submit("default", asked(), "key") == first
    place.claim()
    desk.submit("default", asked())


def test_a_queue_is_never_fuller_than_its_bound(database: Database, settings: Settings) -> None:
    desk = JobDesk(database, settings.model_copy(update={"max_queued_jobs": 5}))

    def submit(_: int) -> bool:
        try:
            desk.submit("default", asked())
        except QueueFullError:
            return False
        return True

    assert sum(at_once(20, submit)) == 5


# ---- bootstrap ----


def test_the_first_start_queues_the_tutorials_line_once(desk: JobDesk) -> None:
    job = desk.bootstrap()
    assert job is not None
    assert (job.model, job.origin) == ("default", "bootstrap")
    assert job.spec == TrainRequest().model_dump(mode="json")
    assert desk.bootstrap() is None


def test_a_service_that_was_used_is_not_bootstrapped(desk: JobDesk, place: Place) -> None:
    desk.cancel(desk.submit("other", asked()).id)
    assert desk.bootstrap() is None


def test_a_service_with_versions_is_not_bootstrapped(desk: JobDesk, place: Place) -> None:
    place.publish(active=False)
    assert desk.bootstrap() is None


# ---- cancel ----


def test_a_cancel_is_made_once_and_again_changes_nothing(desk: JobDesk) -> None:
    job = desk.submit("default", asked())
    cancelled = desk.cancel(job.id)
    assert cancelled.state == "cancelled"
    assert desk.cancel(job.id) == cancelled
    assert [event.kind for event in desk.events(job.id, 0)] == ["state", "state", "end"]


def test_a_running_job_is_asked_to_stop(desk: JobDesk, place: Place) -> None:
    job = desk.submit("default", asked())
    place.claim()
    assert desk.cancel(job.id).cancel_requested
    assert desk.get(job.id).state == "running"


def test_a_job_that_has_ended_otherwise_cannot_be_cancelled(desk: JobDesk, place: Place) -> None:
    job = desk.submit("default", asked())
    claimed = place.claim()
    with place.database.write() as stores:
        stores.jobs.fail(job.id, claimed.fence, JobError("diverged", "…"), NOW)
    with pytest.raises(JobFinishedError, match="has failed already"):
        desk.cancel(job.id)


def test_what_does_not_exist_is_named(desk: JobDesk) -> None:
    for ask in (desk.get, desk.peek, desk.cancel, desk.curve):
        with pytest.raises(JobNotFoundError, match=UNKNOWN):
            ask(UNKNOWN)
    assert desk.events(UNKNOWN, 0) == []


# ---- where a training starts ----


@pytest.mark.parametrize("start_from", ["active", 1])
def test_a_training_may_start_from_a_version_of_its_kind_and_shape(
    desk: JobDesk, place: Place, start_from: str | int
) -> None:
    place.publish(line())
    job = desk.submit("default", asked(start_from=start_from))
    assert job.spec is not None
    assert job.spec["start_from"] == start_from


@pytest.mark.parametrize("start_from", ["active", 1, 2**31 - 1])
def test_a_training_cannot_start_from_what_is_not_there(
    desk: JobDesk, start_from: str | int
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        desk.submit("default", asked(start_from=start_from))
    assert [fault.pointer for fault in caught.value.faults] == ["/start_from"]


@pytest.mark.parametrize(
    "fields",
    [
        {"architecture": {"kind": "parameters"}},
        {"architecture": {"kind": "mlp"}},
        {"data": {"source": "points", "x": [[1, 2], [3, 4]], "y": [1, 2]}},
        {"data": {"source": "points", "x": [1, 2], "y": [[1, 2], [3, 4]]}},
    ],
)
def test_a_training_cannot_start_from_another_kind_or_shape(
    desk: JobDesk, place: Place, fields: dict[str, Any]
) -> None:
    place.publish(line())
    with pytest.raises(InvalidRequestError, match="version 1 is linear with 1 features") as caught:
        desk.submit("default", asked(start_from="active", **fields))
    assert [fault.pointer for fault in caught.value.faults] == ["/start_from"]
    assert desk.list_newest(10, None, None, None) == []
