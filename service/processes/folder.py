"""Who has a data folder: services share it, a private one has it alone."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

LOCK = "service.lock"

WAIT_SECONDS = 5.0
"""The processes of a service that was killed hold the folder until the kernel has ended them."""

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
"""Of file systems that know no locks: there, nobody can be told apart."""


class FolderTakenError(Exception):
    """The folder cannot be had now; says who has it."""


def hold_folder(folder: Path, alone: bool, url: str, wait_seconds: float = WAIT_SECONDS) -> int:
    """Hold the folder until every process that has inherited the descriptor given back has ended.

    ``alone`` shuts out all others, until they end; without, it is shared with others who share it.
    ``url`` is told to whoever is refused.

    Raises:
        FolderTakenError: somebody else has it.
        OSError: the folder cannot be written.
    """
    path = folder / LOCK
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return lock
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            if time.monotonic() >= deadline:
                other = path.read_text(errors="replace").strip()
                os.close(lock)
                raise FolderTakenError(_sentence(folder, other)) from error
            time.sleep(0.05)
        else:
            os.truncate(lock, 0)
            os.pwrite(lock, f"{url}\n".encode(), 0)
            return lock


def _sentence(folder: Path, url: str) -> str:
    if not url:
        return f"another service has the folder {folder}"
    return f"another service has the folder {folder}: speak to it by --url {url}, or end it first"
