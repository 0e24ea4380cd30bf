"""What a training leaves on the disk when it dies, and who deletes it: real processes."""

from __future__ import annotations

import itertools
import os
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from ml.datasets.ingest import ingest
from ml.datasets.options import ReadOptions
from service.datasets.catalogue import Datasets
from service.datasets.folders import seal
from service.entities import Job
from service.jobs.child import run_job
from service.jobs.desk import JobDesk
from service.jobs.requests import validation_context
from service.jobs.supervisor import SWEEP_SECONDS, Supervisor
from service.schemas.training import TrainRequest
from service.settings import Settings
from tests.service.making import FORKSERVER, Place, new_dataset
from tests.waiting import until

LONG: dict[str, Any] = {"epochs": 1_000_000, "evaluate_every": 1000, "optimizer": {"kind": "sgd"}}
"""Takes minutes, unless something ends it."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """No row may be in memory, a lease is short, nobody rests, and each attempt is counted."""
    changes = {
        "train_memory_bytes": 1,
        "lease_seconds": 1.0,
        "retry_seconds": 0,
        "checkpoint_seconds": 1000.0,
    }
    return settings.model_copy(update=changes)


class Trainings:
    """Starts real trainings for a supervisor, and waits for them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.processes: list[ForkServerProcess] = []

    def start(self, job_id: str, fence: int) -> int:
        process = FORKSERVER.Process(target=run_job, args=(self._settings, job_id, fence))
        process.start()
        self.processes.append(process)
        assert process.pid is not None
        return process.pid

    def wait_for(self, pid: int, options: int) -> tuple[int, int]:
        (process,) = (one for one in self.processes if one.pid == pid)
        code = process.exitcode
        if code is None:
            return 0, 0
        return pid, code << 8 if code >= 0 else -code


def train_long(place: Place, tmp_path: Path) -> Job:
    """Queue a training of a dataset that takes minutes."""
    source, kept = tmp_path / "rows.csv", tmp_path / "kept"
    source.write_text("a,y\n" + "".join(f"{row},{2 * row}\n" for row in range(50)))
    kept.mkdir()
    profile = ingest(source, kept, ReadOptions(kind="csv"))
    seal(kept)
    catalogue = Datasets(place.database, place.settings.datasets_dir)
    place.settings.datasets_dir.mkdir(parents=True)
    dataset, _ = catalogue.publish(new_dataset(profile=profile), kept, mends=False, most=9)
    data = {"source": "dataset", "dataset": dataset.id, "target": "y"}
    request = TrainRequest.model_validate(
        {"data": data, **LONG}, context=validation_context(catalogue)
    )
    return JobDesk(place.database, place.settings).submit("default", request)


def scratch(place: Place) -> list[str]:
    folder = place.settings.scratch_dir
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def wait_until_it_trains(place: Place, job: Job) -> None:
    until(lambda: place.job(job.id).epoch > 0, "the training to begin")


def end(trainings: Trainings) -> None:
    for process in trainings.processes:
        process.kill()
        process.join()


def test_the_rows_of_a_killed_training_are_deleted_before_it_runs_again(
    place: Place, tmp_path: Path
) -> None:
    trainings = Trainings(place.settings)
    supervisor = Supervisor(place.settings, place.database, trainings.start, trainings.wait_for)
    job = train_long(place, tmp_path)
    supervisor.step(0.0)
    try:
        wait_until_it_trains(place, job)
        assert scratch(place) == [f"{job.id}-1"]
        (running,) = trainings.processes
        assert running.pid is not None
        os.kill(running.pid, signal.SIGKILL)
        running.join()
        supervisor.step(0.1)
        assert scratch(place) in ([], [f"{job.id}-2"])
        assert place.job(job.id).attempt == 2
        wait_until_it_trains(place, job)
        assert scratch(place) == [f"{job.id}-2"]
        supervisor.stop()
        trainings.processes[-1].join(30)
        supervisor.step(0.2)
        # Put back to run again, with nothing left of it.
        assert (place.job(job.id).state, scratch(place)) == ("queued", [])
    finally:
        end(trainings)


def test_the_rows_of_a_supervisor_that_died_too_are_swept_and_live_ones_are_not(
    place: Place, tmp_path: Path
) -> None:
    trainings = Trainings(place.settings)
    lost = Supervisor(place.settings, place.database, trainings.start, trainings.wait_for)
    job = train_long(place, tmp_path)
    lost.step(0.0)
    try:
        wait_until_it_trains(place, job)
        # Another service with the same data folder, such as the next one at a restart.
        found = Supervisor(place.settings, place.database, trainings.start, trainings.wait_for)
        found.step(0.0)
        assert scratch(place) == [f"{job.id}-1"], "somebody works with them"
        end(trainings)
        clock = itertools.count(1.0)

        def look() -> bool:
            found.step(next(clock))
            return place.job(job.id).attempt == 2

        until(look, "its lease to run out")
        wait_until_it_trains(place, job)
        found.step(2 * SWEEP_SECONDS)
        assert scratch(place) == [f"{job.id}-2"]
    finally:
        end(trainings)


def test_only_what_trainings_made_is_swept(place: Place) -> None:
    folder = place.settings.scratch_dir
    for name in ("notes", "0" * 32 + "-1", "-5", "a-b", "1"):
        (folder / name).mkdir(parents=True)
    supervisor = Supervisor(place.settings, place.database, lambda job_id, fence: 0)
    supervisor.step(0.0)
    assert scratch(place) == ["1", "a-b", "notes"]
