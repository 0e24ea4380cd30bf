"""The process that reads an uploaded file: `python -m ml.datasets`.

polars lives there only. Its threads would make a web process unsafe to fork, a file that needs too
much memory ends that process and no other, and a client that leaves ends it as well.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ml.datasets.profile import Profile
from service.errors import BadFileError, Fault, StorageFullError

logger = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "ml.datasets")

MAX_ANSWER_BYTES = 64 * 1024 * 1024

MAX_VOCABULARY_CHARACTERS = 4_000_000
"""Of all columns together: a profile is read with every training on its dataset, in 20 ms then.
A hundred columns of a thousand towns have half of it."""

NICENESS = 19
"""Reading gives way to prediction, as training does."""

_LOG = "reader.log"
_LOG_TAIL_BYTES = 4000


class StoppedError(Exception):
    """`Reader.stop` was called: nobody waits for the answer any more."""


class Reader:
    """Reads one file; another thread may stop it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def read(self, source: Path, folder: Path, options: dict[str, Any]) -> Profile:
        """Read ``source`` and write `rows.arrow` into ``folder``; what it holds.

        Raises:
            BadFileError: it is no file of rows, or too much for the memory there is.
            StorageFullError: the disk is full.
            StoppedError: it was stopped.
        """
        request = {"source": str(source), "folder": str(folder), "options": options}
        log_file, answer = source.parent / _LOG, b""
        with log_file.open("wb") as log:
            process = self._start(log)
            # Closes the pipes and waits for the end of it, whatever happens; where it ended before
            # it was asked, the question is still there and cannot be written.
            with suppress(BrokenPipeError), process:
                try:
                    answer = _ask(process, request)
                finally:
                    process.kill()
        self.raise_if_stopped()
        return _profile_in(answer, process.returncode, log_file)

    def stop(self) -> None:
        """End the process, now or as soon as it would start; again changes nothing."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def raise_if_stopped(self) -> None:
        """Leave what nobody waits for.

        Raises:
            StoppedError: it was stopped.
        """
        if self._stopped:
            raise StoppedError

    def _start(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        with self._lock:
            self.raise_if_stopped()
            self._process = subprocess.Popen(  # noqa: S603
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Ctrl-C is for the service, which finishes what it has begun.
                process_group=0,
            )
        _give_way(self._process.pid)
        return self._process


def _give_way(pid: int) -> None:
    # Gone already, or not allowed here: it is read all the same.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    with suppress(OSError):
        # Where memory runs out, the kernel is to end it, and not the process that answers.
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def _ask(process: subprocess.Popen[bytes], request: dict[str, Any]) -> bytes:
    """The line that it answers; empty where it ended without one."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(request).encode() + b"\n")
        # Not closed until it has answered: it would take the end of its input for our death.
        process.stdin.flush()
    answer = process.stdout.readline(MAX_ANSWER_BYTES + 1)
    if len(answer) <= MAX_ANSWER_BYTES:
        # It has answered, or is about to end without: how, it is to say by itself.
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
    return answer


def _profile_in(answer: bytes, code: int, log_file: Path) -> Profile:
    try:
        # A number that no JSON holds could not be stored either.
        told = json.loads(answer, parse_constant=_refuse)
        if "error" in told:
            raise _error(told["error"])
        profile = Profile.from_json(told["profile"])
    except (ValueError, KeyError, TypeError) as error:
        raise _crash(answer, code, log_file) from error
    return _bounded(profile)


def _bounded(profile: Profile) -> Profile:
    """Without the longest vocabularies, where all together are too long to be kept."""
    lengths = {
        column.name: sum(map(len, column.vocabulary or ())) + 4 * len(column.vocabulary or ())
        for column in profile.columns
    }
    room, kept = MAX_VOCABULARY_CHARACTERS, set()
    for name, length in sorted(lengths.items(), key=lambda item: item[1]):
        room -= length
        if room >= 0:
            kept.add(name)
    columns = (c if c.name in kept else replace(c, vocabulary=None) for c in profile.columns)
    return replace(profile, columns=tuple(columns))


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _error(error: dict[str, Any]) -> Exception:
    message = str(error["message"])
    if error["code"] == "storage_full":
        return StorageFullError("the disk of the service is full; nothing was kept")
    fault = Fault("", message, error.get("line"), error.get("column"))
    return BadFileError(message, [fault])


def _crash(answer: bytes, code: int, log_file: Path) -> BadFileError:
    end = f"ended with code {code}"
    if code < 0:
        end = f"was killed by {signal.Signals(-code).name}"
    log = log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
    logger.error("the process that reads a dataset %s: %d bytes said; %s", end, len(answer), log)
    if code == -signal.SIGKILL or len(answer) > MAX_ANSWER_BYTES:
        detail = "the file could not be read within the memory there is: send fewer rows or columns"
    else:
        detail = "reading the file broke off; what became of it is in the log of the service"
    return BadFileError(detail, [Fault("", detail)])
