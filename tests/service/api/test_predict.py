"""POST /predict: one version answers, and the answer names it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from service.serving.light import INLINE_BYTES
from tests.service.api.driving import Client, check_problem
from tests.service.making import Place, at_once, line, predicted
from tests.waiting import until


@pytest.mark.parametrize(
    ("road", "body", "y"),
    [
        ("/predict", {"x": 0.5}, [2.0]),
        ("/predict", {"x": 2}, [5.0]),
        ("/predict", {"x": [0.5, 1]}, [2.0, 3.0]),
        ("/predict", {"x": [[0.5], [1]]}, [2.0, 3.0]),
        ("/predict", {"rows": [{"x": 0.5}, {"x": 1}]}, [2.0, 3.0]),
        ("/models/default/predict", {"x": 0.5}, [2.0]),
        ("/models/default/versions/1/predict", {"x": 0.5}, [2.0]),
        ("/models/two/predict", {"x": [[1, 2]]}, [9.0]),
        ("/models/two/predict", {"rows": [{"b": 2, "a": 1}]}, [9.0]),
    ],
)
def test_rows_are_answered_in_every_form(
    steady_client: Client, road: str, body: dict[str, Any], y: list[float]
) -> None:
    answer = steady_client.post(road, body)
    assert answer.status_code == 200
    assert answer.headers["refit-version"] == "1"
    assert answer.headers["content-type"] == "application/json"
    model = "two" if "two" in road else "default"
    assert answer.json() == {"y": y, "model": model, "version": 1}


@pytest.mark.parametrize("kind", ["text/csv", "text/csv; charset=utf-8", "Text/CSV;header=present"])
def test_a_csv_is_answered_by_its_header(steady_client: Client, kind: str) -> None:
    answer = steady_client.post(
        "/models/two/predict", "b,a\n2,1\n0,0\n", headers={"Content-Type": kind}
    )
    assert answer.json() == {"y": [9.0, 1.0], "model": "two", "version": 1}


def test_several_targets_have_one_list_a_row(client: Client, place: Place) -> None:
    place.publish(line([[1.0], [2.0]], [0.0, 0.5]), model="targets")
    until(lambda: client.parts.pool.active("targets"), "the new model")
    answer = client.post("/models/targets/predict", {"x": [1.0, 2.0]})
    assert answer.json()["y"] == [[1.0, 2.5], [2.0, 4.5]]


def test_a_body_too_large_for_the_event_loop_is_answered_the_same(steady_client: Client) -> None:
    x = [index / 7 for index in range(5000)]
    whole = steady_client.post("/predict", {"x": x})
    assert len(whole.request.content) > INLINE_BYTES
    parts = [steady_client.post("/predict", {"x": x[at : at + 500]}) for at in range(0, 5000, 500)]
    assert whole.json()["y"] == [y for part in parts for y in part.json()["y"]]


def test_a_version_is_answered_by_its_number_active_or_not(client: Client, place: Place) -> None:
    place.publish(line(100.0, 0.0), active=False)
    assert client.post("/predict", {"x": 1}).json()["version"] == 1
    answer = client.post("/models/default/versions/2/predict", {"x": 1})
    assert answer.json() == {"y": [100.0], "model": "default", "version": 2}
    assert answer.headers["refit-version"] == "2"


def test_a_new_active_version_answers_soon(client: Client, place: Place) -> None:
    place.publish(line(100.0, 0.0))
    until(lambda: client.post("/predict", {"x": 1}).json()["version"] == 2, "version 2")
    assert client.post("/predict", {"x": 1}).json()["y"] == [100.0]


def test_what_serves_keeps_serving_where_the_new_version_is_damaged(
    client: Client, place: Place
) -> None:
    place.publish(line(100.0, 0.0), active=False)
    place.damage(place.artifact_of(2))
    with place.database.write() as stores:
        generation = stores.deployments.move("default", 2, "activated", datetime.now(UTC))
    seen = client.parts.registry.acknowledgement
    until(lambda: seen(generation).complete, "the failure to be told")
    assert "default version 2" in seen(generation).failures[0]
    assert client.post("/predict", {"x": 1}).json() == {
        "y": [3.0],
        "model": "default",
        "version": 1,
    }
    answer = client.post("/models/default/versions/2/predict", {"x": 1})
    check_problem(answer, 409, "version_unloadable")


def test_nobody_answers_before_something_was_trained(empty_client: Client) -> None:
    for road in ("/predict", "/models/default/predict"):
        answer = empty_client.post(road, {"x": 1})
        body = check_problem(answer, 503, "not_ready")
        assert "POST /train" in body["detail"]
    check_problem(empty_client.post("/models/nobody/predict", {"x": 1}), 404, "model_not_found")
    answer = empty_client.post("/models/default/versions/1/predict", {"x": 1})
    check_problem(answer, 404, "model_not_found")


def test_every_answer_is_that_of_the_version_it_names_while_versions_alternate(
    client: Client, place: Place
) -> None:
    place.publish(line(-3.0, 5.0))
    x = [0.25, 1.0, 3.5]
    expected = {1: predicted(line(2.0, 1.0), x), 2: predicted(line(-3.0, 5.0), x)}
    moved = threading.Event()
    named: set[int] = set()

    def work(index: int) -> int:
        answers = 0
        if index == 0:
            for turn in range(12):
                path = f"/models/default/versions/{1 + turn % 2}/activate"
                answer = client.post(path, headers={"Prefer": "wait=10"})
                assert answer.json()["acknowledged"] == answer.json()["workers"] == 1
            moved.set()
        while not moved.is_set():
            answer = client.post("/predict", {"x": x})
            body = answer.json()
            assert body["y"] == expected[body["version"]]
            assert answer.headers["refit-version"] == str(body["version"])
            named.add(body["version"])
            answers += 1
        return answers

    answered = at_once(4, work)
    assert sum(answered) > 20
    assert named == {1, 2}
