"""Binds the port, starts the parts, starts dead or stuck ones again, and ends all of them."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from service.http.loads import ABSENT, Loads, share_loads
from service.observability.layout import Shared
from service.processes.door import let_nobody_in
from service.processes.launch import Launcher
from service.processes.parts import BACKLOG, Part, WebPart

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = (0.0, 0.1, 0.5, 2.0, 5.0)
"""Waits before a part is started again, after so many quick deaths in a row."""

QUICK_DEATH_SECONDS = 10.0

STUCK_SECONDS = 4.0
"""A web worker whose event loop has been silent for so long is killed; it gives a sign of life
twice a second. uvicorn's own supervisor asks a thread, which answers while the loop hangs."""


@dataclass
class _Slot:
    name: str
    part: Part
    pid: int | None = None
    started: float = 0.0
    quick_deaths: int = 0
    start_at: float = 0.0
    starts: int = 0
    beats: int | None = None
    """Where its signs of life can be read."""
    last_beat: float | None = None

    @property
    def web_slot(self) -> int | None:
        return self.part.slot if isinstance(self.part, WebPart) else None


class Parent:
    """Keeps one process for each part. Turn the crank with `step`."""

    def __init__(
        self,
        parts: dict[str, Part],
        launcher: Launcher,
        shared: Shared | None = None,
        wait_for: Callable[[int, int], tuple[int, int]] = os.waitpid,
        kill: Callable[[int, int], None] = os.kill,
    ) -> None:
        self._slots = [_Slot(name, part) for name, part in parts.items()]
        self._launcher = launcher
        self._shared = shared
        self._wait_for = wait_for
        self._kill = kill
        self._stopping = False
        self._looked_at = float("-inf")
        slots = [part.slot for part in parts.values() if isinstance(part, WebPart)]
        self._loads_fd = share_loads(max(slots, default=0) + 1)
        self._loads = Loads(self._loads_fd)

    @property
    def pids(self) -> dict[str, int]:
        """The living parts."""
        return {slot.name: slot.pid for slot in self._slots if slot.pid is not None}

    def step(self, now: float) -> None:
        """Reap what died and start what is due; ``now`` is in seconds of a steady clock."""
        for slot in self._slots:
            if slot.pid is not None:
                self._reap(slot, now)
            if slot.pid is not None and not self._stopping:
                self._feel(slot, now)
            if slot.pid is None and not self._stopping and now >= slot.start_at:
                self._start(slot, now)
        self._looked_at = now

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every part; none is started again from here on."""
        self._stopping = True
        for pid in self.pids.values():
            self._kill(pid, number)

    def _start(self, slot: _Slot, now: float) -> None:
        part = slot.part
        if isinstance(part, WebPart):
            slot.beats, to_beat = os.pipe()
            os.set_blocking(slot.beats, False)
            os.set_blocking(to_beat, False)
            part = part.model_copy(update={"beat_fd": to_beat, "loads_fd": self._loads_fd})
        try:
            slot.pid = self._launcher.start(part)
        finally:
            if isinstance(part, WebPart) and part.beat_fd is not None:
                os.close(part.beat_fd)
        slot.started, slot.last_beat = now, None
        slot.starts += 1
        if self._shared is not None:
            self._shared.note_start(slot.web_slot, slot.pid, again=slot.starts > 1)
        logger.info("%s runs as process %d", slot.name, slot.pid)

    def _feel(self, slot: _Slot, now: float) -> None:
        """Kill a process whose event loop has stood still; `_reap` then finds it dead."""
        if slot.beats is None or slot.pid is None:
            return
        try:
            if os.read(slot.beats, 65536):
                slot.last_beat = now
        except BlockingIOError:
            pass
        # Where we have slept ourselves, as on a machine that was suspended, nothing is known.
        if slot.last_beat is not None and now - self._looked_at > STUCK_SECONDS / 2:
            slot.last_beat = now
        # One that starts has not begun to beat; that it never does is told by its readiness.
        if slot.last_beat is not None and now - slot.last_beat >= STUCK_SECONDS:
            logger.error("%s (process %d) is stuck: killed", slot.name, slot.pid)
            self._kill(slot.pid, signal.SIGKILL)
            slot.last_beat = None

    def _reap(self, slot: _Slot, now: float) -> None:
        assert slot.pid is not None
        done, status = self._wait_for(slot.pid, os.WNOHANG)
        if done == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        if not self._stopping:
            logger.error("%s (process %d) ended with %d", slot.name, slot.pid, code)
        slot.pid = None
        if self._shared is not None:
            self._shared.note_end(slot.web_slot)
        if isinstance(slot.part, WebPart):
            self._loads.set(slot.part.slot, ABSENT)
        if slot.beats is not None:
            os.close(slot.beats)
            slot.beats = None
        lived = now - slot.started
        slot.quick_deaths = slot.quick_deaths + 1 if lived < QUICK_DEATH_SECONDS else 0
        wait = BACKOFF_SECONDS[min(slot.quick_deaths, len(BACKOFF_SECONDS) - 1)]
        slot.start_at = now + wait


def listen(host: str, port: int) -> socket.socket:
    """The socket that every web worker accepts from.

    Raises:
        OSError: the address cannot be listened on; names it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        message = f"cannot listen on {host}, port {port}: {error.strerror}"
        raise OSError(error.errno, message) from error
    return listener


def run_parent(
    parent: Parent, listener: socket.socket, shutdown_seconds: float, drain_seconds: float = 0.0
) -> int:
    """Run the tree until SIGTERM or SIGINT, then end it; 0 where all ended in time.

    For ``drain_seconds`` connections are let in; after them all have ``shutdown_seconds`` to end.
    """
    stop_requested = False

    def request_stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stop_requested
        stop_requested = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, request_stop)
    signal.signal(signal.SIGCHLD, lambda signum, frame: None)
    # A signal writes a byte to this pair, which ends a wait at once.
    waker, woken = socket.socketpair()
    with waker, woken:
        waker.setblocking(False)
        woken.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        while not stop_requested:
            parent.step(time.monotonic())
            _wait(woken, 0.5)
        logger.info("stopping")
        parent.signal_all(signal.SIGTERM)
        _wait_for_end(parent, woken, drain_seconds)
        let_nobody_in(listener)
        listener.close()
        all_in_time = _end(parent, woken, shutdown_seconds)
        signal.set_wakeup_fd(-1)
    return 0 if all_in_time else 1


def _end(parent: Parent, woken: socket.socket, seconds: float) -> bool:
    """Kill what has not ended after ``seconds``; whether none was killed."""
    _wait_for_end(parent, woken, seconds)
    late = parent.pids
    if late:
        logger.error("killed, as they did not end in time: %s", ", ".join(late))
        parent.signal_all(signal.SIGKILL)
    while parent.pids:
        parent.step(time.monotonic())
        _wait(woken, 0.05)
    logger.info("stopped")
    return not late


def _wait_for_end(parent: Parent, woken: socket.socket, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while parent.pids and time.monotonic() < deadline:
        parent.step(time.monotonic())
        _wait(woken, 0.05)


def _wait(woken: socket.socket, seconds: float) -> None:
    select.select([woken], [], [], seconds)
    try:
        while woken.recv(1024):
            pass
    except BlockingIOError:
        pass
