"""Curve, lease and cancel flag of a running job, by a clock of our own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ml.training.loop import Point, Progress
from service.entities import Job
from service.jobs.recorder import (
    WRITE_SECONDS,
    CancelRequestedError,
    LeaseLostError,
    Recorder,
)
from tests.service.making import Place


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def job(place: Place) -> Job:
    place.queue()
    return place.claim()


@pytest.fixture
def recorder(place: Place, job: Job, clock: Clock) -> Recorder:
    return Recorder(place.database, job.id, job.fence, 10, clock)


def point(epoch: int) -> Progress:
    return Progress(epoch + 1, Point(epoch, 0.5, None, 0.25))


def recorded(place: Place, job: Job) -> list[int]:
    with place.database.read() as stores:
        return [point["epoch"] for point in stores.jobs.curve(job.id)]


def test_the_first_report_is_written_at_once_and_later_ones_in_batches(
    place: Place, job: Job, recorder: Recorder, clock: Clock
) -> None:
    recorder.record(point(0))
    assert recorded(place, job) == [0]
    for epoch in (1, 2, 3):
        recorder.record(point(epoch))
    assert recorded(place, job) == [0]
    assert place.job(job.id).epoch == 1
    clock.now += WRITE_SECONDS
    recorder.record(point(4))
    assert recorded(place, job) == [0, 1, 2, 3, 4]
    assert place.job(job.id).epoch == 5


def test_a_flush_writes_what_has_gathered_once(place: Place, job: Job, recorder: Recorder) -> None:
    recorder.record(point(0))
    recorder.record(point(1))
    recorder.flush()
    recorder.flush()
    assert recorded(place, job) == [0, 1]


def test_a_report_without_a_point_renews_the_lease_all_the_same(
    place: Place, job: Job, recorder: Recorder
) -> None:
    before = datetime.now(UTC)
    recorder.record(Progress(17))
    renewed = place.job(job.id)
    assert renewed.epoch == 17
    assert renewed.lease_until is not None
    assert (renewed.lease_until - before).total_seconds() >= 10
    assert recorded(place, job) == []


def test_parts_without_rows_do_not_appear_in_the_curve(
    place: Place, job: Job, recorder: Recorder
) -> None:
    recorder.record(point(0))
    with place.database.read() as stores:
        assert stores.jobs.curve(job.id) == [{"epoch": 0, "train_loss": 0.5, "test_loss": 0.25}]


def test_a_cancel_is_told_after_all_is_written(place: Place, job: Job, recorder: Recorder) -> None:
    with place.database.write() as stores:
        stores.jobs.request_cancel(job.id, datetime.now(UTC))
    with pytest.raises(CancelRequestedError):
        recorder.record(point(0))
    assert recorded(place, job) == [0]


def test_a_lost_lease_is_told_and_nothing_is_written(
    place: Place, job: Job, recorder: Recorder
) -> None:
    with place.database.write() as stores:
        stores.jobs.requeue(job.id, job.fence, datetime.now(UTC), count_attempt=True)
        stores.jobs.claim(datetime.now(UTC), 10)
    with pytest.raises(LeaseLostError):
        recorder.record(point(0))
    assert recorded(place, job) == []
