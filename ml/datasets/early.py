"""A file that is being written starts on its way to disk, so that less is left for the end."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STEP_BYTES = 8 * 2**20
"""Written since the last time."""

_PAUSE = 0.005
"""Seconds between two looks at the size: 10 MB are written in them at most."""


@contextmanager
def started_early(path: Path) -> Iterator[None]:
    """Have the kernel begin with what is written to ``path``, from a thread of its own.

    It begins by itself only after seconds, and an fsync at the end would find all of it still in
    memory. A help and no promise: who wants the file durable still has to `sync` it.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_follow, args=(path, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _follow(path: Path, ended: threading.Event) -> None:
    begun = 0
    while hasattr(os, "posix_fadvise") and not ended.wait(_PAUSE):
        with suppress(OSError):  # It may not be there yet.
            if path.stat().st_size - begun >= STEP_BYTES:
                begun = _start(path, begun)


def _start(path: Path, begin: int) -> int:
    """Have the kernel begin with the file from there on; where it ends by now.

    An fsync here would hold up whoever writes. "Not needed" is a hint to drop pages of memory:
    those that are not on disk begin their way there, and stay in memory meanwhile.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        end = os.fstat(descriptor).st_size
        os.posix_fadvise(descriptor, begin, end - begin, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return end


def sync(path: Path) -> None:
    """Have a file or folder on disk.

    Raises:
        OSError: it is not.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
