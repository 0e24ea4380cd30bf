"""A service of one's own on a data folder, for the time of one command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REFUSAL = "cannot start: "
"""How the line begins by which a service says why it does not start."""

END_SECONDS = 30.0
"""It has 8 s to end, a checkpoint included (`REFIT_SHUTDOWN_SECONDS`); then it is killed."""


class NotStartedError(Exception):
    """The service did not start; says why in one line."""


@contextmanager
def private_service(folder: Path) -> Iterator[str]:
    """The address of a service that nobody else knows of, on loopback and with one worker.

    It has the folder alone, and ends with this block, or with this process however that ends.

    Raises:
        NotStartedError: another service has the folder, or it cannot be used.
    """
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as log:
        try:
            process = _start(folder, writer, log.fileno())
        finally:
            os.close(writer)
        try:
            with os.fdopen(reader) as told:
                url = told.readline().strip()
            if not url:
                process.wait()
                raise NotStartedError(_reason(log.fileno()))
            yield url
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(folder: Path, writer: int, log: int) -> subprocess.Popen[bytes]:
    settings = {
        "REFIT_DATA_DIR": str(folder),
        "REFIT_HOST": "127.0.0.1",
        "REFIT_PORT": "0",
        "REFIT_WORKERS": "1",
        "REFIT_BOOTSTRAP": "false",
        "REFIT_DRAIN_SECONDS": "0",
        "REFIT_LOG_LEVEL": "error",
        "REFIT_LOG_FORMAT": "text",
    }
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "service", "serve", "--private", str(writer)],
        # The other settings are those of this process; nothing is read from them here.
        env={**os.environ, **settings},  # noqa: TID251
        pass_fds=[writer],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        # Ctrl-C is meant for the command, which then ends the service.
        start_new_session=True,
    )


def _reason(log: int) -> str:
    os.lseek(log, 0, os.SEEK_SET)
    lines = os.read(log, 1_000_000).decode(errors="replace").strip().splitlines()
    told = [line for line in lines if line.startswith(REFUSAL)] or lines
    return told[-1].removeprefix(REFUSAL) if told else "the service did not start"
