"""Every error: its status, its code, its members, and nothing of what was sent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from http import HTTPStatus

import httpx
import numpy as np
import pytest

import service.api.routes.predict
import service.api.upload
import service.datasets.intake
import service.fits
import service.store.database
from ml.datasets.profile import Profile
from ml.predictor import Predictor
from service.api.errors import MEANING, STATUS
from service.api.faults import json_pointer
from service.entities import JobError, Promotion
from service.jobs.desk import JobDesk
from service.settings import Settings
from tests.service.api.driving import Client, check_problem, speaking_to
from tests.service.making import (
    NOW,
    PROFILE,
    Place,
    at_once,
    line,
    new_dataset,
    new_job,
    write_locked,
)

UNKNOWN_JOB = "/jobs/" + "0" * 32
SECRET = "do-not-repeat-me"


@pytest.fixture
def narrow(place: Place, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A service with a place for nobody more, and little patience with its database."""
    monkeypatch.setattr(service.store.database, "BUSY_SECONDS", 0.05)
    place.publish(line())
    monkeypatch.setattr(service.api.upload, "STALL_SECONDS", 0.05)
    bounds: dict[str, float] = {"max_body_bytes": 100, "max_queued_jobs": 1, "max_event_streams": 0}
    bounds |= {"max_datasets": 1, "max_uploads": 1, "max_predictions": 1}
    bounds |= {"predict_seconds": 0.05}
    with speaking_to(settings.model_copy(update=bounds)) as client:
        yield client


Provoke = Callable[[Client, Place], httpx.Response]


def reuse_a_key(client: Client, place: Place) -> httpx.Response:
    headers = {"Idempotency-Key": '"key"'}
    client.post("/train", {}, headers=headers)
    return client.post("/train", {"epochs": 7}, headers=headers)


def fill_the_queue(client: Client, place: Place) -> httpx.Response:
    client.post("/train", {})
    return client.post("/train", {})


def cancel_too_late(client: Client, place: Place) -> httpx.Response:
    job = place.queue()
    claimed = place.claim()
    with place.database.write() as stores:
        stores.jobs.fail(job.id, claimed.fence, JobError("diverged", "…"), NOW)
    return client.post(f"/jobs/{job.id}/cancel")


def draw_too_early(client: Client, place: Place) -> httpx.Response:
    return client.get(f"/jobs/{place.queue().id}/curve.svg")


def follow_one_too_many(client: Client, place: Place) -> httpx.Response:
    return client.get(f"/jobs/{place.queue().id}/events")


def activate_damaged(client: Client, place: Place) -> httpx.Response:
    place.publish(line(9.0), active=False)
    place.damage(place.artifact_of(2))
    return client.post("/models/default/versions/2/activate")


def draw_what_is_not_installed(client: Client, place: Place) -> httpx.Response:
    new = new_job()
    with place.database.write() as stores:
        stores.jobs.add(replace(new, spec={**new.spec, "architecture": {"kind": "gone"}}), NOW)
    job = place.claim()
    with place.database.write() as stores:
        kept = Promotion(False, "…", None)
        stores.jobs.succeed(job.id, job.fence, 1, {}, kept, NOW)
    return client.get(f"/jobs/{job.id}/fit.svg")


def ask_an_idle_model(client: Client, place: Place) -> httpx.Response:
    place.publish(model="idle", active=False)
    return client.post("/models/idle/predict", {"x": 1})


def write_while_locked(client: Client, place: Place) -> httpx.Response:
    with write_locked(place.settings.sqlalchemy_url):
        return client.post("/train", {})


def send_file(client: Client, content: bytes | AsyncIterator[bytes] = b"a\n1\n") -> httpx.Response:
    headers = {"Content-Type": "text/csv"}
    return client.request("POST", "/datasets", content=content, headers=headers)


def add_dataset(place: Place) -> str:
    with place.database.write() as stores:
        return stores.datasets.add(new_dataset(), NOW).id


def delete_while_in_use(client: Client, place: Place) -> httpx.Response:
    here = add_dataset(place)
    with place.database.write() as stores:
        stores.jobs.add(replace(new_job(), dataset=here), NOW)
    return client.request("DELETE", f"/datasets/{here}")


def send_one_too_many(client: Client, place: Place) -> httpx.Response:
    add_dataset(place)
    return send_file(client)


def send_in_a_crowd(client: Client, place: Place) -> httpx.Response:
    client.parts.uploads += 1
    return send_file(client)


def stall(client: Client, place: Place) -> httpx.Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield SECRET.encode()
        await asyncio.sleep(0.5)
        yield b"too late"

    return send_file(client, chunks())


def fill_the_disk(client: Client, place: Place) -> httpx.Response:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(service.datasets.intake, "RESERVE_BYTES", 2**62)
        return send_file(client, SECRET.encode())


def train_on_rows(place: Place) -> str:
    """A job that read a dataset, whose file is gone."""
    columns = tuple(replace(PROFILE.columns[0], name=name) for name in "ay")
    with place.database.write() as stores:
        data = stores.datasets.add(new_dataset(profile=Profile(3, columns)), NOW).id
    columns_asked = {"source": "dataset", "dataset": data, "features": ["a"], "target": "y"}
    new = new_job(split={"train": 1}, standardize=True)
    spec = {**new.spec, "data": {**columns_asked, "categories": [], "missing": "refuse"}}
    with place.database.write() as stores:
        stores.jobs.add(replace(new, spec=spec, dataset=data), NOW)
    job = place.claim()
    with place.database.write() as stores:
        stores.jobs.succeed(job.id, job.fence, 1, {}, Promotion(False, "…", None), NOW)
    return job.id


def draw_lost_rows(client: Client, place: Place) -> httpx.Response:
    return client.get(f"/jobs/{train_on_rows(place)}/fit.svg")


def draw_too_many_rows(client: Client, place: Place) -> httpx.Response:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(service.fits, "MAX_DATASET_BYTES", 1)
        return client.get(f"/jobs/{train_on_rows(place)}/fit.svg")


def predict_the_unseen(client: Client, place: Place) -> httpx.Response:
    painted = replace(line([1.0, 2.0]), feature_names=("c",), categories={"c": ("blue", "red")})
    place.publish(painted, model="painted")
    path = "/models/painted/versions/1/predict"
    return client.post(path, {"rows": [{"c": SECRET}]})


def load_by_v2(client: Client, place: Place) -> httpx.Response:
    return client.post("/v2/repository/models/default/load", {"parameters": {"config": SECRET}})


def predict_heavily(client: Client, at_a_time: int) -> list[httpx.Response]:
    """Predictions that take half a second, beside the event loop."""
    predict = Predictor.predict_array

    def slow(self: Predictor, x_NF: np.ndarray) -> np.ndarray:
        time.sleep(0.5)
        return predict(self, x_NF)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(service.api.routes.predict, "HEAVY_SECONDS", -1)
        patched.setattr(Predictor, "predict_array", slow)
        return at_once(at_a_time, lambda _: client.post("/predict", {"x": 1}))


def predict_too_long(client: Client, place: Place) -> httpx.Response:
    return predict_heavily(client, 1)[0]


def predict_in_a_crowd(client: Client, place: Place) -> httpx.Response:
    answers = predict_heavily(client, 3)
    return next(answer for answer in answers if answer.status_code == 429)


ERRORS: dict[str, Provoke] = {
    "overloaded": predict_in_a_crowd,
    "deadline_exceeded": predict_too_long,
    "unseen_category": predict_the_unseen,
    "dataset_unreadable": draw_lost_rows,
    "picture_too_large": draw_too_many_rows,
    "bad_file": lambda client, place: send_file(client, b""),
    "dataset_not_found": lambda client, place: client.get(f"/datasets/{SECRET}"),
    "dataset_in_use": delete_while_in_use,
    "too_many_datasets": send_one_too_many,
    "too_many_uploads": send_in_a_crowd,
    "upload_stalled": stall,
    "storage_full": fill_the_disk,
    "invalid_request": lambda client, place: client.post("/train", {"epochs": SECRET}),
    "idempotency_key_reused": reuse_a_key,
    "not_found": lambda client, place: client.get(f"/{SECRET}"),
    "model_not_found": lambda client, place: client.get("/models/nobody"),
    "version_not_found": lambda client, place: client.get("/models/default/versions/9"),
    "job_not_found": lambda client, place: client.get(UNKNOWN_JOB),
    "cross_origin": lambda client, place: client.post(
        "/train", {}, headers={"Sec-Fetch-Site": "cross-site", "Origin": f"http://{SECRET}"}
    ),
    "method_not_allowed": lambda client, place: client.request("PUT", "/train"),
    "job_finished": cancel_too_late,
    "job_not_finished": draw_too_early,
    "version_active": lambda client, place: client.request("DELETE", "/models/default/versions/1"),
    "version_unloadable": activate_damaged,
    "spec_unreadable": draw_what_is_not_installed,
    "nothing_to_roll_back": lambda client, place: client.post("/models/default/rollback"),
    "too_large": lambda client, place: client.post("/predict", SECRET * 10),
    "unsupported_media_type": lambda client, place: client.post(
        "/train", SECRET, headers={"Content-Type": "text/plain"}
    ),
    "unsupported_operation": load_by_v2,
    "queue_full": fill_the_queue,
    "too_many_streams": follow_one_too_many,
    "not_ready": ask_an_idle_model,
    "store_unavailable": write_while_locked,
}

RAW = {"malformed_http", "client_too_slow", "head_too_large", "too_many_connections"}
"""Answers to clients that never get as far as the application: see `tests/service/http`."""

RETRY = {
    "overloaded",
    *("queue_full", "too_many_streams", "too_many_uploads"),
    *("not_ready", "store_unavailable"),
}


@pytest.mark.parametrize("code", ERRORS)
def test_every_error_has_its_status_and_all_members(
    narrow: Client, place: Place, code: str
) -> None:
    answer = ERRORS[code](narrow, place)
    check_problem(answer, STATUS[code], code)
    assert SECRET not in answer.text
    assert ("retry-after" in answer.headers) == (code in RETRY)
    if code in RETRY:
        assert int(answer.headers["retry-after"]) >= 1


def test_every_code_is_provoked_and_explained() -> None:
    # A bug has a test of its own, below.
    assert ERRORS.keys() | RAW | {"internal_error"} == STATUS.keys() == MEANING.keys()


@pytest.mark.parametrize("code", STATUS)
def test_the_type_of_a_problem_leads_to_its_explanation(empty_client: Client, code: str) -> None:
    page = empty_client.get("/docs/errors")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert f'id="{code}"' in page.text


def test_statuses_are_those_of_the_contract() -> None:
    by_status: dict[HTTPStatus, set[str]] = {}
    for code, status in STATUS.items():
        by_status.setdefault(status, set()).add(code)
    assert by_status[HTTPStatus.NOT_FOUND] >= {
        "model_not_found",
        "version_not_found",
        "job_not_found",
        "dataset_not_found",
    }
    assert by_status[HTTPStatus.CONFLICT] >= {"job_finished", "version_active", "dataset_in_use"}
    assert by_status[HTTPStatus(413)] == {"too_large"}
    assert by_status[HTTPStatus(415)] == {"unsupported_media_type"}
    assert by_status[HTTPStatus(400)] == {"malformed_http", "unsupported_operation"}
    assert by_status[HTTPStatus(408)] == {"upload_stalled", "client_too_slow"}
    assert by_status[HTTPStatus(431)] == {"head_too_large"}
    assert by_status[HTTPStatus(422)] == {
        *("invalid_request", "idempotency_key_reused"),
        *("bad_file", "unseen_category"),
    }
    assert by_status[HTTPStatus(429)] == {
        *("queue_full", "too_many_streams", "too_many_uploads", "overloaded"),
    }
    assert by_status[HTTPStatus(504)] == {"deadline_exceeded"}
    assert by_status[HTTPStatus(507)] == {"storage_full"}
    assert by_status[HTTPStatus(503)] == {
        *("not_ready", "store_unavailable", "too_many_connections"),
    }
    assert by_status[HTTPStatus(500)] == {"internal_error"}


def test_a_bug_shows_nothing_and_is_logged_under_its_id(
    empty_client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(self: JobDesk, job_id: str) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(JobDesk, "get", stumble)
    with caplog.at_level(logging.ERROR):
        answer = empty_client.get(UNKNOWN_JOB, may_be_a_bug=True)
    body = check_problem(answer, 500, "internal_error")
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text
    assert body["request_id"] in caplog.text


def test_a_body_that_is_too_large_closes_the_connection(narrow: Client) -> None:
    # What follows on it would be the rest of that body.
    assert narrow.post("/predict", "x" * 101).headers["connection"] == "close"


# ---- addresses and methods ----


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/train/", "/predict/x", "/models/", "/jobs/", "/v1/predict", "//", "/Train"],
)
def test_there_is_nothing_at_other_addresses(empty_client: Client, path: str) -> None:
    check_problem(empty_client.get(f"http://refit{path}"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/train", {"POST"}),
        ("GET", "/predict", {"POST"}),
        ("DELETE", "/predict", {"POST"}),
        ("PUT", "/train", {"POST"}),
        ("PATCH", "/models/default", {"GET", "HEAD"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("POST", "/jobs", {"GET", "HEAD"}),
        ("PUT", "/datasets", {"GET", "HEAD", "POST"}),
        ("POST", f"/datasets/{'0' * 32}", {"GET", "HEAD", "DELETE"}),
        ("OPTIONS", "/params", {"GET", "HEAD"}),
        ("POST", "/models/default/versions/1", {"GET", "HEAD", "DELETE"}),
        ("HEAD", "/train", {"POST"}),
        ("TRACE", "/", {"GET", "HEAD"}),
        ("BREW", "/train", {"POST"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    empty_client: Client, method: str, path: str, allowed: set[str]
) -> None:
    answer = empty_client.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    if method != "HEAD":
        check_problem(answer, 405, "method_not_allowed")


# ---- parameters ----


@pytest.mark.parametrize(
    "path",
    [
        "/models/-x",
        "/models/.x",
        "/models/a%20b",
        "/models/a%0A",
        "/models/%00",
        "/models/%ED%A0%80",
        "/models/%C3%A9",
        "/models/..%2F..%2Fetc",
        "/models/" + "x" * 65,
        "/models/default/versions/0",
        "/models/default/versions/-1",
        "/models/default/versions/1.5",
        "/models/default/versions/one",
        "/models/default/versions/2147483648",
        "/models/default/versions/" + "9" * 5000,
        "/models/default/versions/1/state_dict.exe",
        "/jobs?limit=0",
        "/jobs?limit=101",
        "/jobs?limit=ten",
        "/jobs?limit=",
        "/jobs?limit=" + "9" * 5000,
        "/jobs?after=x",
        "/jobs?after=-1",
        "/jobs?after=1.5",
        "/jobs?after=" + "9" * 19,
        "/jobs?after=%D9%A1",
        "/jobs?state=sleeping",
        "/jobs?model=" + "x" * 65,
        "/models?limit=0",
        "/models?after=" + "x" * 65,
        "/models/default/versions?after=one",
        "/models/default/versions?limit=-1",
        f"/jobs/{'0' * 32}/curve.gif",
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(client: Client, path: str) -> None:
    answer = client.get(path)
    if answer.status_code != 404 or "%2F" not in path:
        body = check_problem(answer, 422, "invalid_request")
        # A parameter is no part of the body.
        assert {fault["pointer"] for fault in body["errors"]} <= {""}
    assert len(answer.text) < 1000


def test_a_parameter_is_named_and_its_value_is_not_repeated(client: Client) -> None:
    body = check_problem(client.get(f"/jobs?limit={SECRET}"), 422, "invalid_request")
    assert "query parameter limit" in body["detail"]
    assert SECRET not in str(body)
    body = check_problem(client.get(f"/models/default/versions/{SECRET}"), 422, "invalid_request")
    assert "path parameter version" in body["detail"]
    assert SECRET not in str(body)


@pytest.mark.parametrize("job_id", ["1", "x" * 32, "0" * 31, "0" * 33, "A" * 32, "%00", "..%2f"])
def test_an_id_that_no_job_has_is_not_found(empty_client: Client, job_id: str) -> None:
    answer = empty_client.get(f"/jobs/{job_id}")
    assert answer.status_code == 404
    assert answer.json()["code"] in ("job_not_found", "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/models/nobody",
        "/models/nobody/versions",
        "/models/nobody/versions/1",
        "/models/nobody/params",
        "/models/nobody/versions/1/params",
        "/models/nobody/versions/1/state_dict.pth",
    ],
)
def test_an_unknown_model_is_not_found_wherever_it_is_named(client: Client, path: str) -> None:
    check_problem(client.get(path), 404, "model_not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models/default/versions/9"),
        ("GET", "/models/default/versions/9/params"),
        ("GET", "/models/default/versions/9/state_dict.safetensors"),
        ("DELETE", "/models/default/versions/9"),
        ("POST", "/models/default/versions/9/activate"),
    ],
)
def test_an_unknown_version_is_not_found_wherever_it_is_named(
    client: Client, method: str, path: str
) -> None:
    check_problem(client.request(method, path), 404, "version_not_found")


@pytest.mark.parametrize("path", ["", "/curve", "/curve.svg", "/fit.png", "/events"])
def test_an_unknown_job_is_not_found_wherever_it_is_named(empty_client: Client, path: str) -> None:
    check_problem(empty_client.get(UNKNOWN_JOB + path), 404, "job_not_found")


# ---- pointers ----

DATASET = {"source": "dataset", "dataset": "x", "features": ["a"], "target": "b", "categories": []}
MINE = {"kind": "mine", "width": "x"}
"""An architecture that nobody here knows by name."""


@pytest.mark.parametrize(
    ("location", "document", "pointer"),
    [
        ((), None, ""),
        (("epochs",), {"epochs": "x"}, "/epochs"),
        (("data", "points", "x", "numbers", 3), {"data": {"x": [1, 2, 3, "x"]}}, "/data/x/3"),
        (("data", "points", "x", "rows", 0, 1), {"data": {"x": [[1, "x"]]}}, "/data/x/0/1"),
        # A member of a union that is called like a field of its own.
        *(
            (("data", "dataset", *rest), {"data": DATASET}, "/".join(("/data", *map(str, rest))))
            for rest in (("dataset",), ("features", 0), ("target",), ("categories", 1))
        ),
        (("data", "dataset", "dataset"), {"data": {"source": "dataset"}}, "/data/dataset"),
        (("architecture", "mine", "width"), {"architecture": MINE}, "/architecture/width"),
        # In a row by name, every name is a feature's.
        (
            ("rows", 0, "colour", "number"),
            {"rows": [{"kind": "colour", "colour": None}]},
            "/rows/0/colour",
        ),
        (("rows", 1, "text", "text"), {"rows": [{}, {"text": "x" * 2000}]}, "/rows/1/text"),
        # A field that is called like a member of a union is a field where the body has it.
        (("rows", 0, "line"), {"rows": [{"line": "x"}]}, "/rows/0/line"),
        (("a/b", "c~d"), {"a/b": {"c~d": 1}}, "/a~1b/c~0d"),
        (("missing",), {}, "/missing"),
        (("x" * 500,), {}, "/" + "x" * 100),
    ],
)
def test_pointers_are_those_of_rfc_6901(
    location: tuple[str | int, ...], document: object, pointer: str
) -> None:
    assert json_pointer(location, document) == pointer
