"""Claims jobs, starts a process for each, and mends what dies.

It trains nothing itself and stays single-threaded: training processes are forked from it, warm.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from service.entities import Job, JobError
from service.errors import StoreUnavailableError
from service.jobs.checkpoints import Checkpoints
from service.jobs.deaths import TRY_AGAIN, Coroner
from service.jobs.sweeping import Sweeper
from service.jobs.watch import Watch
from service.settings import Settings
from service.store.database import Database

logger = logging.getLogger(__name__)

CANCEL_GRACE_SECONDS = 5.0
"""A training process that was asked to stop, and has not for so long, is killed."""

CHORES_SECONDS = 0.5
"""How often leases, progress and cancels are looked at."""

LONGEST_GAP_SECONDS = 2.0
"""Time between two looks counts for so much at most: see `service.jobs.watch`."""

SWEEP_SECONDS = 60.0

LONGEST_REST_SECONDS = 300.0
"""Of a job between two attempts."""


class StartTraining(Protocol):
    """Starts a process for a claimed job and gives its pid."""

    def __call__(self, job_id: str, fence: int) -> int: ...


@dataclass
class _Child:
    job_id: str
    fence: int
    coroner: Coroner = field(default_factory=Coroner)
    cancel_seen: float | None = None
    killed: bool = False
    ended: bool = False
    why: JobError | None = None
    """Why it ended; None as long as it has not, and where it ended well."""
    blameless: bool = False
    """Our own SIGTERM ended it before it could put its job back by itself, or the database was
    away."""


class Supervisor:
    """Turn the crank with `step`; end with `stop` and further steps until `idle`.

    A job belongs to whoever claimed it for as long as its beat grows: each report of its training
    makes it grow, and so does the supervisor for a process of its own that lives. A beat that has
    stood still for the lease, by the clock of who looks, is of a supervisor that is gone with its
    processes; any other may then have the job.
    """

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
        self._sweeper = Sweeper(settings, database)
        self._start_training = start_training
        self._wait_for = wait_for
        self._kill = kill
        self._children: dict[int, _Child] = {}
        self._leases = Watch(LONGEST_GAP_SECONDS)
        self._progress = Watch(LONGEST_GAP_SECONDS)
        self._rests = Watch(LONGEST_GAP_SECONDS)
        self._stopping = False
        self._store_is_away = False
        self._next_chores = 0.0
        self._next_vouch = 0.0
        self._next_sweep = 0.0

    @property
    def idle(self) -> bool:
        """Whether no training process is left."""
        return not self._children

    def stop(self) -> None:
        """Claim nothing more and ask running trainings to put their jobs back."""
        self._stopping = True
        for pid, child in self._children.items():
            if not child.ended:
                self._kill(pid, signal.SIGTERM)

    def step(self, now: float) -> None:
        """One turn; ``now`` is in seconds of a clock that never jumps.

        A database that does not answer ends the turn early; the next one tries again.
        """
        try:
            self._reap()
            if now >= self._next_chores:
                self._next_chores = now + CHORES_SECONDS
                self._look_after_running(now)
            if now >= self._next_sweep and not self._stopping:
                self._next_sweep = now + SWEEP_SECONDS
                self._sweeper.sweep()
            if not self._stopping and len(self._children) < self._settings.train_concurrency:
                # One in a turn: who shares the queue has a chance between two of ours.
                self._claim(now)
        except StoreUnavailableError as error:
            if not self._store_is_away:
                logger.warning("the supervisor waits: %s", error)
            self._store_is_away = True
        else:
            self._store_is_away = False

    def _claim(self, now: float) -> None:
        with self._database.read() as stores:
            if stores.jobs.count("queued") == 0:
                return
            tried = stores.jobs.list_tried()
        rested = self._rests.look(now, {job.id: job.fence for job in tried})
        resting = [job.id for job in tried if rested[job.id] < self._rest(job.attempt)]
        coroner = Coroner()
        with self._database.write(beside_others=True) as stores:
            job = stores.jobs.claim(datetime.now(UTC), resting)
        if job is None:
            return
        try:
            pid = self._start_training(job.id, job.fence)
        except OSError as error:
            logger.error("job %s: no process could be started: %s", job.id, error)
            self._mend(job, JobError("crashed", f"its process could not be started: {error}"))
            return
        self._children[pid] = _Child(job.id, job.fence, coroner)
        logger.info("job %s: attempt %d runs as process %d", job.id, job.attempt, pid)

    def _rest(self, attempt: int) -> float:
        """Seconds that a job waits after that attempt."""
        seconds: float = self._settings.retry_seconds * 4 ** min(attempt - 1, 10)
        return min(seconds, LONGEST_REST_SECONDS)

    def _reap(self) -> None:
        for pid, child in list(self._children.items()):
            if not child.ended:
                done, status = self._wait_for(pid, os.WNOHANG)
                if done == 0:
                    continue
                child.ended = True
                child.why = child.why or child.coroner.why(status)
                code = os.waitstatus_to_exitcode(status)
                by_sigterm = self._stopping and code == -signal.SIGTERM
                child.blameless = by_sigterm or code == TRY_AGAIN
                if child.why:
                    logger.warning("job %s: %s", child.job_id, child.why.message)
                    self._sweeper.delete_scratch(child.job_id, child.fence)
            # From here on the database may not answer; the next turn then goes on from here.
            with self._database.read() as stores:
                job = stores.jobs.find_held(child.job_id, child.fence)
            if job is not None:
                # It ended without an end: whatever the status says, the job is to be mended.
                error = child.why or JobError("crashed", "its process left early")
                self._mend(job, error, count_attempt=not child.blameless)
            del self._children[pid]

    def _mend(self, job: Job, error: JobError, count_attempt: bool = True) -> None:
        """Cancel, run again or fail a job that nobody works on any more."""
        now = datetime.now(UTC)
        with self._database.write(beside_others=True) as stores:
            if job.cancel_requested:
                stores.jobs.cancel_running(job.id, job.fence, now)
            elif job.attempt < self._settings.max_attempts or not count_attempt:
                stores.jobs.requeue(job.id, job.fence, now, count_attempt)
            else:
                message = f"{error.message}, {job.attempt} times"
                stores.jobs.fail(job.id, job.fence, JobError(error.code, message), now)

    def _look_after_running(self, now: float) -> None:
        with self._database.read() as stores:
            running = {(job.id, job.fence): job for job in stores.jobs.list_running()}
        own = {(child.job_id, child.fence) for child in self._children.values()}
        self._take_from_the_silent(now, [job for key, job in running.items() if key not in own])
        for child in self._children.values():
            job = running.get((child.job_id, child.fence))
            if job is not None and job.cancel_requested and child.cancel_seen is None:
                child.cancel_seen = now
        self._kill_the_stuck(now, running)
        if now >= self._next_vouch:
            # Four chances before another takes the job.
            self._next_vouch = now + self._settings.lease_seconds / 4
            for job_id, fence in own & set(running):
                with self._database.write(beside_others=True) as stores:
                    stores.jobs.vouch(job_id, fence)

    def _take_from_the_silent(self, now: float, others: list[Job]) -> None:
        silent = self._leases.look(now, {job.id: (job.fence, job.beat) for job in others})
        for job in others:
            if silent[job.id] > self._settings.lease_seconds:
                logger.warning("job %s: its lease ran out", job.id)
                # Its machine was lost or started anew: no fault of a job that comes further each
                # time. One that takes its machine down comes no further than there.
                checkpoints = Checkpoints(self._settings.checkpoints_dir / job.id)
                advanced = checkpoints.advanced_by(job.fence)
                error = JobError("lease_lost", "its process was not heard of any more")
                self._mend(job, error, count_attempt=not advanced)

    def _kill_the_stuck(self, now: float, running: dict[tuple[str, int], Job]) -> None:
        """Kill processes that do not cancel, or whose training makes no progress."""
        signs = {}
        for pid, child in self._children.items():
            job = running.get((child.job_id, child.fence))
            signs[str(pid)] = None if job is None else (job.progress_at, job.epoch)
        stuck = self._progress.look(now, signs)
        for pid, child in self._children.items():
            if child.ended or child.killed:
                continue
            if child.cancel_seen is not None and now - child.cancel_seen >= CANCEL_GRACE_SECONDS:
                logger.warning("job %s: does not stop, its process is killed", child.job_id)
            elif stuck[str(pid)] > self._settings.stall_seconds:
                seconds = self._settings.stall_seconds
                message = f"its training made no progress for {seconds:g} s (REFIT_STALL_SECONDS)"
                child.why = JobError("timed_out", message)
                logger.warning("job %s: %s, its process is killed", child.job_id, message)
            else:
                continue
            self._kill(pid, signal.SIGKILL)
            child.killed = True
