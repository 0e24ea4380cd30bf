"""A web worker whose event loop stands still is replaced within five seconds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.running import RunningService, alive, running
from tests.packages import lay_out
from tests.service.http.speaking import Line, post
from tests.waiting import until

pytestmark = pytest.mark.e2e

PROMISED_SECONDS = 5.0
MARGIN_SECONDS = 5.0
"""For a machine that is shared."""

SPEC = """
from typing import ClassVar, Literal
from ml.spec.architecture import ArchitectureBase
class MoodySpec(ArchitectureBase):
    module: ClassVar[str] = "moody.net:Moody"
    kind: Literal["moody"] = "moody"
    def parameter_count(self, features, targets):
        return features * targets
"""
NET = """
import time, torch
class Moody(torch.nn.Module):
    def __init__(self, spec, features, targets):
        super().__init__()
        self.w_FT = torch.nn.Parameter(torch.zeros(features, targets))
    def forward(self, x_NF):
        if not self.training and bool((x_NF > 1e6).any()):
            # Not even the interpreter's other threads go on: so does a library that holds its lock.
            while True:
                pass
        return x_NF @ self.w_FT
"""


def web_pid(service: RunningService, slot: int) -> int:
    return service.logged_pid(rf"web worker {slot} runs as process (\d+)")


def wait_for_another(service: RunningService, slot: int, stuck: int) -> float:
    """Seconds until another process has taken its place."""
    began = time.monotonic()
    until(lambda: web_pid(service, slot) != stuck, "another worker")
    return time.monotonic() - began


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningService]:
    sources = {"moody/__init__.py": "", "moody/spec.py": SPEC, "moody/net.py": NET}
    folder = lay_out(tmp_path / "packages", "moody", "moody.spec:MoodySpec", sources)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with running(tmp_path / "data") as started:
        yield started


def test_a_stopped_process_is_replaced(service: RunningService) -> None:
    stuck = web_pid(service, 0)
    os.kill(stuck, signal.SIGSTOP)
    assert wait_for_another(service, 0, stuck) < PROMISED_SECONDS + MARGIN_SECONDS
    assert f"web worker 0 (process {stuck}) is stuck: killed" in service.log
    assert not alive(stuck)
    service.wait_ready()


def test_a_loop_that_a_model_holds_up_is_replaced_and_others_go_on(
    service: RunningService,
) -> None:
    data = {"source": "points", "x": [0.0, 1.0, 2.0, 3.0], "y": [0.0, 1.0, 2.0, 3.0]}
    job = service.train(
        "moody", data=data, architecture={"kind": "moody"}, epochs=1, standardize=False
    )
    assert job["state"] == "succeeded", job
    port = int(service.url.rpartition(":")[2])
    pids = {web_pid(service, slot) for slot in (0, 1)}
    with Line(port) as line:
        line.send(post(b'{"x":[1e7]}', "/models/moody/predict"))
        until(lambda: "is stuck: killed" in service.log, "the watchdog")
        with pytest.raises(ConnectionError):
            line.read()
    (stuck,) = (pid for pid in pids if not alive(pid))
    until(lambda: len({web_pid(service, slot) for slot in (0, 1)} - pids) == 1, "another")
    service.wait_ready()
    assert service.log.count("is stuck: killed") == 1
    assert f"(process {stuck}) is stuck: killed" in service.log
    for _ in range(10):
        answer = httpx.post(f"{service.url}/predict", json={"x": 0.5}, timeout=10)
        assert answer.status_code == 200
