"""A machine that stands still past the lease and wakes up again: what it held is another's now."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.store.database import Database
from tests.e2e.running import RunningService, alive, running
from tests.faults.counting import SEED, Count, pick
from tests.faults.laying import lay_empty, settings_of
from tests.faults.trainings import (
    SEEDS,
    Undisturbed,
    claims_of,
    complaints_about_job,
    ended,
    forget_artifact,
    submit,
    supervisor_of,
    training_of,
)
from tests.service.making import new_job, new_version
from tests.waiting import until

pytestmark = pytest.mark.faults

STOPS = pick(3, 200, "STOPS")

SETTINGS = {
    "workers": 1,
    "bootstrap": False,
    "lease_seconds": 1,
    "poll_seconds": 0.02,
    "retry_seconds": 0,
    "checkpoint_seconds": 0.05,
}


def test_a_training_that_wakes_up_late_writes_nothing(
    tmp_path: Path, undisturbed: Undisturbed, count: Callable[..., Count]
) -> None:
    stopped = count("a training stopped past its lease, taken over, and woken up")
    locked = count("a training stopped while it held SQLite's write lock, and woken up")
    chance = random.Random(SEED)
    wanted = undisturbed.artifacts
    data = tmp_path / "data"
    with running(data, **SETTINGS) as one, running(data, **SETTINGS) as two:
        for trial in range(50 * STOPS):
            if stopped.tried >= STOPS:
                break
            seed = trial % SEEDS
            job_id = submit(one, seed)
            held = _stop_whoever_has_it(one, two, job_id, chance.uniform(0, undisturbed.seconds))
            if not held:
                one.wait_for_job(job_id, ended)
                forget_artifact(data, wanted[seed])
                continue
            # Woken up while the other one is at work on it, or after its end.
            is_taken = _wait_until_taken(one, data, job_id)
            if chance.random() < 0.5 and is_taken:
                one.wait_for_job(job_id, ended)
            for pid in held:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            one.wait_for_job(job_id, ended)
            _wait_for_end_of(held[-1])
            said = complaints_about_job(data, job_id, wanted[seed])
            if not is_taken:
                locked.add(f"trial {trial}, job {job_id}", said)
            elif claims_of(data, job_id) < 2:
                # It had done all and only its end was stopped: nobody took over.
                assert said == []
            else:
                stopped.add(f"trial {trial}, job {job_id}", said)
            forget_artifact(data, wanted[seed])
    stopped.require_none(STOPS)
    # How often it is stopped just there is chance.
    locked.require_none(0)


def _stop_whoever_has_it(
    one: RunningService, two: RunningService, job_id: str, seconds: float
) -> list[int]:
    """Stop supervisor and training, as a machine that stands still does; their pids. None where
    the job ended before."""
    supervisors = [supervisor_of(one), supervisor_of(two)]
    while not ended(one.job(job_id)):
        for supervisor in supervisors:
            training = training_of(supervisor, seconds=0.01)
            if training is None:
                continue
            time.sleep(seconds)
            if not alive(training):
                return []
            for pid in (supervisor, training):
                os.kill(pid, signal.SIGSTOP)
            return [supervisor, training]
    return []


def _wait_until_taken(service: RunningService, data: Path, job_id: str) -> bool:
    """Wait for a second claim; where all was done but for the end of the process, for the end.
    False where the stopped process holds SQLite's write lock: then nobody can take over until it
    goes on, as docs/reliability.md says."""

    def look() -> str | None:
        if claims_of(data, job_id) > 1 or ended(service.job(job_id)):
            return "taken"
        return "locked" if _is_locked(data) else None

    return until(look, "a taker", 30) == "taken"


def _is_locked(data: Path) -> bool:
    """Whether nobody can write for three seconds; a write takes milliseconds."""
    with closing(sqlite3.connect(data / "refit.db", timeout=3, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
    return False


def _wait_for_end_of(training: int) -> None:
    """It ends by itself, once it sees that it has lost."""
    until(lambda: not alive(training), "the late one to end", 30)


# ---- the oracle is no yes-man ----


def test_the_oracle_notices_a_second_end(tmp_path: Path) -> None:
    settings = settings_of(lay_empty(tmp_path / "data"))
    database = Database(settings.sqlalchemy_url)
    now = datetime.now(UTC)
    with database.write() as stores:
        job = stores.jobs.add(new_job("hurt"), now)
        version = stores.versions.add(new_version("hurt"), "api", now)
    database.close()
    with closing(sqlite3.connect(settings.data_dir / "refit.db")) as connection, connection:
        row = (
            "INSERT INTO job_events (job_id, seq, fence, kind, at, data) VALUES (?, ?, ?, ?, ?, ?)"
        )
        for seq in (2, 3):
            connection.execute(row, (job.id, seq, 1, "end", "2026-03-01 12:00:00.000000", "{}"))
    said = "; ".join(complaints_about_job(settings.data_dir, job.id, version.artifact))
    assert "ended 2 times" in said
