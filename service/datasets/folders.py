"""Datasets in a local folder: one folder each, named by the id.

An upload works in a folder of its own, whose name no dataset has. What it has finished is renamed
into its place: a reader sees all of a dataset or none.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

from service.durable import make_folder, sync, write_durably

ROWS = "rows.arrow"
SEAL = "rows.sha256"

_UNFINISHED = ".unfinished-"


class DatasetFolders:
    """The folders under ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, dataset_id: str) -> Path:
        """Where the dataset lies, or would lie."""
        return self._root / dataset_id

    def new_workbench(self) -> Path:
        """Make an empty folder for one upload."""
        make_folder(self._root)
        made = self._root / f"{_UNFINISHED}{uuid.uuid4().hex}"
        made.mkdir()
        return made

    def put_in_place(self, finished: Path, dataset_id: str) -> Path | None:
        """Let a sealed folder be the dataset; survives a power cut. What lay there before is put
        aside: the folder to `remove` that now holds it, or None."""
        aside = self.put_aside(dataset_id)
        finished.rename(self.path(dataset_id))
        sync(self._root)
        return aside

    def put_aside(self, dataset_id: str) -> Path | None:
        """Take a dataset from its place, in an instant; the folder to `remove`, None where there
        was nothing."""
        aside = self._root / f"{_UNFINISHED}{uuid.uuid4().hex}"
        try:
            self.path(dataset_id).rename(aside)
        except FileNotFoundError:
            return None
        return aside

    def remove(self, folder: Path | None) -> None:
        """Delete a folder that is no dataset, if it is there."""
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def is_whole(self, dataset_id: str) -> bool:
        """Whether every bit is as it was sealed; reads all of the file."""
        return is_sealed(self.path(dataset_id))

    def older_than(self, seconds: float) -> list[str]:
        """Names of folders in which nothing was written for so long."""
        if not self._root.is_dir():
            return []
        newest = time.time() - seconds
        names = []
        for path in self._root.iterdir():
            # Gone since it was listed: an upload renames or deletes what is its own.
            with suppress(FileNotFoundError, NotADirectoryError):
                times = [inner.stat().st_mtime for inner in (path, *path.rglob("*"))]
                if max(times) < newest:
                    names.append(path.name)
        return names


def seal(folder: Path) -> None:
    """Write down the sha256 of the rows; both are then on the disk."""
    sync(folder / ROWS)
    write_durably(folder / SEAL, _sha256(folder / ROWS).encode())
    sync(folder)


def is_sealed(folder: Path) -> bool:
    """Whether the rows are those that were sealed."""
    try:
        return (folder / SEAL).read_text() == _sha256(folder / ROWS)
    except (OSError, UnicodeDecodeError):
        return False


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
