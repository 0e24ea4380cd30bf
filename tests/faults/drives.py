"""A real ext4 on a drive of ours with a volatile cache, and what came to it while a process ran."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from tests.faults import fuse
from tests.faults.fuse import Flush, Write
from tests.faults.tracing import Work
from tests.service.making import FORKSERVER

BYTES = 48 * 2**20

BLOCK = 4096
"""Bytes of a block of the file system."""

SUPERBLOCK_COPY = 4096
"""The block in which the first copy of its superblock is: groups are that large."""

MANNERS = ("ordered", "ordered, written out", "writeback, written out")
"""How ext4 keeps what the process does, in turn: the order of its data and its journal, and whether
somebody else has all of the disk written out over and over, at instants of no meaning to it."""

SECONDS = 60

Event = Write | Flush


class NoDriveError(Exception):
    """This machine has no such drives, or not for us; in words why."""


def lay_image(start: Path, room: Path) -> Path:
    """An ext4 in a file, with a copy of ``start`` in its folder ``data``, at rest."""
    image = room / "start.ext4"
    with image.open("wb") as file:
        file.truncate(BYTES)
    try:
        # All of it now: what is left for later is written whenever the kernel finds the time.
        later = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        _do("mkfs.ext4", "-q", "-b", f"{BLOCK}", "-g", f"{SUPERBLOCK_COPY}", "-E", later, image)
        with mounted(image, room / "start-disk") as disk:
            shutil.copytree(start, disk / "data")
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoDriveError(f"no ext4 can be made and mounted: {in_words(error)}") from error
    return image


class Recording:
    """What came to the drive while a process ran, and when the process acknowledged something."""

    def __init__(self, events: list[Event], said_at_ns: list[int]) -> None:
        self.events, self._said_at_ns = events, said_at_ns

    def said_before(self, place: int) -> int:
        """How much was acknowledged before the event of that number came, as far as the drive
        tells the time: what was said after the last event is counted at its end only."""
        if place >= len(self.events):
            return len(self._said_at_ns)
        return sum(at_ns < self.events[place].at_ns for at_ns in self._said_at_ns)


def record(work: Work, image: Path, room: Path, manner: str = MANNERS[0]) -> Recording:
    """Run ``work(say, data)`` on a drive with the content of ``image``, to its end."""
    log = room / "drive.log"
    order, _, restless = manner.partition(", ")
    with (
        _drive(image, room / "drive", log) as file,
        mounted(file, room / "disk", f"data={order}") as disk,
    ):
        _require_flushes(disk)
        with _written_out(disk) if restless else nullcontext():
            said = _run(work, disk / "data")
        end_ns = time.monotonic_ns()
    # What comes of the unmounting is no part of it.
    events = _changes(event for event in fuse.read(log) if event.at_ns < end_ns)
    assert any(isinstance(event, Flush) for event in events), "no flush came to the drive"
    return Recording(events, said)


def _changes(events: Iterable[Event]) -> list[Event]:
    """Without the flushes of an empty cache: before and after them the power cut is the same."""
    kept: list[Event] = []
    for event in events:
        if isinstance(event, Write) or (kept and isinstance(kept[-1], Write)):
            kept.append(event)
    return kept


# ---- mounts ----


@contextmanager
def _drive(image: Path, at: Path, log: Path) -> Iterator[Path]:
    """The file of a drive with the content of ``image``. Afterwards all that came to it is in
    ``log``."""
    at.touch()
    ours, theirs = FORKSERVER.Pipe(duplex=False)
    process = FORKSERVER.Process(target=fuse.serve, args=(theirs, at, image, log), daemon=True)
    process.start()
    theirs.close()
    with ExitStack() as stack:
        # With its process the drive is gone, and whoever waits for it gets an error.
        stack.callback(process.kill)
        refused = ours.recv() if ours.poll(SECONDS) else "it does not start"
        if refused:
            raise NoDriveError(f"no file system of ours can be mounted: {refused}")
        try:
            yield at
        finally:
            _do("umount", "-l", at)
        # It ends when the loop device has let go.
        process.join(SECONDS)
    assert process.exitcode == 0, f"the drive ended with {process.exitcode}"


@contextmanager
def mounted(image: Path, at: Path, option: str = "rw") -> Iterator[Path]:
    """The ext4 in a file, on a loop device that goes with it."""
    at.mkdir(exist_ok=True)
    _do("mount", "-o", f"loop,{option}", image, at)
    try:
        yield at
        _do("umount", at)
    except BaseException:
        with suppress(subprocess.CalledProcessError):
            _do("umount", "-l", at)
        raise


def _require_flushes(disk: Path) -> None:
    """Check that the kernel takes the drive for one with a cache, so that it does flush."""
    command = ["findmnt", "-n", "-o", "SOURCE", str(disk)]
    device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    cache = Path(f"/sys/block/{Path(device).name}/queue/write_cache").read_text().strip()
    assert cache == "write back", cache


def _do(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


def in_words(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd[0]}: {error.stderr.decode(errors='replace').strip()}"
    return str(error)


@contextmanager
def _written_out(disk: Path) -> Iterator[None]:
    """Nothing on this disk is left to the kernel for long."""
    libc = ctypes.CDLL(None)
    folder = os.open(disk, os.O_RDONLY)
    over = threading.Event()

    def write_out() -> None:
        while not over.is_set():
            libc.syncfs(folder)

    thread = threading.Thread(target=write_out)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        os.close(folder)


# ---- the process that is cut off ----


def _run(work: Work, data: Path) -> list[int]:
    """Run it to its end; the instants of what it acknowledged, by the clock of the drive."""
    ours, theirs = FORKSERVER.Pipe(duplex=False)
    process = FORKSERVER.Process(target=_work, args=(theirs, work, data), daemon=True)
    process.start()
    theirs.close()
    said: list[int] = []
    try:
        with suppress(EOFError):
            while ours.poll(SECONDS):
                said.append(ours.recv())
        process.join(SECONDS)
        assert process.exitcode == 0, f"{process.exitcode} after {len(said)} acknowledgements"
    finally:
        process.kill()
        process.join()
    return said


def _work(answers: Any, work: Work, data: Path) -> None:
    work(lambda word: answers.send(time.monotonic_ns()), data)
