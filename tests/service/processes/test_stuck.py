"""A web worker whose event loop stands still is killed; processes and time are notes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from service.processes.parent import STUCK_SECONDS, Parent
from service.processes.parts import Part, SupervisorPart, WebPart


class Workers:
    """A launcher and a kernel that only take notes; workers beat when they are told to."""

    def __init__(self) -> None:
        self.beats: dict[int, int] = {}
        self.killed: list[int] = []

    def start(self, part: Part) -> int:
        pid = 101 + len(self.beats)
        fd = part.beat_fd if isinstance(part, WebPart) else None
        self.beats[pid] = os.dup(fd) if fd is not None else -1
        return pid

    def beat(self, pid: int) -> None:
        os.write(self.beats[pid], b".")

    def wait_for(self, pid: int, options: int) -> tuple[int, int]:
        return (pid, signal.SIGKILL) if pid in self.killed else (0, 0)

    def kill(self, pid: int, number: int) -> None:
        assert number == signal.SIGKILL
        self.killed.append(pid)


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    for fd in workers.beats.values():
        if fd >= 0:
            os.close(fd)


@pytest.fixture
def parent(workers: Workers) -> Parent:
    parts: dict[str, Part] = {
        "supervisor": SupervisorPart(),
        "web worker 0": WebPart(slot=0, node="host:8000", listen_fd=7),
        "web worker 1": WebPart(slot=1, node="host:8000", listen_fd=7),
    }
    return Parent(parts, workers, None, workers.wait_for, workers.kill)


def test_one_that_falls_silent_is_killed_and_started_again(
    parent: Parent, workers: Workers
) -> None:
    now = 0.0
    parent.step(now)
    silent_since = None
    while 102 not in workers.killed:
        now += 0.5
        if now < 10:
            workers.beat(102)
            silent_since = now
        workers.beat(103)
        parent.step(now)
        assert now < 30
    assert silent_since is not None
    assert STUCK_SECONDS <= now - silent_since <= STUCK_SECONDS + 0.5
    parent.step(now + 0.1)
    assert parent.pids == {"supervisor": 101, "web worker 0": 104, "web worker 1": 103}
    assert workers.killed == [102]


def test_the_one_that_took_its_place_is_watched_too(parent: Parent, workers: Workers) -> None:
    parent.step(0.0)
    now = 0.0
    while len(workers.killed) < 2:
        now += 0.5
        for pid in (parent.pids.get("web worker 0"), 103):
            if pid is not None and (now < 2 or (pid == 103) or 10 < now < 12):
                workers.beat(pid)
        parent.step(now)
        assert now < 60
    assert workers.killed == [102, 104]


def test_one_that_has_not_begun_to_beat_is_left_alone(parent: Parent, workers: Workers) -> None:
    """Its start may take long: it reads artifacts."""
    for tick in range(200):
        parent.step(tick / 2)
    assert workers.killed == []


def test_nobody_is_killed_for_what_the_parent_overslept(parent: Parent, workers: Workers) -> None:
    """A machine that was suspended: the workers were, too, and beat before long."""
    parent.step(0.0)
    for pid in (102, 103):
        workers.beat(pid)
    parent.step(0.5)
    parent.step(3600.0)
    parent.step(3600.5)
    parent.step(3600.0 + STUCK_SECONDS - 0.5)
    assert workers.killed == []
    for pid in (102, 103):
        workers.beat(pid)
    parent.step(3600.0 + STUCK_SECONDS)
    parent.step(3600.0 + 2 * STUCK_SECONDS - 0.5)
    assert workers.killed == []


def test_nobody_is_killed_once_all_are_to_end(parent: Parent, workers: Workers) -> None:
    """A worker that drains may be busy with that; the parent's own deadline is for those."""
    parent.step(0.0)
    workers.beat(102)
    parent.step(0.5)
    ended: list[int] = []
    parent._kill = lambda pid, number: ended.append(number)
    parent.signal_all(signal.SIGTERM)
    for tick in range(2, 60):
        parent.step(tick / 2)
    assert ended == [signal.SIGTERM] * 3
    assert workers.killed == []


def test_signs_of_life_that_nobody_has_read_are_no_burden(parent: Parent, workers: Workers) -> None:
    """A worker must never wait for its parent: the pipe is full, and writing says so."""
    parent.step(0.0)
    count = 0
    with suppress(BlockingIOError):
        while count < 100_000:
            workers.beat(102)
            count += 1
    assert 1000 < count < 100_000
    parent.step(0.5)
    workers.beat(102)


def test_pipes_do_not_pile_up(parent: Parent, workers: Workers) -> None:
    parent.step(0.0)
    before = len(list(Path("/proc/self/fd").iterdir()))
    now = 0.0
    for _ in range(20):
        now += 100
        pid = parent.pids["web worker 0"]
        os.close(workers.beats[pid])
        workers.beats[pid] = -1
        workers.killed.append(pid)
        parent.step(now)
        parent.step(now + 10)
        now += 10
    assert parent.pids["web worker 0"] > 110
    assert len(list(Path("/proc/self/fd").iterdir())) == before
