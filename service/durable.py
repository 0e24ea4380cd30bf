"""Files and folders that are still there after a power cut, or for which there is no room."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing; their names are on the disk then.

    An fsync of a folder vouches for the names in it and not for its own.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in reversed(missing):
        sync(one.parent)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whose bytes are on the disk then; its name is after a `sync` of the folder."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_disk_full(error: OSError) -> bool:
    """Whether there was no room, on the disk or in what the user may have of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_disk_barred(error: OSError) -> bool:
    """Whether the disk cannot be written at all: mounted read-only, by the kernel perhaps, or
    broken."""
    return error.errno in (errno.EROFS, errno.EIO)
