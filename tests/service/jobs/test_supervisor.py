"""The supervisor, its crank turned by hand, over a real database and processes made of notes."""

from __future__ import annotations

import signal
from datetime import UTC, datetime

import pytest

from service.entities import Job, Promotion
from service.jobs.deaths import TRY_AGAIN
from service.jobs.supervisor import (
    CANCEL_GRACE_SECONDS,
    CHORES_SECONDS,
    Supervisor,
)
from service.settings import Settings
from tests.service.jobs.faking import MortalDatabase, Processes
from tests.service.making import Place


def turn(supervisor: Supervisor, start: float, seconds: float = 20) -> None:
    """Turn the crank once a second."""
    for second in range(int(seconds)):
        supervisor.step(start + second)


def ask_to_cancel(place: Place, job: Job) -> None:
    with place.database.write() as stores:
        stores.jobs.request_cancel(job.id, datetime.now(UTC))


def succeed(place: Place, job: Job) -> None:
    with place.database.write() as stores:
        promotion = Promotion(False, "promote is never")
        held = stores.jobs.get(job.id)
        assert stores.jobs.succeed(job.id, held.fence, 1, {}, promotion, datetime.now(UTC))


# ---- claim ----


def test_nothing_is_started_where_nothing_waits(
    supervisor: Supervisor, processes: Processes
) -> None:
    supervisor.step(0)
    assert processes.started == []
    assert supervisor.idle


def test_jobs_run_one_at_a_time_the_oldest_first(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    first, second = place.queue(), place.queue()
    for now in range(3):
        supervisor.step(now)
    assert processes.started == [(first.id, 1)]
    assert place.job(first.id).state == "running"
    assert place.job(second.id).state == "queued"
    succeed(place, first)
    supervisor.step(3)
    assert processes.started == [(first.id, 1)]
    processes.exit()
    supervisor.step(4)
    assert processes.started == [(first.id, 1), (second.id, 1)]


# ---- crashes ----


def test_a_crash_runs_the_job_again_and_after_the_last_attempt_fails_it(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    job = place.queue()
    for attempt in (1, 2, 3):
        turn(supervisor, attempt * 100)
        assert processes.started[-1] == (job.id, attempt)
        assert place.job(job.id).attempt == attempt
        processes.die(signal.SIGSEGV)
    turn(supervisor, 400)
    failed = place.job(job.id)
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error.code == "crashed"
    assert failed.error.message == "its process was killed by SIGSEGV, 3 times"
    assert place.states(job.id) == ["queued", *["running", "queued"] * 2, "running", "failed"]
    assert len(processes.started) == 3


@pytest.mark.parametrize(
    ("code", "words"), [(0, "its process left early"), (1, "its process exited with code 1")]
)
def test_a_process_that_leaves_without_an_end_of_its_job_has_crashed(
    place: Place,
    settings: Settings,
    mortal: MortalDatabase,
    processes: Processes,
    code: int,
    words: str,
) -> None:
    once = settings.model_copy(update={"max_attempts": 1})
    supervisor = Supervisor(once, mortal, processes.start, processes.wait_for, processes.kill)
    job = place.queue()
    supervisor.step(0)
    processes.exit(code)
    supervisor.step(1)
    error = place.job(job.id).error
    assert error is not None
    assert (error.code, error.message) == ("crashed", f"{words}, 1 times")


def test_a_crash_after_the_end_of_the_job_changes_nothing(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    job = place.queue()
    supervisor.step(0)
    succeed(place, job)
    ended = place.job(job.id)
    processes.die(signal.SIGKILL)
    supervisor.step(1)
    assert place.job(job.id) == ended
    assert supervisor.idle


def test_a_crash_of_a_process_that_lost_its_job_changes_nothing(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    job = place.queue()
    supervisor.step(0)
    with place.database.write() as stores:
        stores.jobs.requeue(job.id, 1, datetime.now(UTC), count_attempt=True)
        stores.jobs.claim(datetime.now(UTC))
    held = place.job(job.id)
    processes.die(signal.SIGKILL)
    supervisor.step(1)
    assert place.job(job.id) == held


# ---- cancel ----


def test_a_process_that_does_not_stop_is_killed_when_the_grace_is_over(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    job = place.queue()
    supervisor.step(0)
    ask_to_cancel(place, job)
    supervisor.step(10)
    supervisor.step(10 + CANCEL_GRACE_SECONDS - 0.1)
    assert processes.killed == []
    for seconds in (0, 1, 2):
        supervisor.step(10 + CANCEL_GRACE_SECONDS + CHORES_SECONDS + seconds)
    assert processes.killed == [(processes.newest, signal.SIGKILL)]
    processes.die(signal.SIGKILL)
    supervisor.step(30)
    cancelled = place.job(job.id)
    assert (cancelled.state, cancelled.error) == ("cancelled", None)
    assert supervisor.idle


def test_a_process_that_stops_in_time_is_not_killed(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    job = place.queue()
    supervisor.step(0)
    ask_to_cancel(place, job)
    supervisor.step(1)
    with place.database.write() as stores:
        assert stores.jobs.cancel_running(job.id, 1, datetime.now(UTC))
    processes.exit()
    supervisor.step(2)
    supervisor.step(100)
    assert processes.killed == []
    assert place.job(job.id).state == "cancelled"


# ---- the database is away ----


def test_a_database_that_is_away_stops_nothing_for_good(
    place: Place, supervisor: Supervisor, processes: Processes, mortal: MortalDatabase
) -> None:
    job = place.queue()
    mortal.away = True
    for now in range(3):
        supervisor.step(now)
    assert processes.started == []
    mortal.away = False
    supervisor.step(3)
    assert processes.started == [(job.id, 1)]


def test_a_crash_while_the_database_is_away_is_mended_when_it_is_back(
    place: Place, settings: Settings, mortal: MortalDatabase, processes: Processes
) -> None:
    once = settings.model_copy(update={"max_attempts": 1})
    supervisor = Supervisor(once, mortal, processes.start, processes.wait_for, processes.kill)
    job = place.queue()
    supervisor.step(0)
    processes.die(signal.SIGKILL)
    mortal.away = True
    for now in (1, 2, 3):
        supervisor.step(now)
    assert place.job(job.id).state == "running"
    mortal.away = False
    supervisor.step(4)
    error = place.job(job.id).error
    assert error is not None
    assert "SIGKILL" in error.message
    assert supervisor.idle


def test_a_stop_while_the_database_is_away_signals_nobody_who_has_ended(
    place: Place, supervisor: Supervisor, processes: Processes, mortal: MortalDatabase
) -> None:
    # Their pid may be another process's by now.
    place.queue()
    supervisor.step(0)
    processes.die(signal.SIGKILL)
    mortal.away = True
    supervisor.step(1)
    supervisor.stop()
    assert processes.killed == []


# ---- stop ----


def test_a_stop_asks_the_training_to_end_and_claims_nothing_more(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    first, second = place.queue(), place.queue()
    supervisor.step(0)
    supervisor.stop()
    assert processes.killed == [(processes.newest, signal.SIGTERM)]
    assert not supervisor.idle
    # What the training process does at SIGTERM.
    with place.database.write() as stores:
        assert stores.jobs.requeue(first.id, 1, datetime.now(UTC), count_attempt=False)
    processes.exit()
    supervisor.step(1)
    assert supervisor.idle
    assert len(processes.started) == 1
    assert [place.job(job.id).state for job in (first, second)] == ["queued", "queued"]
    assert place.job(first.id).attempt == 0


def test_a_stop_that_comes_before_the_training_listens_does_not_count_as_a_crash(
    place: Place, settings: Settings, mortal: MortalDatabase, processes: Processes
) -> None:
    once = settings.model_copy(update={"max_attempts": 1})
    supervisor = Supervisor(once, mortal, processes.start, processes.wait_for, processes.kill)
    job = place.queue()
    supervisor.step(0)
    supervisor.stop()
    processes.die(signal.SIGTERM)
    supervisor.step(1)
    assert supervisor.idle
    put_back = place.job(job.id)
    assert (put_back.state, put_back.attempt) == ("queued", 0)


def test_a_process_that_the_database_left_alone_does_not_count_as_a_crash(
    place: Place, settings: Settings, mortal: MortalDatabase, processes: Processes
) -> None:
    once = settings.model_copy(update={"max_attempts": 1})
    supervisor = Supervisor(once, mortal, processes.start, processes.wait_for, processes.kill)
    job = place.queue()
    supervisor.step(0)
    supervisor.stop()
    processes.exit(TRY_AGAIN)
    supervisor.step(1)
    assert supervisor.idle
    put_back = place.job(job.id)
    assert (put_back.state, put_back.attempt) == ("queued", 0)


def test_a_crash_during_a_stop_still_counts(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    job = place.queue()
    supervisor.step(0)
    supervisor.stop()
    processes.die(signal.SIGSEGV)
    supervisor.step(1)
    put_back = place.job(job.id)
    assert (put_back.state, put_back.attempt) == ("queued", 1)
