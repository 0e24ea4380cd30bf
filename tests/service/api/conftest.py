"""Applications to speak to."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from service.artifacts.local import LocalArtifacts
from service.jobs.child import run_job
from service.jobs.supervisor import Supervisor
from service.settings import Settings
from service.store.database import Database
from tests.service.api.driving import Client, speaking_to
from tests.service.making import FORKSERVER, Place, line


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """As for every test of the service, but quicker to see a new version."""
    return settings.model_copy(update={"poll_seconds": 0.01})


@pytest.fixture
def empty_client(settings: Settings) -> Iterator[Client]:
    """A service in which nothing was ever trained."""
    with speaking_to(settings) as client:
        yield client


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    """A service in which version 1 of `default` is y = 2x + 1, and of `two` y = 2a + 3b + 1."""
    _publish_two_models(place)
    with speaking_to(place.settings) as client:
        yield client


@pytest.fixture(scope="module")
def steady_client(
    tmp_path_factory: pytest.TempPathFactory, migrated_file: Path
) -> Iterator[Client]:
    """As `client`, for the many tests of a file that are all refused and change nothing."""
    data_dir = tmp_path_factory.mktemp("steady")
    shutil.copy(migrated_file, data_dir / "refit.db")
    settings = Settings(data_dir=data_dir, device="cpu")
    database = Database(settings.sqlalchemy_url)
    place = Place(settings, database, LocalArtifacts(settings.artifacts_dir))
    _publish_two_models(place)
    database.close()
    with speaking_to(settings) as client:
        yield client


def _publish_two_models(place: Place) -> None:
    place.publish(line(2.0, 1.0))
    place.publish(line([2.0, 3.0], 1.0, features=("a", "b")), model="two")


@pytest.fixture
def training(settings: Settings) -> Iterator[None]:
    """Jobs are really trained, by the supervisor of the service."""
    processes: dict[int, ForkServerProcess] = {}

    def start(job_id: str, fence: int) -> int:
        process = FORKSERVER.Process(target=run_job, args=(settings, job_id, fence))
        process.start()
        assert process.pid is not None
        processes[process.pid] = process
        return process.pid

    def wait_for(pid: int, options: int) -> tuple[int, int]:
        code = processes[pid].exitcode
        if code is None:
            return 0, 0
        return pid, code << 8 if code >= 0 else -code

    database = Database(settings.sqlalchemy_url)
    supervisor = Supervisor(settings, database, start, wait_for)
    stop = threading.Event()

    def turn() -> None:
        now = 0.0
        while not stop.wait(0.01):
            supervisor.step(now)
            now += 0.01

    thread = threading.Thread(target=turn)
    thread.start()
    yield
    stop.set()
    thread.join()
    for process in processes.values():
        process.kill()
        process.join()
    database.close()
