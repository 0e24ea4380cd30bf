"""What a confined process can still do: compute, and answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ml

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")

PROGRAM = """
import json, os, socket, sys, threading
sys.path.insert(0, sys.argv[1])
import torch
from ml.exchange.confinement import confine
torch.set_num_threads(1)
open_before = os.open("/dev/null", os.O_WRONLY)
attempts = json.loads(sys.argv[2])
# Compiled before: a line of code that is looked up later cannot be read.
attempts = [compile(code, "attempt", "eval") for code in attempts]
assert confine(2**27, int(sys.argv[3]))
for code in attempts:
    try:
        print(eval(code), flush=True)
    except BaseException as error:
        print(type(error).__name__, flush=True)
"""


def attempt(*codes: str, cpu_seconds: int = 60) -> subprocess.CompletedProcess[str]:
    """A confined process that tries each expression and prints what came of it."""
    root = str(Path(ml.__file__).parent.parent)
    command = [sys.executable, "-I", "-c", PROGRAM, root, json.dumps(codes), str(cpu_seconds)]
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_it_computes_and_does_nothing_else(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("secret")
    wanted = {
        "torch.ones(3).double().sum().item()": "3.0",
        "os.write(open_before, b'x')": "1",
        f"open({str(victim)!r}).read()": "PermissionError",
        f"open({str(victim)!r}, 'w')": "PermissionError",
        f"os.unlink({str(victim)!r})": "PermissionError",
        f"os.stat({str(victim)!r})": "PermissionError",
        "open('/proc/self/mem', 'r+b')": "PermissionError",
        "os.listdir('/')": "PermissionError",
        "socket.socket()": "PermissionError",
        "socket.socketpair()": "PermissionError",
        "os.fork()": "PermissionError",
        "os.execv('/bin/true', ['true'])": "PermissionError",
        "os.kill(os.getppid(), 0)": "PermissionError",
        "os.system('true') >> 8": "127",
        "os.dup(1)": "PermissionError",
        "threading.Thread(target=print).start()": "RuntimeError",
        "len(bytearray(2**28))": "MemoryError",
        "torch.zeros(2**26).sum()": "RuntimeError",
        "torch.ones(4).sum().item()": "4.0",
    }
    done = attempt(*wanted)
    assert dict(zip(wanted, done.stdout.split("\n"), strict=False)) == wanted, done.stderr
    assert victim.read_text() == "secret"


def test_it_ends_when_its_time_is_over() -> None:
    done = attempt("[None for _ in iter(int, 1)]", cpu_seconds=1)
    assert (done.stdout, done.returncode < 0) == ("", True), done.stderr
