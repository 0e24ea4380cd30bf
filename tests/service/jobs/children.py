"""Training processes in which something happens at the worst moment."""

from __future__ import annotations

import os
import resource
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import service.jobs.checkpoints
import service.jobs.child
import service.store.database
from ml.artifact import Bundle
from ml.training.loop import Progress
from service.artifacts.local import LocalArtifacts
from service.jobs.child import run_job
from service.jobs.contest import hold_contest
from service.jobs.recorder import Recorder
from service.registry.promotion import Contest
from service.settings import Settings
from service.store.database import Database


def run_and_lose_the_lease_at_the_end(settings: Settings, job_id: str, fence: int) -> None:
    """Another process gets the job between the publication and the registration."""
    publish = LocalArtifacts.publish

    def publish_and_lose(self: LocalArtifacts, bundle: Bundle) -> str:
        name = publish(self, bundle)
        database = Database(settings.sqlalchemy_url)
        now = datetime.now(UTC)
        with database.write() as stores:
            assert stores.jobs.requeue(job_id, fence, now, count_attempt=True)
            assert stores.jobs.claim(now) is not None
        database.close()
        return name

    LocalArtifacts.publish = publish_and_lose  # type: ignore[method-assign]
    run_job(settings, job_id, fence)


def run_while_another_version_is_activated(settings: Settings, job_id: str, fence: int) -> None:
    """Version 2 becomes active while this training is compared with version 1."""
    contests = 0

    def hold_and_activate(*args: Any) -> Contest:
        nonlocal contests
        contests += 1
        held = hold_contest(*args)
        if contests == 1:
            database = Database(settings.sqlalchemy_url)
            with database.write() as stores:
                stores.deployments.move("default", 2, "activated", datetime.now(UTC))
            database.close()
        return held

    vars(service.jobs.child)["hold_contest"] = hold_and_activate
    run_job(settings, job_id, fence)


def run_with_little_memory(settings: Settings, job_id: str, fence: int) -> None:
    """The process may take 1 GB more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    run_job(settings, job_id, fence)


def run_with_little_patience(settings: Settings, job_id: str, fence: int) -> None:
    """A database that does not answer at once does not answer."""
    vars(service.store.database)["BUSY_SECONDS"] = 0.1
    run_job(settings, job_id, fence)


def run_with_checkpoints_galore(settings: Settings, job_id: str, fence: int) -> None:
    """A checkpoint at every report, whatever they cost."""
    vars(service.jobs.checkpoints)["SHARE"] = 1e9
    run_job(settings, job_id, fence)


def run_and_stop_after(settings: Settings, job_id: str, fence: int) -> None:
    """The service stops at the training's 15th report."""
    record, reports = Recorder.record, 0

    def record_and_stop(self: Recorder, progress: Progress) -> None:
        nonlocal reports
        record(self, progress)
        reports += 1
        if reports == 15:
            os.kill(os.getpid(), signal.SIGTERM)

    Recorder.record = record_and_stop  # type: ignore[method-assign]
    run_job(settings, job_id, fence)


def run_and_tell(settings: Settings, job_id: str, fence: int) -> None:
    """The epochs of the first report are written to the file `first_report`."""
    record, told = Recorder.record, settings.data_dir / "first_report"

    def record_and_tell(self: Recorder, progress: Progress) -> None:
        if not told.exists():
            told.write_text(str(progress.epochs_done))
        record(self, progress)

    Recorder.record = record_and_tell  # type: ignore[method-assign]
    run_job(settings, job_id, fence)
