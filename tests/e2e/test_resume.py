"""A training goes on after kills and stops of a real service, to the bits of an undisturbed one."""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.e2e.running import RunningService, alive, running
from tests.waiting import until

pytestmark = pytest.mark.e2e

KILLS = 4

TRAINING: dict[str, Any] = {
    "data": {
        "source": "points",
        "x": [[a / 7, (a * a) % 11 / 5, a % 3] for a in range(600)],
        "y": [(a % 13) / 6 + a / 100 for a in range(600)],
    },
    "architecture": {"kind": "mlp", "hidden": [32, 16], "dropout": 0.2, "batch_norm": True},
    "optimizer": {"kind": "adamw", "lr": 0.003},
    "schedule": {"kind": "one_cycle"},
    "early_stopping": {"patience": 100_000},
    "batch_size": 32,
    "epochs": 500,
    "evaluate_every": 20,
    "promote": "never",
}
"""Takes some five seconds."""

PATIENT = {"max_attempts": 100, "retry_seconds": 0}
EAGER = {"workers": 1, "checkpoint_seconds": 0.2, "lease_seconds": 1, **PATIENT}


def is_running(job: dict[str, Any]) -> bool:
    return bool(job["state"] == "running")


def training_pid(service: RunningService, job_id: str) -> int:
    return service.logged_pid(rf"job {job_id}: attempt \d+ runs as process (\d+)")


def start_training(service: RunningService) -> str:
    job_id: str = service.client.post("/train", json=TRAINING).json()["id"]
    service.wait_for_job(job_id, is_running)
    return job_id


def result(service: RunningService, job_id: str) -> tuple[Any, ...]:
    """What it came to, once it has; its history has no gap and no point twice."""
    job = service.wait_for_job(job_id, lambda job: job["finished_at"] is not None, 120)
    assert job["state"] == "succeeded", job
    curve = service.client.get(f"/jobs/{job_id}/curve").json()["points"]
    assert [point["epoch"] for point in curve] == [*range(0, TRAINING["epochs"], 20), 499]
    assert told(service, job_id) == [(point["epoch"], point["train_loss"]) for point in curve]
    state = service.client.get(f"/models/default/versions/{job['version']}/state_dict.pth").content
    tensors = torch.load(io.BytesIO(state), weights_only=True)
    bits = {name: values.numpy().tobytes() for name, values in tensors.items()}
    return bits, curve, job["metrics"], job["warnings"]


def told(service: RunningService, job_id: str) -> list[tuple[int, float]]:
    """Epoch and train loss of each point in the stream of events, as they were told."""
    text = service.client.get(f"/jobs/{job_id}/events").text
    events = [dict(re.findall(r"^(\w+): (.*)$", block, re.M)) for block in text.split("\n\n")]
    points = [json.loads(event["data"]) for event in events if event.get("event") == "point"]
    return [(point["epoch"], point["train_loss"]) for point in points]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    with running(tmp_path_factory.mktemp("undisturbed") / "data", workers=1) as service:
        return result(service, start_training(service))


def oom_score_adj(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def checkpoints(service: RunningService) -> list[Path]:
    return sorted(service.data_dir.glob("checkpoints/*/[0-9]*"))


def test_a_training_process_that_is_killed_at_random_goes_on(
    data_dir: Path, undisturbed: tuple[Any, ...]
) -> None:
    instants = random.Random(4)
    with running(data_dir, **EAGER) as service:
        job_id = start_training(service)
        until(lambda: checkpoints(service), "a checkpoint")
        training = training_pid(service, job_id)
        scores = {pid: oom_score_adj(pid) for pid in service.processes()}
        assert scores.pop(training) > max(scores.values()), "memory runs out for trainings first"
        for _ in range(KILLS):
            time.sleep(instants.uniform(0.3, 1.2))
            killed = training_pid(service, job_id)
            os.kill(killed, signal.SIGKILL)
            until(lambda: training_pid(service, job_id) != killed, "the next attempt")  # noqa: B023
        assert result(service, job_id) == undisturbed
        assert service.job(job_id)["attempt"] == KILLS + 1
        assert service.log.count(f"job {job_id}: goes on from checkpoint") >= KILLS - 1
        until(lambda: not checkpoints(service), "the checkpoints to be deleted")


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(
    data_dir: Path, undisturbed: tuple[Any, ...]
) -> None:
    with running(data_dir, **EAGER) as service:
        job_id = start_training(service)
        until(lambda: checkpoints(service), "a checkpoint")
        # The next attempt writes its first one soon.
        os.kill(training_pid(service, job_id), signal.SIGKILL)
        until(lambda: len(checkpoints(service)) == 2, "two checkpoints")
        service.stop(signal.SIGKILL)
    newest = checkpoints(service)[-1]
    os.truncate(newest, newest.stat().st_size // 2)
    with running(data_dir, **EAGER) as service:
        assert result(service, job_id) == undisturbed
        assert f"checkpoint {newest.name} is passed over: its sha256 is wrong" in service.log
        assert f"job {job_id}: goes on from checkpoint" in service.log


def lose_the_machine(service: RunningService, job_id: str, fence: int) -> None:
    """Kill all that runs, once that attempt has written a checkpoint."""
    name = f"checkpoints/{job_id}/*-{fence}"
    until(lambda: list(service.data_dir.glob(name)), "it to advance")
    killed = service.processes()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in killed), "nobody to live")


def test_a_machine_that_is_lost_costs_a_training_that_advances_no_attempt(
    data_dir: Path, undisturbed: tuple[Any, ...]
) -> None:
    once = {**EAGER, "max_attempts": 1}
    with running(data_dir, **once) as service:
        job_id = start_training(service)
        lose_the_machine(service, job_id, 1)
    for fence in (2, 3):
        with running(data_dir, **once) as service:
            lose_the_machine(service, job_id, fence)
    with running(data_dir, **once) as service:
        assert result(service, job_id) == undisturbed
        assert service.job(job_id)["attempt"] == 1


def test_a_service_that_stops_saves_what_runs_and_goes_on_at_its_next_start(
    data_dir: Path, undisturbed: tuple[Any, ...]
) -> None:
    # No checkpoint but that of the stop.
    usual = {"workers": 1, "checkpoint_seconds": 1000}
    with running(data_dir, **usual) as service:
        job_id = start_training(service)
        service.wait_for_job(job_id, lambda job: job["progress"]["epoch"] > 50)
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 10
    assert len(checkpoints(service)) == 1
    with running(data_dir, **usual) as service:
        assert result(service, job_id) == undisturbed
        assert f"job {job_id}: goes on from checkpoint" in service.log
        assert service.job(job_id)["attempt"] == 1
