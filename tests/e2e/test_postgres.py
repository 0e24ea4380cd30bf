"""A service on Postgres, whose server is killed and started again under load."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.store.migrate import migrate
from tests.e2e.running import RunningService, running
from tests.postgres import PostgresServer, require_binaries
from tests.service.making import at_once

LONG: dict[str, Any] = {"epochs": 60_000, "evaluate_every": 100, "optimizer": {"kind": "sgd"}}
"""Takes some seconds."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    started = PostgresServer(require_binaries(), durable=True)
    yield started
    started.remove()


@pytest.fixture
def url(server: PostgresServer) -> str:
    made = server.url(server.create())
    migrate(made)
    return made


class Load:
    """Predicts without a pause, and counts how it went."""

    def __init__(self, service: RunningService) -> None:
        self._url = service.url
        self._stop = threading.Event()
        self.answers: list[int] = []
        self.slowest = 0.0
        self._thread = threading.Thread(target=self._predict)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join()

    def _predict(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                began = time.monotonic()
                self.answers.append(client.post("/predict", json={"x": [0.5]}).status_code)
                self.slowest = max(self.slowest, time.monotonic() - began)
                time.sleep(0.002)


def events_of(service: RunningService, job_id: str, after: int = 0) -> list[tuple[int, str]]:
    """Id and kind of each event of a job that has ended."""
    headers = {"Last-Event-ID": str(after)}
    text = service.client.get(f"/jobs/{job_id}/events", headers=headers).text
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("id: ")]
    return [(int(lines[0][4:]), lines[1][7:]) for lines in blocks]


def test_a_database_that_is_lost_for_a_while_costs_nobody_anything(
    data_dir: Path, server: PostgresServer, url: str
) -> None:
    with running(data_dir, database_url=url, lease_seconds=2) as service:
        key = {"Idempotency-Key": "once"}
        job_id = service.client.post("/train", json=LONG, headers=key).json()["id"]
        service.wait_for_job(job_id, lambda job: job["progress"]["epoch"] > 0)
        with Load(service) as load:
            server.stop()
            refused = [service.client.post("/train", json={}) for _ in range(3)]
            seen = service.client.get(f"/jobs/{job_id}")
            # Longer than a lease.
            time.sleep(4)
            server.start()
            job = service.wait_for_job(job_id, lambda job: job["state"] == "succeeded")
        assert [answer.status_code for answer in refused] == [503] * 3
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
        assert seen.status_code == 503
        assert set(load.answers) == {200}
        assert load.slowest < 2
        # It went on, and was told once.
        assert job["attempt"] == 1
        events = events_of(service, job_id)
        assert [number for number, _ in events] == list(range(1, len(events) + 1))
        assert [kind for _, kind in events].count("end") == 1
        points = service.client.get(f"/jobs/{job_id}/curve").json()["points"]
        epochs = [point["epoch"] for point in points]
        assert epochs == [*range(0, LONG["epochs"], 100), LONG["epochs"] - 1]
        assert [kind for _, kind in events].count("point") == len(epochs)
        again = service.client.post("/train", json=LONG, headers=key).json()
        assert again["id"] == job_id
        jobs = service.client.get("/jobs").json()["jobs"]
        assert len(jobs) == 2, "the bootstrap's and this one"


def test_a_database_that_hangs_is_given_up_in_time_and_costs_nobody_anything(
    data_dir: Path, server: PostgresServer, url: str
) -> None:
    with running(data_dir, database_url=url, lease_seconds=2) as service:
        job_id = service.client.post("/train", json=LONG).json()["id"]
        service.wait_for_job(job_id, lambda job: job["progress"]["epoch"] > 0)
        with Load(service) as load:
            server.freeze()
            try:
                began = time.monotonic()
                refused = [service.client.post("/train", json={}) for _ in range(3)]
                took = time.monotonic() - began
                crowd = at_once(40, lambda _: service.client.post("/train", json={}))
            finally:
                server.thaw()
            job = service.wait_for_job(job_id, lambda job: job["state"] == "succeeded", 120)
            again = service.train(epochs=20)
        assert {answer.status_code for answer in [*refused, *crowd]} == {503}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in [*refused, *crowd])
        # Each a wait for a connection that was there, and one for a new one.
        assert took < 3 * 20
        assert set(load.answers) == {200}
        assert load.slowest < 2
        assert (job["attempt"], again["state"]) == (1, "succeeded")
        events = events_of(service, job_id)
        assert [number for number, _ in events] == list(range(1, len(events) + 1))
        assert [kind for _, kind in events].count("end") == 1
        jobs = service.client.get("/jobs").json()["jobs"]
        assert len(jobs) == 3, "the bootstrap's and those two"


def test_events_keep_their_ids_when_the_service_starts_anew(data_dir: Path, url: str) -> None:
    with running(data_dir, database_url=url, bootstrap=False) as service:
        job_id = service.train(epochs=300)["id"]
        told = events_of(service, job_id)
        assert service.stop() == 0
    with running(data_dir, database_url=url, bootstrap=False) as service:
        assert events_of(service, job_id) == told
        assert events_of(service, job_id, after=5) == told[5:]
