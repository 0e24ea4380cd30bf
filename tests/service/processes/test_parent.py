"""The parent keeps its parts alive, and ends all of them; processes and time are notes."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.observability import layout
from service.observability.layout import Shared
from service.processes.parent import BACKOFF_SECONDS, QUICK_DEATH_SECONDS, Parent, listen
from service.processes.parts import Part, SupervisorPart, WebPart

PARTS: dict[str, Part] = {
    "supervisor": SupervisorPart(),
    "web worker 0": WebPart(slot=0, node="host:8000", listen_fd=7),
}


class Processes:
    """A launcher and a kernel that only take notes."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.killed: list[tuple[int, signal.Signals]] = []
        self.dead: dict[int, int] = {}

    def start(self, part: Part) -> int:
        self.started.append(part.kind)
        return 100 + len(self.started)

    def wait_for(self, pid: int, options: int) -> tuple[int, int]:
        return (pid, self.dead.pop(pid)) if pid in self.dead else (0, 0)

    def kill(self, pid: int, number: int) -> None:
        self.killed.append((pid, signal.Signals(number)))


@pytest.fixture
def processes() -> Processes:
    return Processes()


@pytest.fixture
def parent(processes: Processes) -> Parent:
    return Parent(PARTS, processes, wait_for=processes.wait_for, kill=processes.kill)


def test_every_part_is_started_once(parent: Parent, processes: Processes) -> None:
    for now in (0.0, 0.5, 1.0):
        parent.step(now)
    assert processes.started == ["supervisor", "web"]
    assert parent.pids == {"supervisor": 101, "web worker 0": 102}


def test_a_part_that_lived_long_is_started_again_at_once(
    parent: Parent, processes: Processes
) -> None:
    parent.step(0)
    processes.dead[102] = signal.SIGKILL
    parent.step(QUICK_DEATH_SECONDS)
    assert processes.started == ["supervisor", "web", "web"]
    assert parent.pids == {"supervisor": 101, "web worker 0": 103}


def test_a_part_that_dies_again_and_again_is_started_more_and_more_slowly(
    parent: Parent, processes: Processes
) -> None:
    now = 0.0
    parent.step(now)
    waits = []
    for _ in range(6):
        now += 1
        processes.dead[parent.pids["supervisor"]] = 1 << 8
        parent.step(now)
        died = now
        while "supervisor" not in parent.pids:
            now += 0.05
            parent.step(now)
        waits.append(round(now - died, 2))
    longest = BACKOFF_SECONDS[-1]
    assert waits == pytest.approx([*BACKOFF_SECONDS[1:], longest, longest], abs=0.06)
    # The others are left alone.
    assert processes.started.count("web") == 1
    # Once it has lived for long, it is trusted again.
    now += QUICK_DEATH_SECONDS
    processes.dead[parent.pids["supervisor"]] = 0
    parent.step(now)
    assert "supervisor" in parent.pids


def test_nothing_is_started_again_once_all_are_to_end(parent: Parent, processes: Processes) -> None:
    parent.step(0)
    parent.signal_all(signal.SIGTERM)
    assert processes.killed == [(101, signal.SIGTERM), (102, signal.SIGTERM)]
    processes.dead |= {101: 0, 102: 0}
    for now in (1.0, 100.0):
        parent.step(now)
    assert parent.pids == {}
    assert len(processes.started) == 2


def test_a_signal_goes_to_those_that_live(parent: Parent, processes: Processes) -> None:
    parent.step(0)
    parent.signal_all(signal.SIGTERM)
    processes.dead[101] = 0
    parent.step(1)
    processes.killed.clear()
    parent.signal_all(signal.SIGKILL)
    assert processes.killed == [(102, signal.SIGKILL)]


def test_whoever_is_scraped_can_tell_who_lives_and_who_was_started_again(
    processes: Processes,
) -> None:
    shared = Shared.make(1)
    parent = Parent(PARTS, processes, shared, processes.wait_for, processes.kill)

    def restarts() -> tuple[float, float]:
        return shared.cells[layout.WEB_RESTARTS], shared.cells[layout.SUPERVISOR_RESTARTS]

    assert (shared.worker_pids(), shared.supervisor_pid) == ({}, 0)
    parent.step(0)
    assert (shared.worker_pids(), shared.supervisor_pid) == ({0: 102}, 101)
    assert restarts() == (0, 0)
    processes.dead[102] = signal.SIGKILL
    parent.step(1)
    assert shared.worker_pids() == {}
    parent.step(1 + BACKOFF_SECONDS[1])
    assert shared.worker_pids() == {0: 103}
    assert restarts() == (1, 0)
    processes.dead[101] = 0
    parent.step(QUICK_DEATH_SECONDS)
    assert shared.supervisor_pid == 104
    assert restarts() == (1, 1)


# ---- a real tree of two processes ----

PROGRAM = """
import os, signal, sys, time
from service.processes.parent import Parent, listen, run_parent
from service.processes.parts import SupervisorPart

class Forks:
    def start(self, part):
        pid = os.fork()
        if pid:
            return pid
        signal.set_wakeup_fd(-1)
        number = signal.SIG_IGN if "deaf" in sys.argv else signal.SIG_DFL
        signal.signal(signal.SIGTERM, number)
        os.write(1, b"%d\\n" % os.getpid())
        while True:
            time.sleep(1)

parent = Parent({"supervisor": SupervisorPart()}, Forks())
sys.exit(run_parent(parent, listen("127.0.0.1", 0), 0.5))
"""


def start_tree(*words: str) -> tuple[subprocess.Popen[str], int]:
    tree = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, text=True
    )
    return tree, next_child(tree)


def next_child(tree: subprocess.Popen[str]) -> int:
    """The pid of the child that is ready next."""
    assert tree.stdout is not None
    return int(tree.stdout.readline())


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_tree_with_code_0(number: signal.Signals) -> None:
    tree, child = start_tree()
    with tree:
        started = time.monotonic()
        tree.send_signal(number)
        assert tree.wait(10) == 0
    assert time.monotonic() - started < 5
    assert not lives(child)


def test_who_does_not_end_in_time_is_killed_and_the_code_tells() -> None:
    tree, child = start_tree("deaf")
    with tree:
        tree.send_signal(signal.SIGTERM)
        assert tree.wait(10) == 1
    assert not lives(child)


def test_a_child_that_dies_is_started_again() -> None:
    tree, child = start_tree()
    with tree:
        os.kill(child, signal.SIGKILL)
        assert next_child(tree) != child
        tree.send_signal(signal.SIGTERM)
        assert tree.wait(10) == 0


# ---- listen ----


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_free_port_is_taken_where_none_is_named(host: str) -> None:
    with listen(host, 0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_a_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1.*{port}.*in use") as caught:
            listen("127.0.0.1", port)
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "not an address", "::zz"])
def test_an_address_that_is_not_here_is_named(host: str) -> None:
    with pytest.raises(OSError, match=host):
        listen(host, 0)


def test_a_port_is_free_again_as_soon_as_its_service_has_ended() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            accepted, _ = listener.accept()
            accepted.close()
    with listen("127.0.0.1", port) as again:
        assert again.getsockname()[1] == port
