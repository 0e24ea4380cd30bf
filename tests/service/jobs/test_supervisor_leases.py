"""Who has a job: leases by no clock of the wall, rests, stalls, several supervisors."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta

import pytest

from service.entities import Job
from service.jobs.checkpoints import Checkpoints
from service.jobs.supervisor import LONGEST_GAP_SECONDS, Supervisor
from service.settings import Settings
from tests.service.jobs.faking import MortalDatabase, Processes
from tests.service.making import Place

YEAR = timedelta(days=366)


def turn(supervisor: Supervisor, start: float, seconds: float) -> None:
    """Turn the crank twice a second."""
    for half in range(int(seconds * 2)):
        supervisor.step(start + half / 2)


def claim_elsewhere(place: Place, at: datetime | None = None) -> Job:
    """Another supervisor claims the oldest job, and is not heard of from then on."""
    with place.database.write() as stores:
        job = stores.jobs.claim(at or datetime.now(UTC))
    assert job is not None
    return job


def report(place: Place, job: Job, at: datetime, epoch: int = 1) -> bool | None:
    """What a training process writes when it has come further."""
    with place.database.write() as stores:
        return stores.jobs.progress(job.id, job.fence, epoch, [], at)


# ---- leases ----


def test_a_job_not_heard_of_for_its_lease_runs_again_here(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    job = place.queue()
    claim_elsewhere(place)
    turn(supervisor, 0, 10)
    assert processes.started == []
    turn(supervisor, 10, 3)
    assert processes.started == [(job.id, 2)]
    assert place.states(job.id) == ["queued", "running", "queued", "running"]


@pytest.mark.parametrize("jump", [YEAR, -YEAR], ids=["forwards", "backwards"])
def test_a_clock_that_jumps_by_a_year_takes_no_job_from_anyone(
    place: Place, supervisor: Supervisor, processes: Processes, jump: timedelta
) -> None:
    job = place.queue()
    claimed = claim_elsewhere(place)
    for second in range(60):
        turn(supervisor, second, 1)
        at = datetime.now(UTC) + (jump if second % 2 else timedelta(0))
        assert report(place, claimed, at) is False
    assert processes.started == []
    assert place.job(job.id).fence == claimed.fence


@pytest.mark.parametrize("jump", [YEAR, -YEAR], ids=["forwards", "backwards"])
def test_a_job_claimed_by_a_clock_a_year_off_is_found_when_its_process_is_gone(
    place: Place, supervisor: Supervisor, processes: Processes, jump: timedelta
) -> None:
    job = place.queue()
    claim_elsewhere(place, datetime.now(UTC) + jump)
    turn(supervisor, 0, 13)
    assert processes.started == [(job.id, 2)]


def test_a_supervisor_that_was_frozen_gives_the_others_time_to_show_that_they_live(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    place.queue()
    claimed = claim_elsewhere(place)
    turn(supervisor, 0, 5)
    supervisor.step(5000)
    assert 5 + LONGEST_GAP_SECONDS < 10
    assert processes.started == []
    assert report(place, claimed, datetime.now(UTC)) is False
    turn(supervisor, 5001, 9)
    assert processes.started == []


def test_after_a_database_was_away_nobody_loses_a_job(
    place: Place, supervisor: Supervisor, processes: Processes, mortal: MortalDatabase
) -> None:
    place.queue()
    claimed = claim_elsewhere(place)
    turn(supervisor, 0, 5)
    mortal.away = True
    turn(supervisor, 5, 120)
    mortal.away = False
    supervisor.step(125)
    assert processes.started == []
    assert report(place, claimed, datetime.now(UTC)) is False


def test_a_supervisor_vouches_for_its_processes_so_that_another_leaves_them_alone(
    place: Place, settings: Settings, supervisor: Supervisor, processes: Processes
) -> None:
    # Its training reads a large dataset, and reports nothing for longer than a lease.
    job = place.queue()
    idle = Processes()
    other = Supervisor(settings, place.database, idle.start, idle.wait_for, idle.kill)
    for second in range(60):
        turn(supervisor, second, 1)
        turn(other, second, 1)
    assert processes.started == [(job.id, 1)]
    assert idle.started == []
    assert place.job(job.id).fence == 1


def test_a_job_that_ran_out_of_leases_and_attempts_fails(
    place: Place, supervisor: Supervisor
) -> None:
    job = place.queue()
    for _ in range(3):
        claimed = claim_elsewhere(place)
        if claimed.attempt < 3:
            with place.database.write() as stores:
                stores.jobs.requeue(job.id, claimed.fence, datetime.now(UTC), count_attempt=True)
    turn(supervisor, 0, 12)
    error = place.job(job.id).error
    assert error is not None
    assert error.code == "lease_lost"


def test_an_attempt_that_was_lost_and_had_advanced_is_not_counted(
    place: Place, settings: Settings
) -> None:
    # A host that is started anew over and over, with all that runs on it.
    job = place.queue()
    checkpoints = Checkpoints(settings.checkpoints_dir / job.id)
    for lost in range(2 * settings.max_attempts):
        claimed = claim_elsewhere(place)
        assert (claimed.attempt, claimed.fence) == (1, lost + 1)
        checkpoints.write(b"further", claimed.fence)
        put_back_when_silent(place, settings)
    for attempt in range(1, settings.max_attempts + 1):
        assert claim_elsewhere(place).attempt == attempt
        put_back_when_silent(place, settings)
    failed = place.job(job.id)
    assert (failed.state, failed.attempt) == ("failed", settings.max_attempts)
    assert failed.error is not None
    assert failed.error.code == "lease_lost"


def put_back_when_silent(place: Place, settings: Settings) -> None:
    """A supervisor that runs nothing watches for a lease, and mends what it has not heard of."""
    none = Processes()
    busy = settings.model_copy(update={"train_concurrency": 0})
    turn(Supervisor(busy, place.database, none.start, none.wait_for, none.kill), 0, 12)


def test_a_cancelled_job_whose_lease_ran_out_is_cancelled(
    place: Place, supervisor: Supervisor
) -> None:
    job = place.queue()
    claim_elsewhere(place)
    with place.database.write() as stores:
        stores.jobs.request_cancel(job.id, datetime.now(UTC))
    turn(supervisor, 0, 12)
    assert place.job(job.id).state == "cancelled"


# ---- rests ----


def test_each_attempt_is_rested_from_four_times_as_long(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    place.queue()
    supervisor.step(0)
    waits = []
    now = 0.0
    for attempt in (2, 3):
        processes.die(signal.SIGSEGV)
        died = now = now + 1
        while len(processes.started) < attempt:
            supervisor.step(now)
            now += 0.1
        waits.append(now - died)
    assert waits == pytest.approx([1, 4], abs=0.25)


def test_a_job_that_rests_holds_up_nobody(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    first, second = place.queue(), place.queue()
    supervisor.step(0)
    processes.die(signal.SIGSEGV)
    supervisor.step(1)
    assert processes.started == [(first.id, 1), (second.id, 1)]


# ---- stalls ----


def stalling(settings: Settings, mortal: MortalDatabase, processes: Processes) -> Supervisor:
    once = settings.model_copy(update={"max_attempts": 1, "stall_seconds": 30})
    return Supervisor(once, mortal, processes.start, processes.wait_for, processes.kill)


def test_a_training_that_lives_and_makes_no_progress_is_killed_and_has_timed_out(
    place: Place, settings: Settings, mortal: MortalDatabase, processes: Processes
) -> None:
    supervisor = stalling(settings, mortal, processes)
    job = place.queue()
    turn(supervisor, 0, 30)
    assert processes.killed == []
    turn(supervisor, 30, 5)
    assert processes.killed == [(processes.newest, signal.SIGKILL)]
    processes.die(signal.SIGKILL)
    supervisor.step(36)
    error = place.job(job.id).error
    assert error is not None
    assert error.code == "timed_out"
    assert "no progress for 30 s (REFIT_STALL_SECONDS), 1 times" in error.message


@pytest.mark.parametrize("jump", [YEAR, -YEAR], ids=["forwards", "backwards"])
def test_a_training_that_makes_progress_is_left_alone_whatever_its_clock_says(
    place: Place,
    settings: Settings,
    mortal: MortalDatabase,
    processes: Processes,
    jump: timedelta,
) -> None:
    supervisor = stalling(settings, mortal, processes)
    place.queue()
    supervisor.step(0)
    ((job_id, _),) = processes.started
    for second in range(0, 120, 20):
        assert report(place, place.job(job_id), datetime.now(UTC) + second * jump, 1) is False
        turn(supervisor, second, 20)
    assert processes.killed == []


def test_a_training_that_cannot_report_to_a_database_that_is_away_is_not_stuck(
    place: Place, settings: Settings, mortal: MortalDatabase, processes: Processes
) -> None:
    supervisor = stalling(settings, mortal, processes)
    place.queue()
    turn(supervisor, 0, 5)
    mortal.away = True
    turn(supervisor, 5, 200)
    mortal.away = False
    turn(supervisor, 205, 5)
    assert processes.killed == []


# ---- several at once ----


def test_as_many_jobs_run_at_once_as_the_settings_say(
    place: Place, settings: Settings, mortal: MortalDatabase, processes: Processes
) -> None:
    three = settings.model_copy(update={"train_concurrency": 3})
    supervisor = Supervisor(three, mortal, processes.start, processes.wait_for, processes.kill)
    jobs = [place.queue() for _ in range(5)]
    turn(supervisor, 0, 10)
    assert processes.started == [(job.id, 1) for job in jobs[:3]]
    processes.exit(1)
    turn(supervisor, 10, 0.5)
    assert processes.started[3:] == [(jobs[3].id, 1)]


def test_several_supervisors_share_the_queue_fairly(place: Place, settings: Settings) -> None:
    four = settings.model_copy(update={"train_concurrency": 4})
    both = [Processes(), Processes()]
    supervisors = [Supervisor(four, place.database, p.start, p.wait_for, p.kill) for p in both]
    jobs = [place.queue() for _ in range(8)]
    for second in range(6):
        for supervisor in supervisors:
            supervisor.step(second)
    assert [len(processes.started) for processes in both] == [4, 4]
    assert {job_id for p in both for job_id, _ in p.started} == {job.id for job in jobs}


def test_a_job_whose_process_cannot_be_started_rests_and_is_tried_again(
    place: Place, settings: Settings, mortal: MortalDatabase, processes: Processes
) -> None:
    refusals = [OSError(11, "Resource temporarily unavailable")]

    def start(job_id: str, fence: int) -> int:
        if refusals:
            raise refusals.pop()
        return processes.start(job_id, fence)

    supervisor = Supervisor(settings, mortal, start, processes.wait_for, processes.kill)
    job = place.queue()
    turn(supervisor, 0, 3)
    assert processes.started == [(job.id, 2)]
