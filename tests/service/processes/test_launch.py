"""Fork or spawn, and what a child begins with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from service.processes.launch import ForkLauncher, SpawnLauncher, choose_launcher
from service.settings import Settings

Method = Literal["auto", "fork", "spawn"]
Device = Literal["auto", "cpu", "cuda", "mps"]


@pytest.mark.parametrize(
    ("method", "device", "platform", "gpu", "wanted"),
    [
        ("fork", "auto", "linux", True, ForkLauncher),
        ("spawn", "cpu", "linux", False, SpawnLauncher),
        ("auto", "auto", "linux", False, ForkLauncher),
        ("auto", "auto", "linux", True, SpawnLauncher),
        ("auto", "cuda", "linux", True, SpawnLauncher),
        ("auto", "cpu", "linux", True, ForkLauncher),
        ("auto", "cpu", "darwin", False, SpawnLauncher),
        ("auto", "mps", "darwin", False, SpawnLauncher),
        ("fork", "cpu", "darwin", False, ForkLauncher),
    ],
)
def test_a_launcher_is_chosen_by_what_was_asked_and_what_is_here(
    monkeypatch: pytest.MonkeyPatch,
    method: Method,
    device: Device,
    platform: str,
    gpu: bool,
    wanted: type,
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "exists", lambda path: gpu and str(path) == "/dev/nvidiactl")
    settings = Settings(start_method=method, device=device)
    assert isinstance(choose_launcher(settings), wanted)


def run(program: str, *, seconds: float = 20) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


FORK = """
import os, signal, sys
import service.processes.launch as launch
from service.processes.parts import SupervisorPart, WebPart
from service.settings import Settings

def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

"""


@pytest.mark.parametrize(
    ("act", "code"),
    [
        ("return 0", 0),
        ("return 7", 7),
        ("sys.exit(3)", 3),
        ("sys.exit('no')", 1),
        ("raise KeyError('a bug')", 1),
        ("raise KeyboardInterrupt", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
    ],
)
def test_the_code_of_a_forked_part_is_that_of_its_main_function(act: str, code: int) -> None:
    ended = run(
        FORK
        + f"""
def run_part(part, settings, parent):
    {act}

launch.run_part = run_part
print(wait(launch.ForkLauncher(Settings()).start(SupervisorPart())))
"""
    )
    assert ended.stdout == f"{code}\n", ended.stderr


def test_a_forked_part_does_not_run_what_its_parent_registered_for_its_own_end() -> None:
    ended = run(
        FORK
        + """
import atexit
atexit.register(print, "the end")
launch.run_part = lambda part, settings, parent: 0
wait(launch.ForkLauncher(Settings()).start(SupervisorPart()))
"""
    )
    assert ended.stdout == "the end\n"


def test_a_forked_part_obeys_signals_although_its_parent_only_takes_notes_of_them() -> None:
    ended = run(
        FORK
        + """
import time
signal.signal(signal.SIGTERM, lambda *_: None)
launch.run_part = lambda part, settings, parent: time.sleep(60)
pid = launch.ForkLauncher(Settings()).start(SupervisorPart())
time.sleep(0.3)
os.kill(pid, signal.SIGTERM)
print(wait(pid))
"""
    )
    assert ended.stdout == "-15\n", ended.stderr


def test_a_signal_that_comes_right_after_the_fork_is_not_lost() -> None:
    # The handlers of the parent, which only take a note, are still those of the child then.
    ended = run(
        FORK
        + """
import time
signal.signal(signal.SIGTERM, lambda *_: None)
launch.run_part = lambda part, settings, parent: time.sleep(5) or 0
fork = os.fork

def fork_and_signal():
    pid = fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    return pid

os.fork = fork_and_signal
print(wait(launch.ForkLauncher(Settings()).start(SupervisorPart())))
os.kill(os.getpid(), signal.SIGTERM)
print("the parent takes notes as before")
"""
    )
    assert ended.stdout == "-15\nthe parent takes notes as before\n", ended.stderr


def test_only_web_workers_keep_the_listening_socket() -> None:
    ended = run(
        FORK
        + """
from service.processes.parent import listen
listener = listen("127.0.0.1", 0)
fd = listener.fileno()

def run_part(part, settings, parent):
    try:
        os.fstat(fd)
    except OSError:
        return 0
    return 1

launch.run_part = run_part
launcher = launch.ForkLauncher(Settings(), fd)
print(wait(launcher.start(SupervisorPart())))
print(wait(launcher.start(WebPart(slot=0, node="n", listen_fd=fd))))
listener.close()
"""
    )
    assert ended.stdout == "0\n1\n", ended.stderr


def test_a_spawned_part_is_a_fresh_interpreter_with_the_environment_of_its_parent(
    tmp_path: Path,
) -> None:
    # Stands for the interpreter: writes down how it was called.
    called = tmp_path / "called"
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\necho "$@" "$REFIT_PORT" > {called}\n')
    interpreter.chmod(0o755)
    ended = run(
        FORK
        + f"""
os.environ["REFIT_PORT"] = "1234"
sys.executable = {str(interpreter)!r}
print(wait(launch.SpawnLauncher().start(SupervisorPart())))
"""
    )
    assert ended.stdout == "0\n", ended.stderr
    assert called.read_text() == '-m service part {"kind":"supervisor"} 1234\n'


def test_a_spawned_web_worker_inherits_the_listening_socket_and_nobody_else(
    tmp_path: Path,
) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!{sys.executable}\nimport os, sys\nos.fstat(int(sys.argv[-1]))\n")
    interpreter.chmod(0o755)
    ended = run(
        FORK
        + f"""
from service.processes.parent import listen
listener = listen("127.0.0.1", 0)
fd = listener.fileno()

class Web(WebPart):
    def model_dump_json(self): return str(fd)

class Other(SupervisorPart):
    def model_dump_json(self): return str(fd)

sys.executable = {str(interpreter)!r}
launcher = launch.SpawnLauncher()
print(wait(launcher.start(Web(slot=0, node="n", listen_fd=fd))))
print(wait(launcher.start(Other())))
listener.close()
"""
    )
    assert ended.stdout == "0\n1\n", ended.stderr
