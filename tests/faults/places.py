"""Folders on a disk that is small or cannot be written, and processes with little memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import until


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


def _can_group() -> bool:
    try:
        with memory_group(2**30):
            return True
    except OSError:
        return False


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[Callable[[int], None]]:
    """A group of processes that together may have so much memory, and how a process gets into it,
    with all that it starts from then on. All of them are gone in the end.

    Raises:
        OSError: this machine has no such groups, or not for us.
    """
    root = Path("/sys/fs/cgroup")
    version_1 = root / "memory"
    group = (version_1 if version_1.is_dir() else root) / f"refit-test-{os.getpid()}"
    limit = group / ("memory.limit_in_bytes" if version_1.is_dir() else "memory.max")
    group.mkdir()
    try:
        limit.write_text(str(limit_bytes))
        yield lambda pid: _write(group / "cgroup.procs", str(pid))
    finally:
        until(lambda: not (group / "cgroup.procs").read_text(), "the group to be empty")
        group.rmdir()


def _write(file: Path, text: str) -> None:
    file.write_text(text)


needs_memory_groups = pytest.mark.skipif(not _can_group(), reason="no cgroup can be made here")


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing under ``folder`` can be written meanwhile, not even by root."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


class Ext4Disk:
    """A small ext4 in a file, mounted at ``at``, that turns read-only at an error as disks do.

    `mount -o remount,ro` is refused as long as any file is open for writing.

    Raises, while made:
        OSError, CalledProcessError: this machine has no such disks, or not for us.
    """

    def __init__(self, at: Path) -> None:
        self.at = at
        self._image = at.parent / f"{at.name}.ext4"
        with self._image.open("wb") as file:
            file.truncate(64 * 2**20)
        _do("mkfs.ext4", "-q", self._image)
        at.mkdir()
        self.mount()

    def mount(self) -> None:
        _do("mount", "-o", "loop,errors=remount-ro", self._image, self.at)

    def sync(self) -> None:
        """Let all that was laid there be on the disk: nobody else waits for it."""
        _do("sync", "-f", self.at)

    def turn_read_only(self) -> None:
        """Let the kernel find an error in it."""
        command = ["findmnt", "-n", "-o", "SOURCE", str(self.at)]
        device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        _write(Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error"), "1")

    def mount_again(self) -> None:
        """What an operator does: unmount, check, mount; nobody may have a file open there."""
        _do("umount", self.at)
        # 1: errors were corrected.
        subprocess.run(["fsck.ext4", "-p", self._image], check=False, capture_output=True)
        self.mount()

    def remove(self) -> None:
        _do("umount", "-l", self.at)


def _do(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


def fill(folder: Path, leave_kilobytes: int) -> Path:
    """Fill the disk of ``folder`` but for so much; the file to delete again."""
    filler = folder / "filler"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - leave_kilobytes * 1024))
    return filler
