"""A disk that turns read-only under a running service: predictions go on, and nothing is lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from tests.e2e.running import RunningService, running
from tests.faults.counting import SEED, Count, pick
from tests.faults.laying import lay_copy
from tests.faults.places import Ext4Disk
from tests.faults.trainings import (
    SEEDS,
    Undisturbed,
    complaints_about_job,
    ended,
    forget_artifact,
    submit,
)

pytestmark = pytest.mark.faults

TURNS = pick(2, 10, "TURNS")
JOBS = 3
SETTINGS = {"workers": 1, "lease_seconds": 1, "retry_seconds": 0, "checkpoint_seconds": 0.05}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Ext4Disk]:
    try:
        made = Ext4Disk(tmp_path / "disk")
    except (OSError, CalledProcessError) as error:
        pytest.skip(f"no small ext4 can be mounted: {error}")
    yield made
    made.remove()


def test_a_disk_that_turns_read_only_loses_nothing_and_stops_no_prediction(
    base: Path,
    disk: Ext4Disk,
    undisturbed: Undisturbed,
    count: Callable[..., Count],
    tmp_path: Path,
) -> None:
    turned = count("the disk of a real service turned read-only (ext4 after an error)")
    chance = random.Random(SEED)
    wanted = undisturbed.artifacts
    # By a link, so that its log lies on another disk.
    data = tmp_path / "data"
    data.symlink_to(lay_copy(base, disk.at / "data"))
    disk.sync()
    for trial in range(TURNS):
        seeds = [(trial * JOBS + place) % SEEDS for place in range(JOBS)]
        with running(data, **SETTINGS) as service:
            before = service.client.post("/predict", json={"x": 1.0}).json()
            jobs = [submit(service, seed) for seed in seeds]
            time.sleep(chance.uniform(0, 2 * undisturbed.seconds))
            disk.turn_read_only()
            said = complaints_meanwhile(service, before)
            service.stop(seconds=30)
            if "Traceback" in service.log:
                said.append("something was not expected, see its log")
        disk.mount_again()
        with running(data, **SETTINGS) as service:
            if service.client.post("/predict", json={"x": 1.0}).json() != before:
                said.append("afterwards it answers otherwise")
            for job_id, seed in zip(jobs, seeds, strict=True):
                service.wait_for_job(job_id, ended)
                said += complaints_about_job(data, job_id, wanted[seed])
                forget_artifact(data, wanted[seed])
            service.stop()
        turned.add(f"turn {trial}", said)
    turned.require_none(TURNS)


def complaints_meanwhile(service: RunningService, before: dict[str, object]) -> list[str]:
    """What is wrong with the answers of a service whose disk cannot be written."""
    said = []
    for _ in range(10):
        answer = service.client.post("/train", json={})
        if answer.status_code not in (503, 507) or "Retry-After" not in answer.headers:
            said.append(f"a training is answered {answer.status_code} {answer.text}")
        predicted = service.client.post("/predict", json={"x": 1.0})
        if predicted.status_code != 200 or predicted.json() != before:
            said.append(f"a prediction is answered {predicted.text}")
        health = service.client.get("/health")
        if health.status_code != 200:
            said.append(f"it is not well: {health.text}")
        uploaded = service.client.post(
            "/datasets", content="a,y\n1,2\n", headers={"Content-Type": "text/csv"}
        )
        if uploaded.status_code not in (503, 507):
            said.append(f"an upload is answered {uploaded.status_code} {uploaded.text}")
        time.sleep(0.1)
    return said
