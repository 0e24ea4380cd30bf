"""From the first byte of an upload to the published dataset.

The bytes go to disk as they come and are never in memory as a whole; another process reads them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import shutil
import threading
from pathlib import Path
from typing import Any

from ml.datasets.profile import Profile
from service.artifacts.disk import trouble_in_words
from service.datasets.catalogue import Datasets
from service.datasets.folders import seal
from service.datasets.reader import Reader
from service.entities import Dataset, DatasetFormat, NewDataset
from service.errors import BadFileError, Fault, TooLargeError
from service.settings import Settings

logger = logging.getLogger(__name__)

RESERVE_BYTES = 64 * 1024 * 1024
"""Left free on the disk: the database writes there too."""
_WHAT = "an upload"


class Intake:
    """Takes in files; `open` one for each."""

    def __init__(self, datasets: Datasets, settings: Settings) -> None:
        self._datasets = datasets
        self._settings = settings

    def open(self) -> Upload:
        """Begin an upload; `Upload.close` it at the end, whatever happens.

        Raises:
            StorageFullError: there is no room for it.
            StoreUnavailableError: the disk cannot be written.
        """
        with trouble_in_words(_WHAT):
            return Upload(self._datasets, self._settings)


class Upload:
    """One file on its way in. Methods may be called from any thread; each waits for the one before,
    but for `stop`."""

    def __init__(self, datasets: Datasets, settings: Settings) -> None:
        self._datasets = datasets
        self._settings = settings
        self._reader = Reader()
        # A request that is cancelled leaves its thread at work.
        self._one_at_a_time = threading.Lock()
        self._digest = hashlib.sha256()
        self._size = 0
        self._workbench = datasets.new_workbench()
        try:
            self._file = self._spool.open("wb", buffering=0)
        except OSError:
            datasets.discard(self._workbench)
            raise

    @property
    def _spool(self) -> Path:
        return self._workbench / "upload"

    def write(self, block: bytes) -> None:
        """Add to the file.

        Raises:
            TooLargeError: it has more bytes than are allowed.
            StorageFullError: the disk is full.
            StoreUnavailableError: the disk cannot be written.
        """
        with self._one_at_a_time, trouble_in_words(_WHAT):
            self._size += len(block)
            most = self._settings.max_dataset_bytes
            if self._size > most:
                detail = f"the body has more than {most} bytes, at most {most} are allowed"
                raise TooLargeError(detail)
            if shutil.disk_usage(self._workbench).free < RESERVE_BYTES + len(block):
                raise OSError(errno.ENOSPC, "what is left is for the database")
            rest = memoryview(block)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._digest.update(block)

    def finish(
        self, name: str | None, kind: DatasetFormat, options: dict[str, Any]
    ) -> tuple[Dataset, bool]:
        """Read the file and publish it; the dataset, and whether it is a new one.

        The same bytes, read the same way, are the same dataset, under the name it has. If its file
        is damaged, it is made whole.

        Raises:
            BadFileError: it is empty, or cannot be read.
            TooManyDatasetsError: there are as many datasets as are allowed.
            StorageFullError: the disk is full.
            StoreUnavailableError: the disk cannot be written.
            StoppedError: it was stopped.
        """
        with self._one_at_a_time, trouble_in_words(_WHAT):
            return self._finish(name, kind, options)

    def _finish(
        self, name: str | None, kind: DatasetFormat, options: dict[str, Any]
    ) -> tuple[Dataset, bool]:
        if self._size == 0:
            detail = "the body is empty: expected a file of rows"
            raise BadFileError(detail, [Fault("", detail)])
        self._file.close()
        dataset_id = id_of(self._digest.hexdigest(), kind, options)
        known = self._datasets.find(dataset_id)
        if known is not None and self._datasets.is_whole(dataset_id):
            return known, False
        if known is None:
            self._datasets.require_room(self._settings.max_datasets)
        finished, profile = self._read(kind, options)
        self._reader.raise_if_stopped()
        sha256 = self._digest.hexdigest()
        new = NewDataset(dataset_id, name, sha256, self._size, kind, options, profile)
        dataset, is_new = self._datasets.publish(
            new, finished, mends=known is not None, most=self._settings.max_datasets
        )
        if is_new:
            logger.info("dataset %s: %d rows from %d bytes", dataset.id, dataset.rows, self._size)
        return dataset, is_new

    def _read(self, kind: DatasetFormat, options: dict[str, Any]) -> tuple[Path, Profile]:
        finished = self._workbench / "dataset"
        finished.mkdir()
        bounds = {
            "max_rows": self._settings.max_dataset_rows,
            "max_columns": self._settings.max_dataset_columns,
        }
        profile = self._reader.read(self._spool, finished, {"kind": kind, **options, **bounds})
        self._spool.unlink()
        seal(finished)
        return finished, profile

    def stop(self) -> None:
        """Let `finish` end at once; nobody waits for it any more."""
        self._reader.stop()

    def close(self) -> None:
        """End what is under way, and delete all that was not published."""
        self.stop()
        with self._one_at_a_time:
            self._file.close()
            self._datasets.discard(self._workbench)


def id_of(sha256: str, kind: DatasetFormat, options: dict[str, Any]) -> str:
    """The id of bytes that are read in that way."""
    text = json.dumps([sha256, kind, options], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
