"""POST /train: queued, waited for, repeated."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.service.api.driving import Client, check_problem, speaking_to
from tests.service.making import Place, at_once, line


def test_an_empty_object_queues_the_tutorials_line(empty_client: Client) -> None:
    answer = empty_client.post("/train", {})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}" == job["links"]["self"]
    assert answer.headers["content-type"] == "application/json"
    assert job["spec"] == {
        "data": {
            "source": "line",
            "weight": 0.7,
            "bias": 0.3,
            "start": 0,
            "end": 1,
            "step": 0.02,
            "noise": 0,
        },
        "split": {"train": 0.8, "validation": 0, "shuffle": False},
        "architecture": {"kind": "linear"},
        "loss": "l1",
        "optimizer": {"kind": "sgd", "lr": 0.01, "momentum": 0, "weight_decay": 0},
        "epochs": 1000,
        "batch_size": None,
        "evaluate_every": 100,
        "seed": 42,
        "standardize": False,
        "early_stopping": None,
        "schedule": {"kind": "constant"},
        "clip_grad_norm": None,
        "start_from": "scratch",
        "promote": "if_better",
    }
    assert (job["model"], job["state"], job["attempt"]) == ("default", "queued", 0)
    assert job["progress"] == {"epoch": 0, "epochs": 1000, "fraction": 0, "eta_seconds": None}
    for name in ("metrics", "version", "promotion", "error", "started_at", "finished_at"):
        assert job[name] is None
    assert job["warnings"] == []
    assert job["created_at"].endswith("Z")
    assert job["links"]["cancel"] == f"/jobs/{job['id']}/cancel"
    assert empty_client.get(answer.headers["location"]).json() == job


def test_a_model_is_named_in_the_address(empty_client: Client) -> None:
    answer = empty_client.post("/models/house-price/train", {})
    assert answer.json()["model"] == "house-price"
    # It exists from its first version on.
    check_problem(empty_client.get("/models/house-price"), 404, "model_not_found")


def test_points_have_the_defaults_of_real_data(empty_client: Client) -> None:
    points = {"source": "points", "x": [1, 2, 3, 4, 5], "y": [1, 2, 3, 4, 5]}
    spec = empty_client.post("/train", {"data": points}).json()["spec"]
    assert (spec["standardize"], spec["loss"], spec["epochs"]) == (True, "mse", 50)
    assert spec["split"]["shuffle"] is True
    assert spec["optimizer"]["kind"] == "lbfgs"
    assert spec["data"]["x"] == [1, 2, 3, 4, 5]


# ---- Prefer: wait ----


@pytest.mark.usefixtures("training")
def test_who_waits_is_answered_with_the_ended_job(client: Client) -> None:
    headers = {"Prefer": "respond-async, wait=30"}
    answer = client.post("/train", {"promote": "always"}, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=30"
    job = answer.json()
    assert (job["state"], job["version"], job["error"]) == ("succeeded", 2, None)
    assert job["progress"] == {"epoch": 1000, "epochs": 1000, "fraction": 1, "eta_seconds": 0}
    assert job["promotion"] == {"promoted": True, "reason": "promote is always"}
    assert "cancel" not in job["links"]
    assert job["links"]["version"] == "/models/default/versions/2"
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    # Whoever waited is answered by the new version from here on.
    assert client.post("/predict", {"x": 0.5}).json()["version"] == 2
    for link in job["links"].values():
        if not link.endswith("/predict"):
            assert client.request("HEAD", link).status_code in (200, 405), link


@pytest.mark.usefixtures("training")
def test_who_waits_is_answered_by_the_new_version_from_then_on(place: Place) -> None:
    place.publish(line(2.0, 1.0))
    slow_to_look = place.settings.model_copy(update={"poll_seconds": 0.5})
    with speaking_to(slow_to_look) as client:
        for version in (2, 3, 4):
            body = {"epochs": 1, "promote": "always"}
            answer = client.post("/train", body, headers={"Prefer": "wait=30"})
            assert answer.json()["version"] == version
            assert client.post("/predict", {"x": 0.5}).json()["version"] == version


@pytest.mark.usefixtures("training")
def test_who_waits_for_a_training_that_fails_is_answered_with_the_reason(client: Client) -> None:
    body = {
        "data": {"source": "points", "x": [1e3, 2e3, 3e3, 4e3, 5e3], "y": [1, 2, 3, 4, 5]},
        "standardize": False,
        "optimizer": {"kind": "sgd", "lr": 1.0},
    }
    answer = client.post("/train", body, headers={"Prefer": "wait=30"})
    assert answer.status_code == 200
    job = answer.json()
    assert (job["state"], job["error"]["code"], job["version"]) == ("failed", "diverged", None)


def test_who_has_waited_long_enough_is_answered_with_the_job_as_it_is(client: Client) -> None:
    started = time.monotonic()
    answer = client.post("/train", {}, headers={"Prefer": "wait=1"})
    assert 0.9 < time.monotonic() - started < 10
    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"
    assert answer.headers["preference-applied"] == "wait=1"


@pytest.mark.parametrize("prefer", ["", "wait=soon", "return=minimal"])
def test_who_does_not_wait_is_answered_at_once(client: Client, prefer: str) -> None:
    answer = client.post("/train", {}, headers={"Prefer": prefer})
    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers


def test_a_wait_ends_when_the_process_is_to_end(client: Client) -> None:
    client.parts.draining = True
    started = time.monotonic()
    answer = client.post("/train", {}, headers={"Prefer": "wait=30"})
    assert answer.status_code == 202
    assert time.monotonic() - started < 5


# ---- Idempotency-Key ----


def test_a_repeated_request_with_its_key_is_the_same_job(client: Client) -> None:
    headers = {"Idempotency-Key": '"8e03978e"'}
    first = client.post("/train", {"epochs": 7}, headers=headers)
    again = client.post("/train", {"epochs": 7}, headers=headers)
    bare = client.post("/train", {"epochs": 7}, headers={"Idempotency-Key": "8e03978e"})
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json() == bare.json()
    assert first.headers["location"] == again.headers["location"]
    assert client.post("/train", {"epochs": 7}).json()["id"] != first.json()["id"]


def test_a_key_that_comes_with_another_request_is_refused(client: Client) -> None:
    headers = {"Idempotency-Key": '"8e03978e"'}
    client.post("/train", {}, headers=headers)
    for road, body in (("/train", {"epochs": 7}), ("/models/two/train", {})):
        answer = client.post(road, body, headers=headers)
        check_problem(answer, 422, "idempotency_key_reused")
    assert len(client.get("/jobs").json()["jobs"]) == 1


def test_a_key_of_a_refused_request_is_free(client: Client) -> None:
    headers = {"Idempotency-Key": '"8e03978e"'}
    assert client.post("/train", {"epochs": 0}, headers=headers).status_code == 422
    assert client.post("/train", {"epochs": 1}, headers=headers).status_code == 202


@pytest.mark.parametrize("key", ["", '""', '"a', "a b", '"' + "x" * 256 + '"'])
def test_what_is_no_key_is_refused(client: Client, key: str) -> None:
    answer = client.post("/train", {}, headers={"Idempotency-Key": key})
    body = check_problem(answer, 422, "invalid_request")
    assert "Idempotency-Key" in body["detail"]
    assert client.get("/jobs").json()["jobs"] == []


def test_twenty_requests_at_once_with_one_key_are_one_job(client: Client) -> None:
    headers = {"Idempotency-Key": '"8e03978e"'}
    answers = at_once(20, lambda _: client.post("/train", {}, headers=headers))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(client.get("/jobs").json()["jobs"]) == 1


@pytest.mark.usefixtures("training")
def test_a_key_of_an_ended_job_gives_its_end(client: Client) -> None:
    headers = {"Idempotency-Key": '"8e03978e"', "Prefer": "wait=30"}
    first = client.post("/train", {"epochs": 5, "promote": "never"}, headers=headers)
    again = client.post("/train", {"epochs": 5, "promote": "never"}, headers=headers)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()


# ---- where it starts ----


@pytest.mark.parametrize(
    "body",
    [
        {"start_from": "active"},
        {"start_from": 1},
        {"start_from": "active", "architecture": {"kind": "mlp"}},
    ],
)
def test_a_training_cannot_start_from_what_does_not_fit(
    client: Client, body: dict[str, Any]
) -> None:
    # Version 1 of `two` has two features, the line has one.
    answer = client.post("/models/two/train", body)
    problem = check_problem(answer, 422, "invalid_request")
    assert {fault["pointer"] for fault in problem["errors"]} == {"/start_from"}


def test_a_training_starts_from_a_version_that_fits(client: Client) -> None:
    points = {"source": "points", "x": [[1, 2], [3, 4], [5, 6]], "y": [1, 2, 3]}
    for start_from in ("active", 1):
        body = {"data": points, "start_from": start_from}
        answer = client.post("/models/two/train", body)
        assert answer.status_code == 202
        assert answer.json()["spec"]["start_from"] == start_from


def test_a_damaged_version_to_start_from_makes_nobody_stumble(place: Place, client: Client) -> None:
    place.damage(place.artifact_of(1))
    # The training will tell why it failed.
    assert client.post("/train", {"start_from": "active"}).status_code == 202
