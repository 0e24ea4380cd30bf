"""The supervisor's and the training process's main functions."""

from __future__ import annotations

import gc
import logging
import signal
import time
from types import FrameType

from service.errors import StoreUnavailableError
from service.jobs.desk import JobDesk
from service.jobs.supervisor import StartTraining, Supervisor
from service.processes.death import die_first
from service.processes.parts import TrainingPart
from service.settings import Settings
from service.store.database import Database

logger = logging.getLogger(__name__)


def run_supervisor(settings: Settings, start_training: StartTraining, forks: bool) -> int:
    """Turn the supervisor's crank until SIGTERM, then until no training process is left."""
    stop_requested = False

    def request_stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stop_requested
        stop_requested = True

    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    database = Database(settings.sqlalchemy_url)
    if settings.bootstrap:
        _bootstrap(database, settings)
    if forks:
        _warm_up()
    supervisor = Supervisor(settings, database, start_training)
    stopping = False
    while not (stopping and supervisor.idle):
        if stop_requested and not stopping:
            stopping = True
            supervisor.stop()
        supervisor.step(time.monotonic())
        time.sleep(settings.poll_seconds)
    database.close()
    return 0


def _bootstrap(database: Database, settings: Settings) -> None:
    desk = JobDesk(database, settings)
    try:
        job = desk.bootstrap()
    except StoreUnavailableError as error:
        logger.warning("no bootstrap: %s", error)
        return
    if job is not None:
        logger.info("empty data folder: job %s trains the tutorial's line", job.id)


def _warm_up() -> None:
    """Import all that a training needs, so that the processes forked from here have it already.

    torch imports its compiler on the first use of an optimizer, which takes longer than training
    the line. Nothing is computed here: threads of torch would not survive the fork.
    """

    import torch._dynamo  # noqa: F401

    import service.jobs.child  # noqa: F401

    gc.collect()
    # Forked processes then write less to the pages that they share with this one.
    gc.freeze()


def run_training(part: TrainingPart, settings: Settings) -> int:
    """Train one job."""
    # A web worker that answers is worth more, and the supervisor tells of what was killed.
    die_first()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from service.jobs.child import run_job

    run_job(settings, part.job_id, part.fence)
    return 0
