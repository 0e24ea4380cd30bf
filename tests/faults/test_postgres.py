"""Many supervisors on one Postgres, and a Postgres that crashes or stands still under them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.errors import StoreUnavailableError
from service.jobs.desk import JobDesk
from service.processes.launch import run_part
from service.processes.parts import SupervisorPart
from service.schemas.training import TrainRequest
from service.settings import Settings
from service.store.database import Database
from service.store.migrate import migrate
from service.store.patience import FIRST_ANSWER_SECONDS
from tests.faults.counting import Count, pick
from tests.postgres import PostgresServer, require_binaries
from tests.service.making import FORKSERVER
from tests.waiting import until

pytestmark = pytest.mark.faults

JOBS = pick(24, 500, "JOBS")
SUPERVISORS = pick(3, 8, "SUPERVISORS")
CRASHES = pick(2, 10, "CRASHES")
FREEZES = pick(2, 10, "FREEZES")
MODEL = "many"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    started = PostgresServer(require_binaries(), durable=True)
    yield started
    started.remove()


@pytest.fixture
def settings(server: PostgresServer, tmp_path: Path) -> Settings:
    url = server.url(server.create())
    migrate(url)
    return Settings(
        data_dir=tmp_path / "data",
        database_url=url,
        device="cpu",
        bootstrap=False,
        max_queued_jobs=10_000,
        max_attempts=100,
        retry_seconds=0,
    )


def supervise(settings: Settings) -> None:
    """Be a supervisor until SIGTERM; its trainings are real."""
    os._exit(run_part(SupervisorPart(), settings, os.getppid()))


@contextmanager
def supervisors(settings: Settings) -> Iterator[None]:
    """So many of them, gone afterwards."""
    processes = [FORKSERVER.Process(target=supervise, args=(settings,)) for _ in range(SUPERVISORS)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(20)
            process.kill()


def submit(desk: JobDesk, seed: int) -> str | None:
    """Queue a small training; its id once that is acknowledged."""
    asked = {"epochs": 30, "seed": seed, "promote": "never", "early_stopping": None}
    try:
        return desk.submit(MODEL, TrainRequest.model_validate(asked)).id
    except StoreUnavailableError:
        return None


def wait_until_done(database: Database, seconds: float) -> None:
    def done() -> bool:
        try:
            with database.read() as stores:
                return stores.jobs.count("queued") + stores.jobs.count("running") == 0
        except StoreUnavailableError:
            return False

    until(done, "all jobs to end", seconds)


def complaints(database: Database, jobs: list[str], attempts: int) -> dict[str, list[str]]:
    """What is wrong with each job that was acknowledged."""
    with database.read() as stores:
        versions = [version.job_id for version in stores.versions.list_newest(MODEL, 100_000, None)]
        found = {job_id: stores.jobs.get(job_id) for job_id in jobs}
    said: dict[str, list[str]] = {}
    for job_id, job in found.items():
        said[job_id] = []
        if job.state != "succeeded":
            said[job_id].append(f"is {job.state}: {job.error}")
        if versions.count(job_id) != 1:
            said[job_id].append(f"has {versions.count(job_id)} versions")
        if job.fence > attempts:
            said[job_id].append(f"was claimed {job.fence} times")
    return said


def test_each_job_runs_once_among_many_supervisors(
    settings: Settings, count: Callable[..., Count]
) -> None:
    once = count("a job among many supervisors on one Postgres")
    database = Database(settings.sqlalchemy_url)
    desk = JobDesk(database, settings)
    with supervisors(settings):
        jobs = [job_id for seed in range(JOBS) if (job_id := submit(desk, seed))]
        wait_until_done(database, 60 + JOBS)
    for job_id, said in complaints(database, jobs, attempts=1).items():
        once.add(job_id, said)
    database.close()
    once.require_none(JOBS)


def crash(server: PostgresServer) -> None:
    server.stop(signal.SIGQUIT)
    time.sleep(0.5)
    server.start()


def freeze(server: PostgresServer) -> None:
    server.freeze()
    # Longer than anybody waits for a first answer.
    time.sleep(FIRST_ANSWER_SECONDS + 2)
    server.thaw()


@pytest.mark.parametrize(
    ("hurt", "times", "did", "while_it"),
    [
        (crash, CRASHES, "ended at once (SIGQUIT)", "crashes and starts again"),
        (freeze, FREEZES, "frozen (SIGSTOP) for a while", "is frozen and goes on"),
    ],
    ids=["crash", "freeze"],
)
def test_a_hurt_postgres_loses_and_doubles_nothing(
    settings: Settings,
    server: PostgresServer,
    count: Callable[..., Count],
    hurt: Callable[[PostgresServer], None],
    times: int,
    did: str,
    while_it: str,
) -> None:
    kept = count(f"a job acknowledged while Postgres {while_it}")
    hurts = count(f"Postgres {did} under load")
    database = Database(settings.sqlalchemy_url)
    desk = JobDesk(database, settings)
    jobs: list[str] = []
    with supervisors(settings):
        for turn in range(times):
            wanted = (turn + 1) * JOBS // times
            while len(jobs) < wanted:
                job_id = submit(desk, len(jobs))
                if job_id is not None:
                    jobs.append(job_id)
            time.sleep(0.5)
            hurt(server)
            hurts.add(turn, [])
        wait_until_done(database, 120 + JOBS)
    for job_id, said in complaints(database, jobs, attempts=100).items():
        kept.add(job_id, said)
    database.close()
    kept.require_none(JOBS - times)


def test_the_oracle_notices_a_job_that_is_lost_or_ran_twice(settings: Settings) -> None:
    database = Database(settings.sqlalchemy_url)
    desk = JobDesk(database, settings)
    job_id = submit(desk, 1)
    assert job_id is not None
    with supervisors(settings):
        wait_until_done(database, 60)
    assert complaints(database, [job_id], attempts=1) == {job_id: []}
    assert complaints(database, [job_id], attempts=0) == {job_id: ["was claimed 1 times"]}
    with database.write() as stores:
        stores.versions.delete(MODEL, 1)
    assert complaints(database, [job_id], attempts=1) == {job_id: ["has 0 versions"]}
    database.close()
