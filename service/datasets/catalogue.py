"""The datasets there are: their rows in the database, their files in folders."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from pathlib import Path

from ml.datasets.profile import Profile
from service.datasets.folders import DatasetFolders
from service.entities import Dataset, NewDataset
from service.errors import (
    DatasetInUseError,
    DatasetNotFoundError,
    StoreUnavailableError,
    TooManyDatasetsError,
)
from service.store.database import Database, Stores

logger = logging.getLogger(__name__)

DATASET_ID = re.compile(r"[0-9a-f]{32}\Z")


class Datasets:
    """Datasets with their files under ``root``; what `publish` returned survives a power cut."""

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._folders = DatasetFolders(root)

    def facts(self, dataset_id: str) -> Profile:
        """Rows and columns of a dataset, without a look at its file.

        Raises:
            DatasetNotFoundError: there is none.
        """
        _require_form(dataset_id)
        with self._database.read() as stores:
            return stores.datasets.profile(dataset_id)

    def folder(self, dataset_id: str) -> Path:
        """The folder in which `rows.arrow` of the dataset lies.

        Raises:
            DatasetNotFoundError: no dataset can have this id.
        """
        _require_form(dataset_id)
        return self._folders.path(dataset_id)

    def get(self, dataset_id: str) -> Dataset:
        """One dataset with its profile.

        Raises:
            DatasetNotFoundError: there is none.
        """
        _require_form(dataset_id)
        with self._database.read() as stores:
            return stores.datasets.get(dataset_id)

    def list_newest(self, limit: int, below: int | None) -> list[Dataset]:
        """Datasets without their profiles, newest first."""
        with self._database.read() as stores:
            return stores.datasets.list_newest(limit, below)

    def find(self, dataset_id: str) -> Dataset | None:
        """The dataset of that id; None where there is none."""
        with self._database.read() as stores:
            return stores.datasets.find(dataset_id)

    def is_whole(self, dataset_id: str) -> bool:
        """Whether the file of a dataset is there, to the last bit; reads all of it."""
        return self._folders.is_whole(dataset_id)

    def new_workbench(self) -> Path:
        """An empty folder for one upload; `discard` it at the end."""
        return self._folders.new_workbench()

    def discard(self, workbench: Path) -> None:
        """Delete the folder of an upload and all that is left in it."""
        self._folders.remove(workbench)

    def require_room(self, most: int) -> None:
        """Check that there is room for one more.

        Raises:
            TooManyDatasetsError: there are ``most`` already.
        """
        with self._database.read() as stores:
            _require_room(stores, most)

    def publish(
        self, new: NewDataset, finished: Path, mends: bool, most: int
    ) -> tuple[Dataset, bool]:
        """Let a sealed folder be the dataset ``new``; the dataset, and whether it is a new one.

        ``mends`` tells that there is a row already, whose file is damaged or gone. Otherwise a row
        that is there is of somebody who sent the same at the same time, and stays as it is.

        Raises:
            TooManyDatasetsError: it would be one more than ``most``.
        """
        # File and row in one write: nobody sweeps, deletes or publishes the same meanwhile.
        with self._database.write() as stores:
            stores.datasets.lock()
            known = stores.datasets.find(new.id)
            if known is not None and not mends:
                return known, False
            if known is None:
                _require_room(stores, most)
            aside = self._folders.put_in_place(finished, new.id)
            if known is None:
                published = stores.datasets.add(new, datetime.now(UTC))
            else:
                published = stores.datasets.mend(new.id, new.profile)
        self._folders.remove(aside)
        return published, known is None

    def delete(self, dataset_id: str) -> None:
        """Delete a dataset, its row first and then its file.

        Raises:
            DatasetNotFoundError: there is none.
            DatasetInUseError: a job that waits or runs reads it.
        """
        _require_form(dataset_id)
        with self._database.write() as stores:
            stores.datasets.delete(dataset_id)
            if stores.jobs.uses_dataset(dataset_id):
                detail = f"a job that waits or runs reads dataset {dataset_id}: cancel it first"
                raise DatasetInUseError(detail)  # undoes the deletion
        try:
            self._put_aside_orphans([dataset_id])
        except StoreUnavailableError as error:
            logger.warning("dataset %s: its file is left to the sweep: %s", dataset_id, error)

    def sweep(self, seconds: float) -> None:
        """Delete files that belong to no dataset and in which nothing was written for so long.

        Raises:
            StoreUnavailableError: the database does not answer; nothing was deleted.
        """
        self._put_aside_orphans(self._folders.older_than(seconds))

    def _put_aside_orphans(self, names: list[str]) -> None:
        with self._database.read() as stores:
            known = stores.datasets.ids()
        if known.issuperset(names):
            return
        aside = []
        with self._database.write() as stores:
            stores.datasets.lock()
            known = stores.datasets.ids()
            for name in names:
                if name not in known:
                    aside.append(self._folders.put_aside(name))
        # Deleting gigabytes takes longer than other writers should wait.
        for folder in aside:
            if folder is not None:
                self._folders.remove(folder)


def _require_form(dataset_id: str) -> None:
    if not DATASET_ID.match(dataset_id):
        raise DatasetNotFoundError("there is no such dataset: ids have 32 hexadecimal digits")


def _require_room(stores: Stores, most: int) -> None:
    if stores.datasets.count() >= most:
        detail = (
            f"there are {most} datasets already, as many as REFIT_MAX_DATASETS allows: "
            "delete one that is not needed"
        )
        raise TooManyDatasetsError(detail)
