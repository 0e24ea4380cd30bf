"""Fork (warm, milliseconds) or spawn (a fresh interpreter) a part of the tree."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Protocol

from service.processes.death import die_with
from service.processes.parts import PART, Part, SupervisorPart, TrainingPart, WebPart
from service.settings import Settings

logger = logging.getLogger(__name__)

_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class Launcher(Protocol):
    """Starts parts as children of this process."""

    def start(self, part: Part) -> int:
        """Start a part; its pid."""
        ...


def choose_launcher(settings: Settings, web_only_fd: int | None = None) -> Launcher:
    """The launcher of the settings; `auto` forks unless a GPU or macOS forbids it.

    Parts other than web workers do not keep ``web_only_fd``, the listening socket: it would take
    connections for as long as any process holds it, though nobody answers them.

    A process that has initialised CUDA cannot be forked, and asking whether there is a GPU may
    initialise it: so where a driver is present, spawn. On macOS, system libraries do not survive
    a fork.
    """
    method = settings.start_method
    if method == "auto":
        gpu = settings.device != "cpu" and Path("/dev/nvidiactl").exists()
        method = "spawn" if gpu or sys.platform == "darwin" else "fork"
    return ForkLauncher(settings, web_only_fd) if method == "fork" else SpawnLauncher()


class ForkLauncher:
    """Children begin with everything that this process has imported."""

    def __init__(self, settings: Settings, web_only_fd: int | None = None) -> None:
        self._settings = settings
        self._web_only_fd = web_only_fd

    def start(self, part: Part) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # A signal waits until the child has let go of our handlers, which would swallow it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            pid = os.fork()
            if pid == 0:
                _reset_signals()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if pid:
            return pid
        code = 1
        try:
            if self._web_only_fd is not None and not isinstance(part, WebPart):
                os.close(self._web_only_fd)
            code = run_part(part, self._settings, parent)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            logger.critical("%s ended by an error of ours", part.kind, exc_info=True)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # Not sys.exit: what the parent registered to run at its own end is not ours to run.
            os._exit(code)


class SpawnLauncher:
    """Children are fresh interpreters that read their settings from the environment again."""

    def start(self, part: Part) -> int:
        command = [sys.executable, "-m", "service", "part", part.model_dump_json()]
        # posix_spawn takes the environment as it is; nothing in it is read here.
        environment = dict(os.environ)  # noqa: TID251
        if not isinstance(part, WebPart):
            return os.posix_spawn(sys.executable, command, environment)
        handed_down = [
            fd
            for fd in (part.listen_fd, part.metrics_fd, part.beat_fd, part.loads_fd)
            if fd is not None
        ]
        for fd in handed_down:
            os.set_inheritable(fd, True)
        try:
            return os.posix_spawn(sys.executable, command, environment)
        finally:
            for fd in handed_down:
                os.set_inheritable(fd, False)


def run_part(part: Part, settings: Settings, parent_pid: int) -> int:
    """Be that part until it ends; the exit code."""
    die_with(parent_pid)
    match part:
        case WebPart():
            from service.processes.web import run_web

            return run_web(part, settings)
        case SupervisorPart():
            from service.processes.training import run_supervisor

            launcher = choose_launcher(settings)

            def start_training(job_id: str, fence: int) -> int:
                return launcher.start(TrainingPart(job_id=job_id, fence=fence))

            return run_supervisor(settings, start_training, isinstance(launcher, ForkLauncher))
        case TrainingPart():
            from service.processes.training import run_training

            return run_training(part, settings)


def parse_part(text: str) -> Part:
    """The part that a spawned process was told to be."""
    return PART.validate_json(text)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)
