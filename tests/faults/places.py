"""Folders on a disk that is small, or cannot be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _can_mount() -> bool:
    if os.geteuid() != 0:
        return False
    asked = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not _can_mount(), reason="only root can mount a small disk")


@contextmanager
def small_disk(at: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of that size, mounted at ``at`` as long as it is needed."""
    at.mkdir(exist_ok=True)
    options = f"size={kilobytes}k,nr_inodes=5000"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", at], check=True)
    try:
        yield at
    finally:
        # Lazily: whoever still has a file open there must not keep the tests from going on.
        subprocess.run(["umount", "-l", at], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing under ``folder`` can be written meanwhile, not even by root."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, leave_kilobytes: int) -> Path:
    """Fill the disk of ``folder`` but for so much; the file to delete again."""
    filler = folder / "filler"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - leave_kilobytes * 1024))
    return filler
