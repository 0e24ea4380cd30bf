"""The supervisor, its crank turned by hand, over a real database and processes made of notes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.entities import Job, Promotion, Worker
from service.jobs.supervisor import (
    CANCEL_GRACE_SECONDS,
    CHORES_SECONDS,
    ORPHAN_SECONDS,
    SWEEP_SECONDS,
    Supervisor,
)
from service.settings import Settings
from tests.service.jobs.faking import MortalDatabase, Processes
from tests.service.making import Place, line


@pytest.fixture
def processes() -> Processes:
    return Processes()


@pytest.fixture
def mortal(database_url: str) -> Iterator[MortalDatabase]:
    opened = MortalDatabase(database_url)
    yield opened
    opened.close()


@pytest.fixture
def supervisor(settings: Settings, mortal: MortalDatabase, processes: Processes) -> Supervisor:
    return Supervisor(settings, mortal, processes.start, processes.wait_for, processes.kill)


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


def test_the_lease_of_a_claim_is_that_of_the_settings(
    place: Place, settings: Settings, supervisor: Supervisor
) -> None:
    job = place.queue()
    before = datetime.now(UTC)
    supervisor.step(0)
    lease = place.job(job.id).lease_until
    assert lease is not None
    length = timedelta(seconds=settings.lease_seconds)
    assert before + length <= lease <= datetime.now(UTC) + length


# ---- crashes ----


def test_a_crash_runs_the_job_again_and_after_the_last_attempt_fails_it(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    job = place.queue()
    for attempt in (1, 2, 3):
        supervisor.step(attempt)
        assert processes.started[-1] == (job.id, attempt)
        assert place.job(job.id).attempt == attempt
        processes.die(signal.SIGSEGV)
    supervisor.step(4)
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
        stores.jobs.claim(datetime.now(UTC), 10)
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


# ---- leases ----


def claim_elsewhere(place: Place, seconds_ago: float) -> Job:
    """Another supervisor claims the oldest job, and is not heard of from then on."""
    with place.database.write() as stores:
        job = stores.jobs.claim(datetime.now(UTC) - timedelta(seconds=seconds_ago), 10)
    assert job is not None
    return job


def test_a_job_whose_lease_ran_out_elsewhere_runs_again_here(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    job = place.queue()
    claim_elsewhere(place, seconds_ago=11)
    supervisor.step(0)
    assert processes.started == [(job.id, 2)]
    assert place.states(job.id) == ["queued", "running", "queued", "running"]


def test_a_lease_that_has_not_run_out_is_respected(
    place: Place, supervisor: Supervisor, processes: Processes
) -> None:
    job = place.queue()
    claim_elsewhere(place, seconds_ago=5)
    supervisor.step(0)
    assert processes.started == []
    assert place.job(job.id).fence == 1


def test_a_job_that_ran_out_of_leases_and_attempts_fails(
    place: Place, supervisor: Supervisor
) -> None:
    job = place.queue()
    for _ in range(3):
        claimed = claim_elsewhere(place, seconds_ago=11)
        if claimed.attempt < 3:
            with place.database.write() as stores:
                stores.jobs.requeue(job.id, claimed.fence, datetime.now(UTC), count_attempt=True)
    supervisor.step(0)
    error = place.job(job.id).error
    assert error is not None
    assert error.code == "lease_lost"


def test_a_cancelled_job_whose_lease_ran_out_is_cancelled(
    place: Place, supervisor: Supervisor
) -> None:
    job = place.queue()
    claim_elsewhere(place, seconds_ago=11)
    ask_to_cancel(place, job)
    supervisor.step(0)
    assert place.job(job.id).state == "cancelled"


def test_a_child_of_its_own_that_is_slow_keeps_its_job(
    place: Place, settings: Settings, mortal: MortalDatabase, processes: Processes
) -> None:
    # One second is the shortest lease; the child says nothing for longer.
    short = settings.model_copy(update={"lease_seconds": 0.01})
    supervisor = Supervisor(short, mortal, processes.start, processes.wait_for, processes.kill)
    job = place.queue()
    supervisor.step(0)
    time.sleep(0.05)
    supervisor.step(10)
    assert place.job(job.id).state == "running"
    assert processes.started == [(job.id, 1)]


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


# ---- sweep ----


def age(settings: Settings, name: str) -> None:
    long_ago = time.time() - ORPHAN_SECONDS - 60
    os.utime(settings.artifacts_dir / name, (long_ago, long_ago))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_sweep_takes_old_orphans_and_nothing_else(
    place: Place, settings: Settings, supervisor: Supervisor
) -> None:
    place.publish(line(1))
    place.publish(line(2), model="other")
    deleted = place.publish(line(3), active=False)
    old_version, other_version = place.artifact_of(1), place.artifact_of(1, "other")
    deleted_artifact = place.artifact_of(deleted)
    with place.database.write() as stores:
        stores.versions.delete("default", deleted)
    old_orphan, young_orphan = place.artifacts.publish(line(4)), place.artifacts.publish(line(5))
    for name in (".unfinished-old", ".unfinished-young"):
        (settings.artifacts_dir / name).mkdir()
    for name in (old_version, other_version, deleted_artifact, old_orphan, ".unfinished-old"):
        age(settings, name)
    supervisor.step(0)
    assert names(settings.artifacts_dir) == {
        old_version,
        other_version,
        young_orphan,
        ".unfinished-young",
    }


def test_a_sweep_takes_files_of_no_dataset(settings: Settings, supervisor: Supervisor) -> None:
    orphan, upload = settings.datasets_dir / ("f" * 32), settings.datasets_dir / ".unfinished-young"
    for folder in (orphan, upload):
        folder.mkdir(parents=True)
    long_ago = time.time() - ORPHAN_SECONDS - 60
    os.utime(orphan, (long_ago, long_ago))
    supervisor.step(0)
    assert names(settings.datasets_dir) == {upload.name}


def test_sweeps_come_once_in_a_while_and_not_during_a_stop(
    place: Place, settings: Settings, supervisor: Supervisor
) -> None:
    supervisor.step(0)
    name = place.artifacts.publish(line())
    age(settings, name)
    supervisor.step(SWEEP_SECONDS - 1)
    assert names(settings.artifacts_dir) == {name}
    supervisor.step(SWEEP_SECONDS)
    assert names(settings.artifacts_dir) == set()
    name = place.artifacts.publish(line())
    age(settings, name)
    supervisor.stop()
    supervisor.step(10 * SWEEP_SECONDS)
    assert names(settings.artifacts_dir) == {name}


def test_a_sweep_forgets_old_keys_and_silent_workers(place: Place, supervisor: Supervisor) -> None:
    job = place.queue()
    now = datetime.now(UTC)
    with place.database.write() as stores:
        for key, hours in (("old", 25), ("young", 23)):
            stores.keys.remember(key, "digest", job.id, now - timedelta(hours=hours))
        for slot, minutes in ((0, 61), (1, 59)):
            seen = now - timedelta(minutes=minutes)
            stores.workers.announce(Worker("a", slot, 100, 1, None, seen))
    supervisor.step(0)
    long_ago = now - timedelta(days=10)
    with place.database.read() as stores:
        assert stores.keys.find("old", long_ago) is None
        assert stores.keys.find("young", long_ago) == ("digest", job.id)
        assert [worker.slot for worker in stores.workers.live(long_ago)] == [1]
