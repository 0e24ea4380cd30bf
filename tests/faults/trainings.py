"""Real trainings in a real service, to be killed and stopped, and what must come of each."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from service.artifacts.local import LocalArtifacts
from service.store.database import Database, Stores
from tests.e2e.running import RunningService, descendants, running
from tests.faults.laying import settings_of

SEEDS = 10
"""So many different trainings there are; each gives the same bits whenever it runs."""

MODEL = "hurt"


def spec(seed: int) -> dict[str, Any]:
    """A training of some tenths of a second."""
    x = [row / 50 for row in range(200)]
    return {
        "data": {"source": "points", "x": x, "y": [2 * value * value - value for value in x]},
        "architecture": {"kind": "mlp", "hidden": [8]},
        "epochs": 1500,
        "evaluate_every": 50,
        "early_stopping": None,
        "promote": "always",
        "seed": seed,
    }


def submit(service: RunningService, seed: int) -> str:
    """Queue the training of that seed; the job's id."""
    answer = service.client.post(f"/models/{MODEL}/train", json=spec(seed))
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def supervisor_of(service: RunningService) -> int:
    return service.logged_pid(r"supervisor runs as process (\d+)")


def training_of(supervisor: int, seconds: float = 20, other_than: int = 0) -> int | None:
    """The pid of the training process, as soon as there is one; None if none comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for pid in descendants(supervisor):
            if pid != other_than:
                return pid
        time.sleep(0.001)
    return None


def ended(job: dict[str, Any]) -> bool:
    return job["state"] in ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Undisturbed:
    """What trainings give where nothing is hurt."""

    artifacts: dict[int, str]
    """By seed."""
    seconds: float
    """From the start of a process to the end of it, the median."""


def train_undisturbed(folder: Path) -> Undisturbed:
    """Train each seed once, in a service of its own."""
    artifacts: dict[int, str] = {}
    times: list[float] = []
    with running(folder, workers=1, bootstrap=False, poll_seconds=0.01) as service:
        supervisor = supervisor_of(service)
        for seed in range(SEEDS):
            job_id = submit(service, seed)
            pid = training_of(supervisor)
            began = time.monotonic()
            while pid in descendants(supervisor):
                time.sleep(0.001)
            times.append(time.monotonic() - began)
            version = service.wait_for_job(job_id, ended)["version"]
            with _rows(folder) as stores:
                artifacts[seed] = stores.versions.get(MODEL, version).artifact
    return Undisturbed(artifacts, median(times))


def complaints_about_job(
    service_dir: Path, job_id: str, artifact: str, attempts: int = 3
) -> list[str]:
    """What is wrong with a job that must have succeeded, once, with the bits of ``artifact``."""
    with _rows(service_dir) as stores:
        job = stores.jobs.get(job_id)
        events = stores.jobs.events(job_id, 0, 100_000)
        some = bool(stores.versions.count_models())
        listed = stores.versions.list_newest(MODEL, 100_000, None) if some else []
    said = []
    if job.state != "succeeded":
        said.append(f"is {job.state}: {job.error}")
    if job.attempt > attempts:
        said.append(f"was started {job.attempt} times")
    versions = [version for version in listed if version.job_id == job_id]
    if len(versions) != 1:
        said.append(f"has the versions {[version.number for version in versions]}")
    for version in versions:
        if version.artifact != artifact:
            said.append(f"has other bits than an undisturbed training: {version.artifact}")
        elif version.number != job.version:
            said.append(f"says version {job.version} and has {version.number}")
        else:
            LocalArtifacts(settings_of(service_dir).artifacts_dir).load(artifact)
    ends = [event for event in events if event.kind == "end"]
    if len(ends) != 1:
        said.append(f"ended {len(ends)} times")
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        said.append("its events have gaps")
    return said


def claims_of(service_dir: Path, job_id: str) -> int:
    """How often a job was claimed; attempts that are not counted, too."""
    with _rows(service_dir) as stores:
        return stores.jobs.get(job_id, with_spec=False).fence


def forget_artifact(service_dir: Path, artifact: str) -> None:
    """Delete the artifact, so that the next training of its seed has to write it again."""
    shutil.rmtree(settings_of(service_dir).artifacts_dir / artifact, ignore_errors=True)


@contextmanager
def _rows(data: Path) -> Iterator[Stores]:
    """A look at the rows of a running service."""
    database = Database(settings_of(data).sqlalchemy_url)
    try:
        with database.read() as stores:
            yield stores
    finally:
        database.close()
