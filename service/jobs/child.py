"""The training process: one job, from its row to a registered version.

It meets the rest of the service in the database only. Whatever it writes carries the fence of its
claim, so it can publish nothing once another process has the job.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
from datetime import UTC, datetime
from functools import cached_property
from types import FrameType
from typing import Any

import torch

from ml.artifact import Bundle
from ml.data.dataset import DatasetFiles
from ml.device import limit_threads, pick_device
from ml.errors import CheckpointError, MLError
from ml.training.checkpoint import decode, encode
from ml.training.fit import Fit, Fitted
from service.artifacts.local import LocalArtifacts
from service.datasets.catalogue import Datasets
from service.durable import is_disk_full
from service.entities import Deployment, JobError, Promotion
from service.errors import (
    DatasetNotFoundError,
    InvalidRequestError,
    SpecUnreadableError,
    StoreUnavailableError,
)
from service.jobs.checkpoints import Checkpoints, Pace
from service.jobs.contest import hold_contest
from service.jobs.deaths import TRY_AGAIN
from service.jobs.desk import start_version
from service.jobs.recorder import CancelRequestedError, LeaseLostError, Recorder
from service.jobs.requests import request_of
from service.jobs.results import new_version
from service.registry.promotion import Contest, decide
from service.schemas.training import TrainRequest
from service.settings import Settings
from service.store.database import Database, Stores

logger = logging.getLogger(__name__)

NICENESS = 19
"""Training gives way to prediction."""


class StopRequestedError(Exception):
    """The service is stopping; the job is to run again at the next start."""


def run_job(settings: Settings, job_id: str, fence: int) -> None:
    """Train, publish, register, promote. Ends the job, requeues it, or has lost it."""
    os.nice(NICENESS)
    limit_threads(settings.train_threads)
    stop = _StopFlag()
    signal.signal(signal.SIGTERM, stop.set)
    database = Database(settings.sqlalchemy_url)
    try:
        _Training(settings, database, job_id, fence, stop).run()
    except StoreUnavailableError as error:
        logger.warning("job %s: to be tried again: %s", job_id, error)
        raise SystemExit(TRY_AGAIN) from error
    finally:
        database.close()


class _StopFlag:
    def __init__(self) -> None:
        self.is_set = False

    def set(self, signum: int, frame: FrameType | None) -> None:
        self.is_set = True


class _Training:
    def __init__(
        self, settings: Settings, database: Database, job_id: str, fence: int, stop: _StopFlag
    ) -> None:
        self._settings = settings
        self._database = database
        self._artifacts = LocalArtifacts(settings.artifacts_dir)
        self._fence = fence
        self._stop = stop
        self._datasets = Datasets(database, settings.datasets_dir)
        self._scratch = settings.scratch_dir / f"{job_id}-{fence}"
        self._checkpoints = Checkpoints(settings.checkpoints_dir / job_id)
        self._passed_over = False
        with database.read() as stores:
            self._job = stores.jobs.get(job_id)

    @cached_property
    def _device(self) -> torch.device:
        return pick_device(self._settings.device)

    @cached_property
    def _request(self) -> TrainRequest:
        return request_of(self._job, self._datasets)

    def run(self) -> None:
        """Train, and end the job in whatever way it ends."""
        try:
            self._run()
            self._delete_checkpoints_of_ended()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _delete_checkpoints_of_ended(self) -> None:
        """What a kill before this leaves, the supervisor sweeps."""
        if self._checkpoints.exist:
            with self._database.read() as stores:
                ended = stores.jobs.get(self._job.id, with_spec=False).ended
            if ended:
                self._checkpoints.delete()

    def _run(self) -> None:
        job_id, fence = self._job.id, self._fence
        try:
            self._finish(*self._fit())
        except LeaseLostError:
            logger.warning("job %s: lease lost, nothing published", job_id)
        except CancelRequestedError:
            with self._database.write() as stores:
                stores.jobs.cancel_running(job_id, fence, datetime.now(UTC))
        except StopRequestedError:
            with self._database.write() as stores:
                stores.jobs.requeue(job_id, fence, datetime.now(UTC), count_attempt=False)
        except (MLError, InvalidRequestError, SpecUnreadableError, DatasetNotFoundError) as error:
            self._fail(error.code, str(error))
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            self._fail("out_of_memory", "memory ran out: use fewer rows or a smaller model")
        except OSError as error:
            if not is_disk_full(error):
                raise
            self._fail("storage_full", "the disk of the service is full; nothing was published")

    def _fail(self, code: str, message: str) -> None:
        with self._database.write() as stores:
            error = JobError(code, message)
            stores.jobs.fail(self._job.id, self._fence, error, datetime.now(UTC))

    def _fit(self) -> tuple[Fit, Fitted]:
        fit = self._resumed() or Fit(
            self._request, self._device, self._start_bundle(), self._files()
        )
        recorder = self._recorder()
        for point in fit.curve:
            # Made before the checkpoint, but written only if the process lived on for a moment.
            recorder.note(point)
        pace = Pace(self._settings.checkpoint_seconds)
        for progress in fit:
            recorder.record(progress)
            if self._stop.is_set:
                self._save(fit, pace)
                recorder.flush()
                raise StopRequestedError
            if pace.is_due(fit.checkpoint_bytes):
                self._save(fit, pace)
        self._database.wait(lambda: self._stop.is_set)
        recorder.flush()
        return fit, fit.result()

    def _resumed(self) -> Fit | None:
        """The training as its newest checkpoint left it; None where none can be used."""
        for name, content in self._checkpoints.newest_first():
            try:
                checkpoint = decode(content)
                fit = Fit(self._request, self._device, files=self._files(), resume=checkpoint)
            except CheckpointError as error:
                logger.warning(
                    "job %s: checkpoint %s is passed over: %s", self._job.id, name, error
                )
                shutil.rmtree(self._scratch, ignore_errors=True)
                self._passed_over = True
                continue
            logger.info("job %s: goes on from checkpoint %s", self._job.id, name)
            return fit
        return None

    def _save(self, fit: Fit, pace: Pace) -> None:
        """Write a checkpoint; a training goes on without where there is no room for one."""
        # Behind one that was passed over it may be where that one was, and no further.
        advances = None if self._passed_over else self._fence
        try:
            seconds = pace.spend(
                lambda: self._checkpoints.write(encode(fit.checkpoint()), advances)
            )
        except OSError as error:
            logger.warning("job %s: no checkpoint could be written: %s", self._job.id, error)
        else:
            logger.debug("job %s: a checkpoint took %.3f s", self._job.id, seconds)

    def _files(self) -> DatasetFiles:
        memory_bytes = self._settings.train_memory_bytes
        return DatasetFiles(self._datasets.folder, self._scratch, memory_bytes)

    def _recorder(self) -> Recorder:
        recorded: list[dict[str, Any]] = []
        if self._fence > 1:
            with self._database.read() as stores:
                recorded = stores.jobs.curve(self._job.id)
        return Recorder(self._database, self._job.id, self._fence, time.monotonic, recorded)

    def _start_bundle(self) -> Bundle | None:
        with self._database.read() as stores:
            number = start_version(stores, self._job.model, self._request)
            if number is None:
                return None
            artifact = stores.versions.get(self._job.model, number).artifact
        return self._artifacts.load(artifact)

    def _finish(self, fit: Fit, fitted: Fitted) -> None:
        artifact = self._artifacts.publish(fitted.bundle)
        while True:
            with self._database.read() as stores:
                active = stores.deployments.get(self._job.model)
                bootstrap = active is not None and _is_bootstrap(stores, active)
            contest = None if active is None else self._contest(fit, fitted, active, bootstrap)
            promoted, reason = decide(self._request.promote, contest)
            with self._database.write() as stores:
                if stores.deployments.get(self._job.model) != active:
                    continue  # another version became active meanwhile: score again
                self._register(stores, fitted, artifact, promoted, reason)
                return

    def _contest(self, fit: Fit, fitted: Fitted, active: Deployment, is_bootstrap: bool) -> Contest:
        incumbent: Bundle | None = None
        if self._request.promote == "if_better":
            try:
                incumbent = self._artifacts.load(active.artifact)
            except MLError as error:
                logger.warning("the active version cannot be loaded: %s", error)
        return hold_contest(
            fitted.bundle,
            incumbent,
            fit.parts.held_out,
            self._request.loss,
            fit.device,
            active.version,
            is_bootstrap,
        )

    def _register(
        self, stores: Stores, fitted: Fitted, artifact: str, promoted: bool, reason: str
    ) -> None:
        now = datetime.now(UTC)
        job = self._job
        version = stores.versions.add(new_version(job, fitted, artifact), job.origin, now)
        generation = None
        if promoted:
            generation = stores.deployments.move(job.model, version.number, "promoted", now)
        promotion = Promotion(promoted, reason, generation)
        if not stores.jobs.succeed(
            job.id, self._fence, version.number, fitted.metrics, promotion, now, fitted.warnings
        ):
            raise LeaseLostError(job.id)  # undoes the version and the move


def _is_out_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a bare RuntimeError with these words (c10/core/impl/alloc_cpu.cpp).
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "can't allocate memory" in str(error)


def _is_bootstrap(stores: Stores, active: Deployment) -> bool:
    return stores.versions.get(active.model, active.version).origin == "bootstrap"
