"""Processes that strace kills at a chosen system call, lets fail there, or writes the diary of."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import pytest

from tests.service.making import FORKSERVER

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

FILES = (
    "openat,read,write,pread64,pwrite64,fsync,fdatasync,ftruncate,close,newfstatat,lseek,"
    "getdents64,mkdir,rename,unlink,unlinkat,rmdir,utimensat,fchown"
)
"""The calls that reach for files; an error in one of them is a fault of the disk."""

WRITES = "openat,write,pwrite64,fsync,fdatasync,ftruncate,mkdir,rename,unlink,unlinkat,rmdir"
"""The calls that change files. Between two of them every kill finds the same."""

SECONDS = 60

Work = Callable[..., None]
"""What a victim does. Its first argument is called with what has been acknowledged."""


@dataclass(frozen=True)
class Ending:
    """How a process ended that was under strace."""

    acknowledged: tuple[Any, ...]
    """What it said it had done."""
    refused: str | None
    """The error that it ended with, where it was one."""
    exit_code: int
    """0 where it came to its end by itself."""


def traced(work: Work, *args: Any, options: list[str], follow: bool = False) -> Ending:
    """Call ``work(say, *args)`` in a fresh warm process, under strace with ``options`` from its
    first system call on."""
    nursery = _nursery()
    nursery.send((work, args))
    pid = nursery.recv()
    # It has stopped itself: strace counts from the very call after.
    _wait_for_stop(pid)
    command = ["strace", *(["-f"] if follow else []), "-p", str(pid), *options]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")
    assert tracer.stderr is not None
    attached = tracer.stderr.readline()
    assert "attached" in attached, attached + tracer.stderr.read()
    os.kill(pid, signal.SIGCONT)
    hung = not nursery.poll(SECONDS)
    if hung:
        os.kill(pid, signal.SIGKILL)
    ending: Ending = nursery.recv()
    tracer.communicate()
    return replace(ending, refused="it hung") if hung else ending


def killed_at(call: str, place: int) -> list[str]:
    """Options: SIGKILL instead of the call of that name and number."""
    return _inject(call, f"signal=KILL:when={place}")


def failing_at(call: str, place: int, error: str) -> list[str]:
    """Options: the call of that name and number is not done and fails."""
    return _inject(call, f"error={error}:when={place}")


def recorded_into(file: Path, calls: str) -> list[str]:
    """Options: write down these calls, with all that they write and the paths of descriptors."""
    return [
        "-y",
        "-xx",
        "-s",
        "10000000",
        "-o",
        str(file),
        "-e",
        f"trace={calls}",
        "-e",
        "signal=none",
    ]


def calls_of(file: Path, calls: str, work: Work, *args: Any) -> list[tuple[str, int]]:
    """Every call, of these, that an undisturbed run makes: its name, and the how manieth of that
    name it is."""
    ending = traced(work, *args, options=["-o", str(file), "-e", f"trace={calls}"])
    assert ending.exit_code == 0, ending
    assert not ending.refused, ending
    seen: Counter[str] = Counter()
    made = []
    for line in file.read_text(errors="replace").splitlines():
        name = re.match(r"(\w+)\(", line)
        if name:
            seen[name[1]] += 1
            made.append((name[1], seen[name[1]]))
    return made


def _inject(call: str, what: str) -> list[str]:
    return ["-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:{what}"]


@cache
def _nursery() -> Connection:
    """Our end of the process that all victims are forked from: warm, and without threads."""
    ours, theirs = FORKSERVER.Pipe()
    FORKSERVER.Process(target=_fork_on_demand, args=(theirs,), daemon=True).start()
    theirs.close()
    return ours


def _fork_on_demand(orders: Connection) -> None:
    # A migration imports it, which is thousands of calls that touch no data.
    import alembic.autogenerate
    import alembic.command  # noqa: F401

    gc.collect()
    # The processes forked from here then write less to the pages that they share.
    gc.freeze()
    while True:
        try:
            work, args = orders.recv()
        except EOFError:
            return
        ours, theirs = Pipe(duplex=False)
        pid = os.fork()
        if pid == 0:
            _stop_and_work(theirs, work, args)
        theirs.close()
        orders.send(pid)
        status = os.waitpid(pid, 0)[1]
        said, refused = [], None
        with ours, suppress(EOFError):
            while True:
                kind, words = ours.recv()
                if kind == "said":
                    said.append(words)
                else:
                    refused = words
        orders.send(Ending(tuple(said), refused, os.waitstatus_to_exitcode(status)))


def _stop_and_work(answers: Connection, work: Work, args: tuple[Any, ...]) -> None:
    def say(word: Any) -> None:
        answers.send(("said", word))

    code = 1
    try:
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            work(say, *args)
        except Exception as error:
            answers.send(("refused", f"{type(error).__name__}: {error}"))
        code = 0
    finally:
        # What an interpreter does at its end is none of our business, and would be counted.
        os._exit(code)


def _wait_for_stop(pid: int) -> None:
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(100_000):
        if stat.read_text().rpartition(")")[2].split()[0] == "T":
            return
        os.sched_yield()
    raise AssertionError("it did not stop")
