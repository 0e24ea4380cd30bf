"""Deletes what nothing needs any more: orphans, and what the settings let go."""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime, timedelta

from service.artifacts.local import LocalArtifacts
from service.datasets.catalogue import Datasets
from service.errors import JobNotFoundError
from service.jobs.checkpoints import sweep as sweep_checkpoints
from service.jobs.desk import KEY_LIFE
from service.settings import Settings
from service.store.database import Database

logger = logging.getLogger(__name__)

ORPHAN_SECONDS = 3600.0
"""An artifact or a file of rows that no row names is swept when it is so old; younger ones may yet
get a row."""

SILENT = timedelta(hours=1)
"""A web process not heard of for so long is forgotten, and what it had loaded."""

JOBS_AT_ONCE = 100
"""Old jobs deleted in one sweep: others wait for the write meanwhile, and the next sweep comes."""


class Sweeper:
    """Turn it with `sweep`, once in a while."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._artifacts = LocalArtifacts(settings.artifacts_dir)
        self._datasets = Datasets(database, settings.datasets_dir)

    def sweep(self) -> None:
        """Delete old rows first, then the files that no row names.

        Raises:
            StoreUnavailableError: the database does not answer; the rest waits for the next time.
        """
        now = datetime.now(UTC)
        with self._database.write() as stores:
            stores.keys.delete_older(now - KEY_LIFE)
            stores.workers.forget_silent(now - SILENT)
        self._retire_versions(now)
        self._retire_jobs(now)
        self._sweep_artifacts()
        self._datasets.sweep(ORPHAN_SECONDS)
        sweep_checkpoints(self._settings.checkpoints_dir, self._is_over)
        self._sweep_scratch()

    def delete_scratch(self, job_id: str, fence: int) -> None:
        """Delete what the training of that claim had on the disk until its end."""
        shutil.rmtree(self._settings.scratch_dir / f"{job_id}-{fence}", ignore_errors=True)

    def _retire_versions(self, now: datetime) -> None:
        """Delete versions beyond the newest ones of each model. Active ones stay, those that a web
        process has loaded, and those that a waiting or running job starts from."""
        keep = self._settings.keep_versions
        if keep == 0:
            return
        with self._database.write() as stores:
            surplus = stores.versions.beyond_newest(keep)
            if not surplus:
                return
            needed = stores.jobs.starting_versions()
            loaded = {name for w in stores.workers.live(now - SILENT) for name in w.loaded}
            for model, number, artifact in surplus:
                if artifact not in loaded and (model, number) not in needed:
                    logger.info("version %d of model %s is older than those kept", number, model)
                    stores.versions.delete(model, number)

    def _retire_jobs(self, now: datetime) -> None:
        days = self._settings.keep_jobs_days
        if days == 0:
            return
        with self._database.write() as stores:
            count = stores.jobs.delete_ended(now - timedelta(days=days), JOBS_AT_ONCE)
        if count:
            logger.info("%d jobs that ended more than %d days ago are deleted", count, days)

    def _sweep_artifacts(self) -> None:
        # In one write transaction: nobody registers a version meanwhile, and what is published
        # once more is young again.
        with self._database.write() as stores:
            for name in self._artifacts.older_than(ORPHAN_SECONDS):
                if not stores.versions.uses_artifact(name):
                    logger.info("artifact %s belongs to no version and is swept", name)
                    self._artifacts.delete(name)

    def _sweep_scratch(self) -> None:
        """Delete what trainings left behind whose supervisor died with them."""
        folder = self._settings.scratch_dir
        for path in folder.iterdir() if folder.is_dir() else ():
            job_id, _, fence = path.name.rpartition("-")
            if not fence.isdigit():
                continue
            with self._database.read() as stores:
                held = stores.jobs.find_held(job_id, int(fence))
            if held is None:
                self.delete_scratch(job_id, int(fence))

    def _is_over(self, job_id: str) -> bool:
        with self._database.read() as stores:
            try:
                return stores.jobs.get(job_id, with_spec=False).ended
            except JobNotFoundError:
                return True
