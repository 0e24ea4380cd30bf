"""A reader that speaks the protocol of `python -m ml.datasets`, and does what its file tells it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

import service.datasets.reader

_PROGRAM = """
import json, os, sys, threading
request = json.loads(sys.stdin.readline())
source, folder = request["source"], request["folder"]
with open(source, "rb") as file:
    content = file.read()
def say(answer):
    print(json.dumps(answer), flush=True)
word = content.split(b"\\n")[0].decode(errors="replace")
if word == "hang":
    open(os.environ["STARTED"], "w").write(str(os.getpid()))
    sys.stdin.read()
    os._exit(3)
if word == "kill":
    os.kill(os.getpid(), 9)
if word == "bug":
    raise RuntimeError("a bug of the reader")
if word == "silent":
    sys.exit(0)
if word == "chatty":
    sys.stdout.write("x" * 3000 + "\\n")
    sys.exit(0)
if word == "nan":
    say({"profile": {"rows": float("nan"), "columns": []}})
    sys.exit(0)
if word == "full":
    say({"error": {"code": "storage_full", "message": "No space", "line": None, "column": None}})
    sys.exit(0)
if word == "bad":
    message = "line 3, column area: expected a number"
    say({"error": {"code": "bad_file", "message": message, "line": 3, "column": "area"}})
    sys.exit(0)
if word == "wordy":
    figures = {"nulls": 0, "distinct": 3, "min": "a", "max": "z", "mean": None, "std": None}
    say({"profile": {"rows": 9, "columns": [
        {"name": name, "type": "text", "vocabulary": words, **figures}
        for name, words in (("a", ["x" * 50] * 9), ("b", ["y"] * 9), ("c", None), ("d", ["z"]))
    ]}})
    sys.exit(0)
with open(folder + "/rows.arrow", "wb") as file:
    file.write(content)
figures = {"nulls": 0, "distinct": 3, "min": 1.0, "max": 3.0, "mean": 2.0, "std": 0.5}
column = {"name": "area", "type": "number", "vocabulary": None, **figures}
say({"profile": {"rows": content.count(b"\\n"), "columns": [column]}})
"""

COMMAND = (sys.executable, "-S", "-c", _PROGRAM)


def fake_reader(monkeypatch: pytest.MonkeyPatch, started: Path) -> None:
    """Read with `COMMAND` from now on; one that hangs writes its pid into ``started``."""
    monkeypatch.setattr(service.datasets.reader, "COMMAND", COMMAND)
    monkeypatch.setenv("STARTED", str(started))


def pid_in(file: Path, seconds: float = 10) -> int:
    """The pid that a hanging reader has written."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if file.exists() and (text := file.read_text()):
            return int(text)
        time.sleep(0.01)
    raise AssertionError("the reader has not started")
