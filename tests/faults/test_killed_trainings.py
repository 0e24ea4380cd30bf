"""kill -9 of training processes at random instants: each job ends once, with the same bits."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from service.artifacts.local import LocalArtifacts
from service.entities import Promotion
from service.store.database import Database
from tests.e2e.running import alive, running
from tests.faults.counting import SEED, Count, pick
from tests.faults.laying import lay_empty, settings_of
from tests.faults.trainings import (
    MODEL,
    SEEDS,
    Undisturbed,
    complaints_about_job,
    ended,
    forget_artifact,
    submit,
    supervisor_of,
    training_of,
)
from tests.service.making import Place, line

pytestmark = pytest.mark.faults

KILLS = pick(30, 1000, "KILLS")
TWICE = 0.3
"""So often the second attempt is killed as well; the third is let live."""


def kill_after(supervisor: int, seconds: float, other_than: int = 0) -> tuple[int | None, bool]:
    """Kill the training process so long after it appeared; its pid, and whether it still lived."""
    pid = training_of(supervisor, other_than=other_than)
    if pid is None:
        return None, False
    time.sleep(seconds)
    lived = alive(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return pid, lived


def test_a_killed_training_ends_once_and_with_the_same_bits(
    tmp_path: Path, undisturbed: Undisturbed, count: Callable[..., Count]
) -> None:
    killed = count("kill -9 of a training process at a random instant")
    chance = random.Random(SEED)
    wanted, longest = undisturbed.artifacts, 1.2 * undisturbed.seconds
    data = tmp_path / "data"
    settings = {"poll_seconds": 0.01, "retry_seconds": 0, "checkpoint_seconds": 0.05}
    with running(data, workers=1, bootstrap=False, **settings) as service:
        supervisor = supervisor_of(service)
        for trial in range(100 * KILLS):
            if killed.tried >= KILLS:
                break
            seed = trial % SEEDS
            job_id = submit(service, seed)
            pid, hit = kill_after(supervisor, chance.uniform(0, longest))
            if hit and chance.random() < TWICE:
                kill_after(supervisor, chance.uniform(0, longest), other_than=pid or 0)
            said = []
            try:
                service.wait_for_job(job_id, ended, 60)
            except AssertionError as stuck:
                said.append(str(stuck))
            said += complaints_about_job(data, job_id, wanted[seed])
            if hit:
                killed.add(f"trial {trial}, job {job_id}", said)
            else:
                assert said == [], "not even killed"
            forget_artifact(data, wanted[seed])
    killed.require_none(KILLS)


# ---- the oracle is no yes-man ----


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    settings = settings_of(lay_empty(tmp_path / "data"))
    database = Database(settings.sqlalchemy_url)
    yield Place(settings, database, LocalArtifacts(settings.artifacts_dir))
    database.close()


def test_the_oracle_notices_what_is_lost_doubled_or_other(place: Place) -> None:
    def complaints(artifact: str) -> str:
        return "; ".join(complaints_about_job(place.settings.data_dir, job.id, artifact))

    right, wrong = line(0.5), line(0.6)
    artifact, other = place.artifacts.publish(right), place.artifacts.publish(wrong)
    place.queue(MODEL)
    job = place.claim()
    assert "is running" in complaints(artifact)
    assert "has the versions []" in complaints(artifact)
    number = place.publish(right, MODEL, active=False, job_id=job.id)
    now = datetime.now(UTC)
    with place.database.write() as stores:
        stores.jobs.succeed(job.id, job.fence, number, {}, Promotion(True, "always"), now)
    assert complaints(artifact) == ""
    assert "has other bits" in complaints(other)
    with pytest.raises(IntegrityError, match="job_id"):
        # The schema itself knows no second version of a job.
        place.publish(right, MODEL, job_id=job.id)
    with place.database.write() as stores:
        stores.versions.delete(MODEL, number)
    assert "has the versions []" in complaints(artifact), "it was acknowledged and is lost"
