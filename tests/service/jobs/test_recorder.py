"""Curve, lease and cancel flag of a running job, by a clock of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from ml.training.loop import Point, Progress
from service.entities import Job
from service.errors import StoreUnavailableError
from service.jobs.recorder import (
    AWAY_SECONDS,
    AWAY_SHARE,
    WRITE_SECONDS,
    CancelRequestedError,
    LeaseLostError,
    Recorder,
)
from service.store.database import Stores
from tests.service.jobs.faking import MortalDatabase
from tests.service.making import Place


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["sqlite", "postgres"])
def back_end(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def job(place: Place) -> Job:
    place.queue()
    return place.claim()


@pytest.fixture
def recorder(place: Place, job: Job, clock: Clock) -> Recorder:
    return Recorder(place.database, job.id, job.fence, clock)


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
    recorder.record(Progress(17))
    renewed = place.job(job.id)
    assert renewed.epoch == 17
    assert renewed.beat == job.beat + 1
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
        stores.jobs.claim(datetime.now(UTC))
    with pytest.raises(LeaseLostError):
        recorder.record(point(0))
    assert recorded(place, job) == []


# ---- another attempt ----


def points(place: Place, job: Job) -> list[dict[str, object]]:
    """Every point in the history of the job, those written twice as well."""
    with place.database.read() as stores:
        events = stores.jobs.events(job.id, 0, 1000)
    return [event.data for event in events if event.kind == "point"]


def again(place: Place, job: Job, clock: Clock) -> Recorder:
    """The recorder of an attempt that is told what was written."""
    with place.database.read() as stores:
        return Recorder(place.database, job.id, job.fence, clock, stores.jobs.curve(job.id))


def test_points_that_an_earlier_attempt_wrote_are_not_written_twice(
    place: Place, job: Job, recorder: Recorder, clock: Clock
) -> None:
    for epoch in (0, 5, 10):
        recorder.record(point(epoch))
    recorder.flush()
    second = again(place, job, clock)
    for epoch in (0, 5, 10, 15):
        second.record(point(epoch))
    second.flush()
    assert [point["epoch"] for point in points(place, job)] == [0, 5, 10, 15]


def test_points_that_an_earlier_attempt_made_and_did_not_write_are_written(
    place: Place, job: Job, recorder: Recorder, clock: Clock
) -> None:
    recorder.record(point(0))
    second = again(place, job, clock)
    for epoch in (0, 5, 10):
        made = point(epoch).point
        assert made is not None
        second.note(made)
    second.record(Progress(13))
    assert [point["epoch"] for point in points(place, job)] == [0, 5, 10]
    assert recorded(place, job) == [0, 5, 10]


def test_points_that_came_out_otherwise_take_the_place_of_the_earlier_ones(
    place: Place, job: Job, recorder: Recorder, clock: Clock
) -> None:
    for epoch in (0, 5, 10):
        recorder.record(point(epoch))
    recorder.flush()
    second = again(place, job, clock)
    second.record(point(0))
    for epoch in (5, 10):
        second.record(Progress(epoch + 1, Point(epoch, 0.25, None, 0.125)))
    second.flush()
    assert [point["epoch"] for point in points(place, job)] == [0, 5, 10, 5, 10]
    with place.database.read() as stores:
        curve = stores.jobs.curve(job.id)
    assert [point["train_loss"] for point in curve] == [0.5, 0.25, 0.25]


# ---- the database is away ----


class ForgetfulDatabase(MortalDatabase):
    """While it is ``forgetful``, it writes, and goes away before it says so."""

    forgetful = False

    @contextmanager
    def write(self, beside_others: bool = False) -> Iterator[Stores]:
        with super().write(beside_others) as stores:
            yield stores
        if self.forgetful:
            raise StoreUnavailableError("the database went away; try again")


@pytest.fixture
def forgetful(database_url: str) -> Iterator[ForgetfulDatabase]:
    opened = ForgetfulDatabase(database_url)
    yield opened
    opened.close()


def test_a_training_goes_on_while_the_database_is_away_and_tells_all_when_it_is_back(
    place: Place, job: Job, clock: Clock, forgetful: ForgetfulDatabase
) -> None:
    recorder = Recorder(forgetful, job.id, job.fence, clock)
    recorder.record(point(0))
    forgetful.away = True
    for epoch in range(1, 50):
        clock.now += 1
        recorder.record(point(epoch))
    assert recorded(place, job) == [0]
    forgetful.away = False
    clock.now += AWAY_SECONDS
    recorder.record(point(50))
    assert recorded(place, job) == list(range(51))


def test_a_database_that_is_away_is_not_asked_at_every_report(
    job: Job, clock: Clock, forgetful: ForgetfulDatabase
) -> None:
    recorder = Recorder(forgetful, job.id, job.fence, clock)
    forgetful.away = True
    recorder.record(point(0))
    forgetful.away = False
    clock.now += AWAY_SECONDS / 2
    recorder.record(point(1))
    assert forgetful.asked == 1


def test_a_training_spends_little_of_its_time_on_a_database_that_hangs(
    job: Job, clock: Clock, forgetful: ForgetfulDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang_seconds, waited = 5.0, 0.0

    @contextmanager
    def hang(beside_others: bool) -> Iterator[Stores]:
        nonlocal waited
        waited += hang_seconds
        clock.now += hang_seconds
        raise StoreUnavailableError("the server said nothing")
        yield

    monkeypatch.setattr(forgetful, "write", hang)
    recorder = Recorder(forgetful, job.id, job.fence, clock)
    began = clock.now
    for epoch in range(1000):
        recorder.record(point(epoch))
        clock.now += 0.1
    assert waited > 3 * hang_seconds, "it was asked again"
    assert waited / (clock.now - began) < 1.5 * AWAY_SHARE


def test_points_that_were_written_before_the_database_could_say_so_are_not_written_again(
    place: Place, job: Job, clock: Clock, forgetful: ForgetfulDatabase
) -> None:
    recorder = Recorder(forgetful, job.id, job.fence, clock)
    forgetful.forgetful = True
    for epoch in range(3):
        recorder.record(point(epoch))
        clock.now += AWAY_SECONDS
    forgetful.forgetful = False
    recorder.record(point(3))
    recorder.flush()
    with place.database.read() as stores:
        events = stores.jobs.events(job.id, 0, 100)
    assert [e.data["epoch"] for e in events if e.kind == "point"] == [0, 1, 2, 3]


def test_a_flush_says_that_the_database_is_away(
    job: Job, clock: Clock, forgetful: ForgetfulDatabase
) -> None:
    recorder = Recorder(forgetful, job.id, job.fence, clock)
    forgetful.away = True
    with pytest.raises(StoreUnavailableError):
        recorder.flush()
