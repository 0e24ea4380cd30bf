"""Ctrl-C while a job is followed, on a terminal and elsewhere."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from service.client import Client
from tests.e2e.running import RunningService
from tests.service.commands.conftest import Refit
from tests.waiting import until

pytestmark = pytest.mark.e2e


class Followed:
    """`refit train --follow` of a training that would take hours."""

    def __init__(self, refit: Refit, out: Path, model: str) -> None:
        self.out = out
        words = ("train", "--follow", "--epochs", 1_000_000, "--model", model)
        with out.open("wb") as file:
            self.process = subprocess.Popen(
                refit.command(*words, "--spec", '{"evaluate_every": 100, "batch_size": 4}'),
                env=refit.environment(),
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        until(lambda: "epoch 100 " in self.told, "the first points", 60)

    @property
    def told(self) -> str:
        return self.out.read_text()

    @property
    def job_id(self) -> str:
        found = re.search(r"^job ([0-9a-f]{32})$", self.told, re.MULTILINE)
        assert found is not None
        return found[1]

    def press(self) -> None:
        self.process.send_signal(signal.SIGINT)


def test_one_press_leaves_the_job_running(
    refit: Refit, real: RunningService, tmp_path: Path
) -> None:
    followed = Followed(refit, tmp_path / "out", "left")
    followed.press()
    assert followed.process.wait(30) == 130
    assert f"goes on; see it by: refit jobs {followed.job_id} --follow" in followed.told
    assert "Traceback" not in followed.told
    with Client(real.url) as client:
        job = client.job(followed.job_id)
        assert job.state == "running"
        job.cancel().wait(60, check=False)


def test_a_second_press_cancels_it(refit: Refit, real: RunningService, tmp_path: Path) -> None:
    followed = Followed(refit, tmp_path / "out", "pressed")
    followed.press()
    until(lambda: "again within" in followed.told, "the offer", 30)
    followed.press()
    assert followed.process.wait(30) == 130
    assert f"job {followed.job_id} is cancelled" in followed.told
    assert "Traceback" not in followed.told
    with Client(real.url) as client:
        assert client.job(followed.job_id).wait(60, check=False).state == "cancelled"


def test_on_a_terminal_a_bar_moves(refit: Refit) -> None:
    terminal, other = pty.openpty()
    seen = bytearray()

    def look() -> None:
        while True:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:
                return
            if not chunk:
                return
            seen.extend(chunk)

    looker = threading.Thread(target=look)
    looker.start()
    words = ("train", "--follow", "--epochs", 3000, "--model", "bar")
    process = subprocess.Popen(
        refit.command(*words, "--spec", '{"batch_size": 4}'),
        env=refit.environment(TERM="xterm-256color", COLUMNS="120"),
        stdout=subprocess.PIPE,
        stderr=other,
    )
    os.close(other)
    out, _ = process.communicate(timeout=120)
    looker.join(10)
    os.close(terminal)
    assert process.returncode == 0
    shown = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", bytes(seen)).decode()
    assert re.search(r"━.*/3000.*train [0-9.e-]+, test [0-9.e-]+", shown)
    assert re.search(r"succeeded ━+ 3000/3000", shown)
    assert b"version 1 of bar is active" in out
    assert b"\x1b" not in out
