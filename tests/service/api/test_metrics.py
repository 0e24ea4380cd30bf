"""GET /metrics of one web process: what is counted, and how it is labelled."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

import service.api.scrape
from service.entities import JobError
from service.observability.families import FAMILIES
from service.observability.logs import JsonFormatter
from service.settings import Settings
from tests.service.api.driving import Client, speaking_to
from tests.service.api.scraping import Samples, labels, samples, value
from tests.service.making import NOW, Place, line, new_job
from tests.waiting import until

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def scrape(client: Client) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return samples(answer.text)


def requests(told: Samples, method: str, route: str, status: int) -> float:
    name = "refit_http_requests_total"
    return value(told, name, method=method, route=route, status=str(status))


def test_requests_are_counted_by_the_template_of_their_route(client: Client) -> None:
    client.get("/models/default/versions/1")
    client.get("/models/two/versions/1")
    client.get("/models/none/versions/7?with=query")
    client.request("HEAD", "/models/two/versions/1")
    client.request("HEAD", "/models/none/versions/1")
    client.request("DELETE", "/models/two/versions/1")
    for path in ("/nowhere", "/nowhere/1", "/models/default/nowhere", "/nowhere.ico"):
        client.get(path)
    client.request("PUT", "/predict")
    client.request("BREW", "/coffee")
    client.request("GRIND", "/beans")
    client.get("/static-offline-docs/swagger-ui.css")
    client.get("/docs")
    told = scrape(client)
    version = "/models/{model}/versions/{version}"
    assert requests(told, "GET", version, 200) == 2
    assert requests(told, "GET", version, 404) == 1
    assert requests(told, "HEAD", version, 200) == 1
    assert requests(told, "HEAD", version, 404) == 1
    assert requests(told, "DELETE", version, 409) == 1
    assert requests(told, "GET", "unmatched", 404) == 4
    assert requests(told, "GET", "unmatched", 200) == 1
    assert requests(told, "PUT", "/predict", 405) + requests(told, "PUT", "unmatched", 405) == 1
    assert requests(told, "other", "unmatched", 404) == 2
    assert requests(told, "GET", "/docs", 200) == 1
    routes = {*client.app.openapi()["paths"], "/docs", "unmatched"}
    assert labels(told, "refit_http_requests_total", "route") <= routes
    assert value(told, "refit_problems_total", code="not_found") == 6
    assert value(told, "refit_problems_total", code="model_not_found") == 2


def test_each_request_is_counted_once_with_its_duration(client: Client) -> None:
    for _ in range(5):
        client.get("/health")
    told = scrape(client)
    seconds = "refit_http_request_duration_seconds"
    where = {"method": "GET", "route": "/health"}
    assert requests(told, "GET", "/health", 200) == 5
    assert value(told, f"{seconds}_count", **where) == 5
    assert value(told, f"{seconds}_bucket", le="+Inf", **where) == 5
    assert 0 < value(told, f"{seconds}_sum", **where) < 60
    # The scrape itself is in flight, and counted by the next.
    assert value(told, "refit_http_requests_in_flight") == 1
    assert requests(told, "GET", "/metrics", 200) == 0
    assert requests(scrape(client), "GET", "/metrics", 200) == 1


def test_predictions_are_counted_by_version(client: Client, place: Place) -> None:
    place.publish(line(3.0), active=False)
    client.post("/predict", {"x": [1, 2, 3]})
    client.post("/predict", "x\n1\n2\n", headers={"Content-Type": "text/csv"})
    client.post("/models/default/versions/2/predict", {"x": 1})
    client.post("/models/two/predict", {"x": [[1, 2]]})
    # Larger than what is answered on the event loop itself.
    client.post("/models/two/predict", {"x": [[1.5, 2.5]] * 5000})
    told = scrape(client)
    for model, version, count, rows in (
        ("default", "1", 2, 5),
        ("default", "2", 1, 1),
        ("two", "1", 2, 5001),
    ):
        where = {"model": model, "version": version}
        assert value(told, "refit_predictions_total", **where) == count
        assert value(told, "refit_prediction_rows_total", **where) == rows
        assert value(told, "refit_prediction_duration_seconds_count", **where) == count
        assert value(told, "refit_prediction_duration_seconds_sum", **where) > 0
        totals = client.parts.metrics.totals(model, int(version))
        assert (totals.requests, totals.rows, totals.errors) == (count, rows, 0)


def test_errors_of_predictions_are_counted_by_code(client: Client, place: Place) -> None:
    place.publish(line(3.0), active=False)
    place.damage(place.artifact_of(2))
    client.post("/predict", {"x": "no"})
    client.post("/predict", {"x": [[1, 2]]})
    client.post("/predict", "{")
    client.post("/models/secret-name/predict", {"x": 1})
    client.post("/models/default/versions/9/predict", {"x": 1})
    client.post("/models/default/versions/2/predict", {"x": 1})
    client.post("/predict", "x", headers={"Content-Type": "image/png"})
    answer = client.get("/metrics")
    assert "secret-name" not in answer.text, "what a client makes up is no label"
    told = samples(answer.text)
    name = "refit_prediction_errors_total"
    of_1 = {"model": "default", "version": "1"}
    assert value(told, name, code="invalid_request", **of_1) == 3
    other = {"model": "other", "version": "other"}
    for code in (
        *("model_not_found", "version_not_found"),
        *("version_unloadable", "unsupported_media_type"),
    ):
        assert value(told, name, code=code, **other) == 1, code
    assert value(told, name) == 7
    assert value(told, "refit_predictions_total") == 0
    assert client.parts.metrics.totals("default", 1).errors == 3


def test_a_bug_is_counted_as_500(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(client.parts.inference, "answer", stumble)
    client.request("POST", "/predict", may_be_a_bug=True, content=b'{"x": 1}')
    told = scrape(client)
    assert requests(told, "POST", "/predict", 500) == 1
    assert value(told, "refit_problems_total", code="internal_error") == 1
    of_1 = {"model": "default", "version": "1", "code": "internal_error"}
    assert value(told, "refit_prediction_errors_total", **of_1) == 1


def test_who_is_turned_away_is_counted(client: Client) -> None:
    client.parts.uploads = client.parts.settings.max_uploads
    answer = client.post("/datasets", "a\n1\n", headers={"Content-Type": "text/csv"})
    assert answer.status_code == 429
    told = scrape(client)
    assert value(told, "refit_rejected_requests_total", reason="too_many_uploads") == 1


def test_a_client_that_leaves_is_counted_and_is_not_in_flight(client: Client, place: Place) -> None:
    job = place.queue()
    with client.stream(f"/jobs/{job.id}/events"):
        assert value(scrape(client), "refit_http_requests_in_flight") == 2
    told = scrape(client)
    assert value(told, "refit_http_requests_in_flight") == 1
    assert value(told, "refit_http_requests_total", route="/jobs/{job_id}/events") == 1


def test_jobs_are_told_as_the_database_has_them(client: Client, place: Place) -> None:
    told = scrape(client)
    assert value(told, "refit_oldest_queued_job_age_seconds") == 0
    assert labels(told, "refit_jobs", "state") == {
        *("queued", "running", "succeeded", "failed", "cancelled")
    }
    place.queue()
    failed = place.claim()
    with place.database.write() as stores:
        stores.jobs.fail(failed.id, failed.fence, JobError("diverged", "…"), NOW)
    place.queue()
    place.claim()
    with place.database.write() as stores:
        stores.jobs.add(replace(new_job(), id="f" * 32), NOW)
    told = scrape(client)
    for state, count in {"queued": 1, "running": 1, "failed": 1, "cancelled": 0}.items():
        assert value(told, "refit_jobs", state=state) == count
    # NOW is long ago.
    assert value(told, "refit_oldest_queued_job_age_seconds") > 0
    when = value(told, "refit_last_job_finished_timestamp_seconds", state="failed")
    assert when == pytest.approx(NOW.timestamp())
    assert labels(told, "refit_last_job_epochs", "state") == {"failed"}


def test_versions_that_serve_are_told(client: Client, place: Place) -> None:
    told = scrape(client)
    assert value(told, "refit_model_active_version", model="default") == 1
    place.publish(line(5.0))

    def seen() -> bool:
        told = scrape(client)
        one, two = (
            value(told, "refit_version_workers", model="default", version=version)
            for version in "12"
        )
        return (one, two) == (0, 1)

    until(seen, "the new version to serve")
    told = scrape(client)
    assert value(told, "refit_model_active_version", model="default") == 2
    assert value(told, "refit_loaded_versions", worker="0") == 2
    assert value(told, "refit_workers_behind") == 0


def test_a_version_that_cannot_be_loaded_shows(client: Client, place: Place) -> None:
    place.publish(line(5.0), active=False)
    place.damage(place.artifact_of(2))
    with place.database.write() as stores:
        stores.deployments.move("default", 2, "activated", NOW)
    until(lambda: value(scrape(client), "refit_workers_behind") == 1, "the failure to show")


def test_the_event_loop_is_looked_at(client: Client) -> None:
    name = "refit_event_loop_lag_seconds_count"
    before = value(scrape(client), name, worker="0")
    until(lambda: value(scrape(client), name, worker="0") > before, "a look")


def test_everything_listed_is_told_and_nothing_else(client: Client, place: Place) -> None:
    answer = client.get("/metrics").text
    told = dict(re.findall(r"^# TYPE (\S+) (\S+)$", answer, re.MULTILINE))
    assert told == {family.name: family.kind for family in FAMILIES}


# ---- a database that is away ----


def test_a_database_that_is_broken_does_not_fail_the_scrape(client: Client, place: Place) -> None:
    client.post("/predict", {"x": 1})
    engine = create_engine(place.settings.sqlalchemy_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs RENAME TO gone"))
    engine.dispose()
    told = scrape(client)
    assert value(told, "refit_database_up") == 0
    assert value(told, "refit_predictions_total", model="default") == 1
    assert labels(told, "refit_jobs", "state") == set()


def test_a_database_that_hangs_does_not_hold_up_scrapes_nor_pile_up_threads(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.api.scrape, "LOOK_SECONDS", 0.05)
    answers = threading.Event()
    asked = []
    scraper = client.parts.scrape
    look = scraper._look

    def hang() -> object:
        asked.append(1)
        answers.wait(60)
        return look()

    monkeypatch.setattr(scraper, "_look", hang)
    for _ in range(5):
        assert value(scrape(client), "refit_database_up") == 0
    assert len(asked) == 1
    answers.set()
    until(lambda: value(scrape(client), "refit_database_up") == 1, "the database to be back")


# ---- traces and logs ----


class Lines(logging.Handler):
    """Log lines as the JSON formatter writes them, at the moment they are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


@contextmanager
def listening() -> Iterator[list[str]]:
    handler, logger = Lines(), logging.getLogger("service")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler.told
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def test_a_trace_is_continued(steady_client: Client) -> None:
    given = f"00-{TRACE}-{SPAN}-01"
    for path in ("/health", "/nowhere"):
        answer = steady_client.get(path, headers={"traceparent": given})
        found = re.fullmatch(f"00-{TRACE}-([0-9a-f]{{16}})-01", answer.headers["traceparent"])
        assert found
        assert found[1] != SPAN


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", "nonsense")],
        [("traceparent", f"00-{'0' * 32}-{SPAN}-01")],
        [("traceparent", f"00-{TRACE}-{SPAN}-01"), ("traceparent", f"00-{TRACE}-{SPAN}-01")],
    ],
)
def test_an_invalid_trace_is_ignored(steady_client: Client, headers: list[tuple[str, str]]) -> None:
    answer = steady_client.get("/health", headers=headers)
    assert answer.status_code == 200
    assert "traceparent" not in answer.headers


def test_every_line_of_a_request_tells_its_id_and_trace(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    talker = logging.getLogger("service.talker")

    def talk_and_stumble(*_: object) -> None:
        talker.warning("in the loop or in a thread")
        raise RuntimeError("a bug")

    monkeypatch.setattr(client.parts.inference, "answer", talk_and_stumble)
    headers = {"X-Request-Id": "my-id", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    with listening() as told:
        for x in ([1], [1.25] * 20_000):
            body = json.dumps({"x": x}).encode()
            client.request("POST", "/predict", True, content=body, headers=headers)
        talker.warning("of no request")
    *ours, other = map(json.loads, told)
    assert [line["logger"] for line in ours] == ["service.talker", "service.api.middleware"] * 2
    assert {(line["request_id"], line["trace_id"]) for line in ours} == {("my-id", TRACE)}
    assert "RuntimeError: a bug" in ours[1]["exception"]
    assert "request_id" not in other


def test_the_access_log_tells_no_query_no_body_no_header(settings: Settings, place: Place) -> None:
    place.publish(line(2.0, 1.0))
    with listening() as told:
        with speaking_to(settings.model_copy(update={"access_log": True})) as client:
            client.post("/predict?key=SECRET", {"x": 1}, headers={"Authorization": "SECRET"})
            client.post("/predict", {"x": "SECRET"})
            client.get("/SECRET".replace("SECRET", "a%0Ab"))
        with speaking_to(settings) as client:
            client.get("/health")
    assert "SECRET" not in "".join(told)
    lines = [line for line in map(json.loads, told) if line["logger"] == "service.access"]
    assert [(line["event"], line["route"], line["status"]) for line in lines] == [
        ("POST '/predict'", "/predict", 200),
        ("POST '/predict'", "/predict", 422),
        (r"GET '/a\nb'", "unmatched", 404),
    ]
    for line_ in lines:
        assert line_["seconds"] > 0
        assert line_["request_id"]
