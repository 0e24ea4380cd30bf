"""Following, repeating and bounding jobs, with real processes behind two workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.running import RunningService, running

pytestmark = pytest.mark.e2e


def events(url: str, job_id: str, last_id: int | None = None) -> Iterator[dict[str, Any]]:
    """The events of a job as a browser's EventSource would see them."""
    headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
    road = f"{url}/jobs/{job_id}/events"
    with httpx.stream("GET", road, headers=headers, timeout=60) as answer:
        if answer.status_code == 204:
            return
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            if line == "":
                if "event" in fields:
                    yield {
                        "id": int(fields["id"]),
                        "event": fields["event"],
                        "data": json.loads(fields["data"]),
                    }
                fields = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value


def test_a_listener_that_breaks_off_and_comes_back_misses_and_repeats_nothing(
    service: RunningService,
) -> None:
    # Some seconds of training, so that the listener is there while it runs.
    spec = {"epochs": 12_000, "evaluate_every": 100}
    job_id = service.client.post("/models/followed/train", json=spec).json()["id"]
    seen: list[dict[str, Any]] = []
    breaks = 0
    while not seen or seen[-1]["event"] != "end":
        for count, event in enumerate(
            events(service.url, job_id, seen[-1]["id"] if seen else None), start=1
        ):
            seen.append(event)
            if count == 17:
                breaks += 1
                break
    assert breaks > 3
    assert [event["id"] for event in seen] == list(range(1, len(seen) + 1))
    points = [event["data"]["epoch"] for event in seen if event["event"] == "point"]
    assert points == [*range(0, 12_000, 100), 11_999]
    states = [event["data"]["state"] for event in seen if event["event"] == "state"]
    assert states == ["queued", "running", "succeeded"]
    assert list(events(service.url, job_id)) == seen, "a late listener gets the same history"
    assert list(events(service.url, job_id, seen[-1]["id"])) == []


def test_many_requests_with_one_key_in_one_instant_are_one_job(service: RunningService) -> None:
    headers = {"Idempotency-Key": '"one-and-only"'}

    def post(_: int) -> httpx.Response:
        road = f"{service.url}/models/keyed/train"
        return httpx.post(road, json={"epochs": 10}, headers=headers, timeout=60)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(40)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(service.client.get("/jobs?model=keyed").json()["jobs"]) == 1
    other = service.client.post("/models/keyed/train", json={"epochs": 11}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_full_queue_is_answered_429_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with running(tmp_path / "data", max_queued_jobs=3) as service:
        long = {"epochs": 1_000_000, "evaluate_every": 1000}
        running_id = service.client.post("/train", json=long).json()["id"]
        service.wait_for_job(running_id, lambda job: job["state"] == "running")
        answers = [service.client.post("/train", json={"epochs": 5}) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
        assert answers[-1].json()["code"] == "queue_full"
        assert int(answers[-1].headers["Retry-After"]) >= 1
        service.client.post(f"/jobs/{running_id}/cancel")
        for answer in answers[:3]:
            job = service.wait_for_job(answer.json()["id"], lambda job: job["state"] != "queued")
            service.wait_for_job(job["id"], lambda job: job["state"] == "succeeded")


def test_one_of_two_versions_is_kept_when_the_other_is_worse(service: RunningService) -> None:
    good = service.train("judged")
    worse = service.train("judged", epochs=5)
    assert worse["state"] == "succeeded"
    assert worse["promotion"]["promoted"] is False
    assert worse["promotion"]["reason"].startswith("worse: mae")
    assert service.client.get("/models/judged").json()["active_version"] == good["version"]
    named = service.train("judged", epochs=5, promote="always")
    assert service.client.get("/models/judged").json()["active_version"] == named["version"]
    warm = service.train("judged", start_from=good["version"], epochs=5)
    assert warm["metrics"]["train_loss"] < named["metrics"]["train_loss"]
