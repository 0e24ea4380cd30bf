"""Claims jobs, starts a process for each, and mends what dies.

It trains nothing itself and stays single-threaded: training processes are forked from it, warm.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from service.artifacts.local import LocalArtifacts
from service.datasets.catalogue import Datasets
from service.entities import Job, JobError
from service.errors import JobNotFoundError, StoreUnavailableError
from service.jobs.desk import KEY_LIFE
from service.settings import Settings
from service.store.database import Database

logger = logging.getLogger(__name__)

CANCEL_GRACE_SECONDS = 5.0
"""A training process that was asked to stop, and has not for so long, is killed."""

CHORES_SECONDS = 0.5
"""How often leases and cancels are looked at."""

SWEEP_SECONDS = 60.0
ORPHAN_SECONDS = 3600.0
"""An artifact or a file of rows that no row names is swept when it is so old; younger ones may yet
get a row."""


class StartTraining(Protocol):
    """Starts a process for a claimed job and gives its pid."""

    def __call__(self, job_id: str, fence: int) -> int: ...


@dataclass
class _Child:
    job_id: str
    fence: int
    cancel_seen: float | None = None
    killed: bool = False
    end: str | None = None
    """How it ended, in words, once it has; empty where it ended well."""
    stopped: bool = False
    """Our own SIGTERM ended it, before it could put its job back by itself."""


class Supervisor:
    """Turn the crank with `step`; end with `stop` and further steps until `idle`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        start_training: StartTraining,
        wait_for: Callable[[int, int], tuple[int, int]] = os.waitpid,
        kill: Callable[[int, int], None] = os.kill,
    ) -> None:
        self._settings = settings
        self._database = database
        self._artifacts = LocalArtifacts(settings.artifacts_dir)
        self._datasets = Datasets(database, settings.datasets_dir)
        self._start_training = start_training
        self._wait_for = wait_for
        self._kill = kill
        self._children: dict[int, _Child] = {}
        self._stopping = False
        self._next_chores = 0.0
        self._next_sweep = 0.0

    @property
    def idle(self) -> bool:
        """Whether no training process is left."""
        return not self._children

    def stop(self) -> None:
        """Claim nothing more and ask running trainings to put their jobs back."""
        self._stopping = True
        for pid, child in self._children.items():
            if child.end is None:
                self._kill(pid, signal.SIGTERM)

    def step(self, now: float) -> None:
        """One turn; ``now`` is in seconds of a clock that never jumps.

        A database that does not answer ends the turn early; the next one tries again.
        """
        try:
            self._reap()
            if now >= self._next_chores:
                self._next_chores = now + CHORES_SECONDS
                self._mend_expired()
                self._see_to_cancels(now)
            if now >= self._next_sweep and not self._stopping:
                self._next_sweep = now + SWEEP_SECONDS
                self._sweep()
            if not self._stopping and self.idle:
                self._claim()
        except StoreUnavailableError as error:
            logger.warning("the supervisor waits: %s", error)

    def _claim(self) -> None:
        with self._database.read() as stores:
            if stores.jobs.count("queued") == 0:
                return
        with self._database.write() as stores:
            job = stores.jobs.claim(datetime.now(UTC), self._settings.lease_seconds)
        if job is None:
            return
        pid = self._start_training(job.id, job.fence)
        self._children[pid] = _Child(job.id, job.fence)
        logger.info("job %s: attempt %d runs as process %d", job.id, job.attempt, pid)

    def _reap(self) -> None:
        for pid, child in list(self._children.items()):
            if child.end is None:
                done, status = self._wait_for(pid, os.WNOHANG)
                if done == 0:
                    continue
                child.end = _in_words(status)
                by_sigterm = os.waitstatus_to_exitcode(status) == -signal.SIGTERM
                child.stopped = self._stopping and by_sigterm
                if child.end:
                    logger.warning("job %s: its process %s", child.job_id, child.end)
                    self._delete_scratch(child.job_id, child.fence)
            # From here on the database may not answer; the next turn then goes on from here.
            job = self._held_by(child)
            if job is not None:
                # It ended without an end: whatever the status says, the job is to be mended.
                error = JobError("crashed", f"its process {child.end or 'left early'}")
                self._mend(job, error, count_attempt=not child.stopped)
            del self._children[pid]

    def _held_by(self, child: _Child) -> Job | None:
        with self._database.read() as stores:
            try:
                job = stores.jobs.get(child.job_id, with_spec=False)
            except JobNotFoundError:
                return None
        return job if job.state == "running" and job.fence == child.fence else None

    def _mend(self, job: Job, error: JobError, count_attempt: bool = True) -> None:
        """Cancel, run again or fail a job that nobody works on any more."""
        now = datetime.now(UTC)
        with self._database.write() as stores:
            if job.cancel_requested:
                stores.jobs.cancel_running(job.id, job.fence, now)
            elif job.attempt < self._settings.max_attempts or not count_attempt:
                stores.jobs.requeue(job.id, job.fence, now, count_attempt)
            else:
                message = f"{error.message}, {job.attempt} times"
                stores.jobs.fail(job.id, job.fence, JobError(error.code, message), now)

    def _mend_expired(self) -> None:
        with self._database.read() as stores:
            expired = stores.jobs.expired(datetime.now(UTC))
        own = {(child.job_id, child.fence) for child in self._children.values()}
        for job in expired:
            if (job.id, job.fence) not in own:
                logger.warning("job %s: its lease ran out", job.id)
                self._mend(job, JobError("lease_lost", "its process was not heard of any more"))

    def _see_to_cancels(self, now: float) -> None:
        for pid, child in self._children.items():
            job = self._held_by(child)
            if job is None or not job.cancel_requested:
                continue
            if child.cancel_seen is None:
                child.cancel_seen = now
            elif now - child.cancel_seen >= CANCEL_GRACE_SECONDS and not child.killed:
                logger.warning("job %s: does not stop, its process is killed", child.job_id)
                self._kill(pid, signal.SIGKILL)
                child.killed = True

    def _sweep(self) -> None:
        with self._database.write() as stores:
            stores.keys.delete_older(datetime.now(UTC) - KEY_LIFE)
            stores.workers.forget_silent(datetime.now(UTC) - timedelta(hours=1))
        # In one write transaction: nobody registers a version meanwhile, and what is published
        # once more is young again.
        with self._database.write() as stores:
            for name in self._artifacts.older_than(ORPHAN_SECONDS):
                if not stores.versions.uses_artifact(name):
                    logger.info("artifact %s belongs to no version and is swept", name)
                    self._artifacts.delete(name)
        self._datasets.sweep(ORPHAN_SECONDS)
        self._sweep_scratch()

    def _sweep_scratch(self) -> None:
        """Delete what trainings left behind whose supervisor died with them."""
        folder = self._settings.scratch_dir
        for path in folder.iterdir() if folder.is_dir() else ():
            job_id, _, fence = path.name.rpartition("-")
            if fence.isdigit() and self._held_by(_Child(job_id, int(fence))) is None:
                self._delete_scratch(job_id, int(fence))

    def _delete_scratch(self, job_id: str, fence: int) -> None:
        shutil.rmtree(self._settings.scratch_dir / f"{job_id}-{fence}", ignore_errors=True)


def _in_words(status: int) -> str:
    """How a process ended, in words; empty where it ended well."""
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return ""
    if code > 0:
        return f"exited with code {code}"
    return f"was killed by {signal.Signals(-code).name}"
