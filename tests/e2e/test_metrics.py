"""/metrics of a real process tree: right across workers, at once, and whoever dies."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from service.store.migrate import migrate
from tests.e2e.running import RunningService, running
from tests.postgres import PostgresServer, require_binaries
from tests.service.api.scraping import Samples, labels, samples, value
from tests.waiting import until

pytestmark = pytest.mark.e2e


def scrape(service: RunningService) -> Samples:
    """By a connection of its own, which any worker may take."""
    answer = httpx.get(f"{service.url}/metrics", timeout=30)
    assert answer.status_code == 200
    return samples(answer.text)


def predict(service: RunningService, rows: int = 1) -> int:
    """As `scrape`; the status."""
    body = {"x": [0.5] * rows}
    return httpx.post(f"{service.url}/predict", json=body, timeout=30).status_code


def predicted(told: Samples) -> float:
    return value(told, "refit_predictions_total", model="default", version="1")


def requests(told: Samples) -> float:
    return value(told, "refit_http_requests_total", route="/predict", status="200")


def counters(told: Samples) -> Samples:
    """Samples that must not fall."""
    return {
        (name, has): number
        for (name, has), number in told.items()
        if re.search("_(total|count|sum|bucket)$", name)
        # Of a single process: it begins anew with that.
        and not name.startswith("refit_process_cpu")
    }


def worker_pid(service: RunningService, slot: int) -> int:
    return service.logged_pid(rf"web worker {slot} runs as process (\d+)")


@pytest.mark.parametrize(("method", "workers"), [("fork", 3), ("spawn", 2)])
def test_every_answered_request_is_in_the_next_scrape_whoever_answers_it(
    data_dir: Path, method: str, workers: int
) -> None:
    with running(data_dir, start_method=method, workers=workers, access_log=True) as service:
        rows = 0
        for count in range(1, 41):
            assert predict(service, rows=count) == 200
            rows += count
            told = scrape(service)
            assert predicted(told) == requests(told) == count
            assert value(told, "refit_prediction_rows_total", model="default") == rows
            assert value(told, "refit_http_requests_in_flight") == 1
        assert value(told, "refit_workers_live") == value(told, "refit_workers_expected") == workers
        assert labels(told, "refit_process_start_time_seconds", "process") == {
            *("parent", "supervisor"),
            *(f"web-{slot}" for slot in range(workers)),
        }
        assert value(told, "refit_version_workers", model="default", version="1") == workers
        answering = re.findall(
            r" (\d+) service\.access: (?:POST '/predict'|GET '/metrics')", service.log
        )
        assert len(set(answering)) > 1, "else this would show nothing"


def test_no_counter_falls_when_a_worker_is_killed(data_dir: Path) -> None:
    with running(data_dir) as service:
        for _ in range(20):
            predict(service)
        before = counters(scrape(service))
        for slot in (0, 1):
            killed = worker_pid(service, slot)
            os.kill(killed, signal.SIGKILL)
            told = counters(until(lambda: _scrape_or_none(service), "a scrape"))
            assert {key: n for key, n in before.items() if told.get(key, -1) < n} == {}
            until(lambda k=killed, s=slot: worker_pid(service, s) != k, "the next worker")  # type: ignore[misc]
            service.wait_ready()
        predict(service)
        told = scrape(service)
        assert predicted(told) == requests(told) == 21
        assert value(told, "refit_restarts_total", process="web") == 2
        assert value(told, "refit_restarts_total", process="supervisor") == 0
        assert value(told, "refit_workers_live") == 2
        os.kill(service.logged_pid(r"supervisor runs as process (\d+)"), signal.SIGKILL)
        until(
            lambda: value(scrape(service), "refit_restarts_total", process="supervisor") == 1,
            "the next supervisor",
        )


def _scrape_or_none(service: RunningService) -> Samples | None:
    """None where the killed worker was to answer."""
    try:
        return scrape(service)
    except httpx.TransportError:
        return None


def test_a_training_shows_and_its_time_is_kept(data_dir: Path) -> None:
    with running(data_dir, bootstrap=False) as service:
        job_id = service.client.post(
            "/train", json={"epochs": 1_000_000, "evaluate_every": 1000}
        ).json()["id"]
        service.wait_for_job(job_id, lambda job: job["progress"]["epoch"] > 0)
        told = scrape(service)
        assert value(told, "refit_jobs", state="running") == 1
        assert value(told, "refit_process_resident_memory_bytes", process="training") > 10**7
        service.client.post("/train", json={})
        assert value(scrape(service), "refit_jobs", state="queued") == 1
        cpu = value(told, "refit_process_cpu_seconds_total", process="training")
        tree = value(told, "refit_tree_cpu_seconds_total")
        assert tree > cpu > 0
        service.client.post(f"/jobs/{job_id}/cancel")
        until(lambda: value(scrape(service), "refit_jobs", state="succeeded") == 1, "the other")
        until(
            lambda: (
                value(scrape(service), "refit_process_resident_memory_bytes", process="training")
                == 0
            ),
            "the process to end",
        )
        told = scrape(service)
        assert value(told, "refit_process_cpu_seconds_total", process="training") > cpu
        assert value(told, "refit_tree_cpu_seconds_total") > tree
        assert value(told, "refit_last_job_epochs", state="succeeded") == 1000
        assert value(told, "refit_last_job_duration_seconds", state="succeeded") > 0
        assert value(told, "refit_model_active_version", model="default") == 1


def test_a_database_that_is_away_is_told_and_its_password_is_not(data_dir: Path) -> None:
    server = PostgresServer(require_binaries())
    try:
        url = server.url(server.create()).replace("refit@", "refit:pass-word-of-ours@")
        assert "pass-word" in url
        migrate(url)
        with running(data_dir, database_url=url, log_format="json", log_level="debug") as service:
            assert value(scrape(service), "refit_database_up") == 1
            server.stop()
            assert predict(service) == 200
            told = scrape(service)
            assert value(told, "refit_database_up") == 0
            assert predicted(told) == 1
            assert labels(told, "refit_jobs", "state") == set()
            assert service.client.post("/train", json={}).status_code == 503
            server.start()
            until(lambda: value(scrape(service), "refit_database_up") == 1, "the database")
            service.stop()
            assert "pass-word" not in service.log
            assert "the database does not answer" in service.log
    finally:
        server.remove()


def test_logs_as_json_are_one_object_a_line_from_every_process(data_dir: Path) -> None:
    url = f"sqlite:///{data_dir}/refit.db?timeout=5"
    with running(
        data_dir, log_format="json", access_log=True, log_level="debug", database_url=url
    ) as service:
        trace = "0af7651916cd43dd8448eb211c80319c"
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X-Request-Id": "mine"}
        answer = service.client.post("/predict?token=SECRET", json={"x": 0.5}, headers=headers)
        assert answer.headers["x-request-id"] == "mine"
        assert answer.headers["traceparent"].startswith(f"00-{trace}-")
        service.client.post("/predict", json={"x": "SECRET"})
        service.train(promote="never")
        service.stop()
        lines = [json.loads(line) for line in service.log.splitlines()]
    assert "SECRET" not in service.log
    assert len({line["process"] for line in lines}) >= 3
    assert {line["logger"] for line in lines} >= {
        *("service.access", "service.processes.parent", "service.jobs.supervisor")
    }
    (ours,) = [line for line in lines if line.get("request_id") == "mine"]
    assert (ours["event"], ours["status"], ours["trace_id"]) == ("POST '/predict'", 200, trace)
