"""Trainings that crash, hoard memory, hang or diverge: named, after at most three attempts, and
nobody else is any the worse for it."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import RunningService, alive, running
from tests.faults.counting import Count, pick
from tests.faults.places import memory_group, needs_memory_groups
from tests.faults.trainings import (
    Undisturbed,
    complaints_about_job,
    ended,
    forget_artifact,
    submit,
    supervisor_of,
)
from tests.packages import lay_out

pytestmark = pytest.mark.faults

ROUNDS = pick(1, 20, "ROUNDS")

SPEC = """
from typing import ClassVar, Literal
from ml.spec.architecture import ArchitectureBase
class BadSpec(ArchitectureBase):
    module: ClassVar[str] = "bad.net:Bad"
    kind: Literal["bad"] = "bad"
    how: str
    def parameter_count(self, features, targets):
        return features * targets + targets
"""
NET = """
import ctypes, os, time
import torch
from torch import nn
class Bad(nn.Module):
    def __init__(self, spec, features, targets):
        super().__init__()
        self.layer, self.how, self.calls, self.kept = nn.Linear(features, targets), spec.how, 0, []
    def forward(self, x_NF):
        self.calls += 1
        if self.calls > 20:
            if self.how == "segfault":
                ctypes.string_at(0)
            if self.how == "exit":
                os._exit(3)
            if self.how == "abort":
                os.abort()
            if self.how == "raise":
                raise ZeroDivisionError("a bug of the package")
            if self.how == "hoard":
                self.kept.append(torch.ones(25_000_000))
            if self.how == "hang":
                time.sleep(1000)
        return self.layer(x_NF)
"""

DIVERGING = {"optimizer": {"kind": "sgd", "lr": 1e6}, "loss": "mse", "epochs": 5000}

BAD: dict[str, tuple[dict[str, Any], str, str, int]] = {
    "segfault": ({}, "crashed", "its process was killed by SIGSEGV, 3 times", 3),
    "abort": ({}, "crashed", "its process was killed by SIGABRT, 3 times", 3),
    "exit": ({}, "crashed", "its process exited with code 3, 3 times", 3),
    "raise": ({}, "crashed", "its process exited with code 1, 3 times", 3),
    "hoard": ({}, "out_of_memory", "memory ran out", 1),
    "diverge": (DIVERGING, "diverged", "", 1),
}
"""What is asked beside the architecture, and code, words and attempts of the end."""


@pytest.fixture
def service_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder for a service in which the bad architecture is installed."""
    sources = {"bad/__init__.py": "", "bad/spec.py": SPEC, "bad/net.py": NET}
    folder = lay_out(tmp_path / "packages", "bad", "bad.spec:BadSpec", sources)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return tmp_path / "data"


def asked(how: str, **more: Any) -> dict[str, Any]:
    if how == "diverge":
        return more
    return {"architecture": {"kind": "bad", "how": how}, "epochs": 100_000, **more}


def give_little_memory(service: RunningService) -> None:
    """Trainings forked from now on get a gigabyte more than the supervisor has."""
    supervisor = supervisor_of(service)
    pages = int(Path(f"/proc/{supervisor}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2**30
    resource.prlimit(supervisor, resource.RLIMIT_AS, (limit, limit))


def test_a_bad_job_is_named_and_harms_no_other(
    service_dir: Path, undisturbed: Undisturbed, count: Callable[..., Count]
) -> None:
    bad = count("a training that crashes, hoards memory or diverges")
    others = count("a training between those")
    wanted = undisturbed.artifacts
    with running(service_dir, workers=1, max_work=10**15, retry_seconds=0) as service:
        give_little_memory(service)
        before = service.client.post("/predict", json={"x": 3.0}).json()
        for turn in range(ROUNDS):
            for place, (how, (more, code, words, attempts)) in enumerate(BAD.items()):
                seed = (turn * len(BAD) + place) % len(wanted)
                job = service.client.post("/models/bad/train", json=asked(how, **more)).json()
                other = submit(service, seed)
                job = service.wait_for_job(job["id"], ended)
                service.wait_for_job(other, ended)
                bad.add(how, _complaints(job, code, words, attempts))
                said = complaints_about_job(service_dir, other, wanted[seed], attempts=1)
                if service.client.post("/predict", json={"x": 3.0}).json() != before:
                    said.append("the default model answers otherwise")
                others.add(how, said)
                forget_artifact(service_dir, wanted[seed])
    bad.require_none(len(BAD))
    others.require_none(len(BAD))


def _complaints(job: dict[str, Any], code: str, words: str, attempts: int) -> list[str]:
    error = job["error"] or {"code": None, "message": ""}
    good = (job["state"], error["code"], job["attempt"]) == ("failed", code, attempts)
    return [] if good and words in error["message"] else [f"ended with {job}"]


@needs_memory_groups
def test_a_job_that_the_kernel_kills_for_its_memory_harms_no_other(
    service_dir: Path, undisturbed: Undisturbed, count: Callable[..., Count]
) -> None:
    hoarding = count("a training that hoards memory until the kernel kills it (cgroup)")
    wanted = undisturbed.artifacts
    with (
        memory_group(600 * 2**20) as put_into_group,
        running(service_dir, workers=1, max_work=10**15, retry_seconds=0) as service,
    ):
        supervisor = supervisor_of(service)
        # What it has already is not counted there; what its trainings take is.
        put_into_group(supervisor)
        for turn in range(ROUNDS):
            seed = turn % len(wanted)
            job = service.client.post("/models/bad/train", json=asked("hoard")).json()
            other = submit(service, seed)
            job = service.wait_for_job(job["id"], ended)
            service.wait_for_job(other, ended)
            said = _complaints(job, "out_of_memory", "killed as the memory ran out", 3)
            said += complaints_about_job(service_dir, other, wanted[seed], attempts=1)
            if not alive(supervisor):
                said.append("the supervisor was killed for it")
            hoarding.add(job["id"], said)
            forget_artifact(service_dir, wanted[seed])
    hoarding.require_none(ROUNDS)


def test_a_job_that_hangs_is_cancelled_and_the_next_one_runs(
    service_dir: Path, count: Callable[..., Count]
) -> None:
    hanging = count("a training that hangs, cancelled")
    with running(service_dir, workers=1, max_work=10**15) as service:
        job_id = service.client.post("/models/bad/train", json=asked("hang")).json()["id"]
        service.wait_for_job(job_id, lambda job: job["state"] == "running")
        service.client.post(f"/jobs/{job_id}/cancel")
        job = service.wait_for_job(job_id, ended, 30)
        said = [] if job["state"] == "cancelled" else [f"ended as {job}"]
        if service.train()["state"] != "succeeded":
            said.append("the next one did not succeed")
        hanging.add(job_id, said)
    hanging.require_none()


def test_the_oracle_notices_a_wrong_reason_and_a_fourth_attempt() -> None:
    job = {"state": "failed", "error": {"code": "crashed", "message": "its process"}, "attempt": 3}
    assert _complaints(job, "crashed", "its process", 3) == []
    assert _complaints(job, "diverged", "", 3)
    assert _complaints({**job, "attempt": 4}, "crashed", "", 3)
    assert _complaints({**job, "state": "succeeded", "error": None}, "crashed", "", 3)
