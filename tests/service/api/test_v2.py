"""Health, metadata, configuration, repository and statistics of the Open Inference Protocol."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

import pytest

from service.settings import Settings
from tests.service.api.driving import Client, check_problem, speaking_to
from tests.service.api.v2_requests import json_input
from tests.service.making import Place, line

PAINTED = replace(
    line([1.0, 10.0, 20.0, 5.0]),
    feature_names=("size", "colour", "new"),
    categories={"colour": ("blue", "red")},
    booleans=("new",),
)
"""y = size + (10 if blue, 20 if red) + 5 new + 0.3"""


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_names_itself(steady_client: Client, path: str) -> None:
    told = steady_client.get(path).json()
    assert told == {
        "name": "refit",
        "version": version("refit"),
        "extensions": [
            *("binary_tensor_data", "model_configuration", "model_repository(index)"),
            "statistics",
        ],
    }


def test_live_and_ready(client: Client, place: Place) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"live": True, "ready": True})
    client.parts.draining = True
    answer = client.get("/v2/health/ready")
    assert answer.status_code == 503
    assert answer.json()["error"] == "the service is being stopped"
    check_problem(client.get("/v2/models/default/ready"), 503, "not_ready")
    assert client.get("/v2/health/live").json() == {"live": True, "ready": False}


def test_not_ready_is_503_and_says_why(empty_client: Client) -> None:
    assert empty_client.get("/v2/health/live").json() == {"live": True, "ready": False}
    answer = empty_client.get("/v2/health/ready")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {
        "live": True,
        "ready": False,
        "error": "no active version is loaded",
    }
    for path in ("", "/ready", "/config"):
        check_problem(empty_client.get(f"/v2/models/default{path}"), 503, "not_ready")
    check_problem(
        empty_client.post("/v2/models/default/infer", {"inputs": [json_input([[1.0]])]}),
        503,
        "not_ready",
    )


def test_the_metadata_of_a_model_of_numbers(client: Client, place: Place) -> None:
    place.publish(line(), active=False)
    wanted = {
        "name": "default",
        "versions": ["1", "2"],
        "platform": "refit_pytorch",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
    }
    for path in ("", "/versions/1", "/versions/2"):
        assert client.get(f"/v2/models/default{path}").json() == wanted
    two = client.get("/v2/models/two").json()
    assert two["inputs"][0]["shape"] == [-1, 2]
    assert two["versions"] == ["1"]


def test_the_metadata_of_a_model_with_categories(place: Place) -> None:
    place.publish(PAINTED, model="painted")
    with speaking_to(place.settings) as client:
        told = client.get("/v2/models/painted").json()
        config = client.get("/v2/models/painted/versions/1/config").json()
    assert told["inputs"] == [
        {"name": "size", "datatype": "FP64", "shape": [-1, 1]},
        {"name": "colour", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "new", "datatype": "BOOL", "shape": [-1, 1]},
    ]
    assert [given["data_type"] for given in config["input"]] == [
        *("TYPE_FP64", "TYPE_STRING", "TYPE_BOOL")
    ]


def test_the_configuration(steady_client: Client) -> None:
    assert steady_client.get("/v2/models/two/config").json() == {
        "name": "two",
        "platform": "refit_pytorch",
        "backend": "refit",
        "max_batch_size": 0,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 2]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1, 1]}],
    }


def test_a_model_and_each_version_is_ready(client: Client, place: Place) -> None:
    place.publish(line(), active=False)
    for path in ("", "/versions/1", "/versions/2"):
        answer = client.get(f"/v2/models/default{path}/ready")
        assert (answer.status_code, answer.json()) == (200, {"name": "default", "ready": True})
    place.damage(place.artifact_of(place.publish(line(9.0), active=False)))
    answer = client.get("/v2/models/default/versions/3/ready")
    check_problem(answer, 409, "version_unloadable")


@pytest.mark.parametrize("path", ["", "/ready", "/config", "/stats", "/versions/1/stats"])
def test_an_unknown_model_is_404(steady_client: Client, path: str) -> None:
    answer = steady_client.get(f"/v2/models/nobody{path}")
    check_problem(answer, 404, "model_not_found")


@pytest.mark.parametrize("path", ["", "/ready", "/config", "/stats"])
def test_an_unknown_version_is_404(steady_client: Client, path: str) -> None:
    answer = steady_client.get(f"/v2/models/default/versions/9{path}")
    check_problem(answer, 404, "version_not_found")
    answer = steady_client.get(f"/v2/models/default/versions/latest{path}")
    body = check_problem(answer, 400, "invalid_request")
    assert "version" in body["error"]


def test_every_error_below_v2_has_the_protocols_member(steady_client: Client) -> None:
    check_problem(steady_client.get("/v2/nowhere"), 404, "not_found")
    check_problem(steady_client.get("/v2/models/default/infer"), 405, "method_not_allowed")
    # And no other has it.
    assert "error" not in steady_client.get("/v2x").json()


# ---- repository ----


def test_the_index_lists_every_version(client: Client, place: Place) -> None:
    place.publish(line(), active=False)
    place.publish(model="idle", active=False)
    answer = client.post("/v2/repository/index")
    other = "not active: loaded when it is asked for by its number"
    assert answer.json() == [
        {"name": "default", "version": "1", "state": "READY", "reason": ""},
        {"name": "default", "version": "2", "state": "UNAVAILABLE", "reason": other},
        {"name": "idle", "version": "1", "state": "UNAVAILABLE", "reason": other},
        {"name": "two", "version": "1", "state": "READY", "reason": ""},
    ]
    ready = client.post("/v2/repository/index", {"ready": True}).json()
    assert [(entry["name"], entry["version"]) for entry in ready] == [
        ("default", "1"),
        ("two", "1"),
    ]
    assert client.post("/v2/repository/index", {"ready": False}).json() == answer.json()


def test_an_active_version_that_is_not_loaded_is_loading(client: Client, place: Place) -> None:
    client.parts.rollout.stop()
    number = place.publish(line(5.0))
    entries = client.post("/v2/repository/index").json()
    (entry,) = [e for e in entries if (e["name"], e["version"]) == ("default", str(number))]
    assert entry["state"] == "LOADING"
    assert entry["reason"]


def test_the_index_refuses_what_it_does_not_know(steady_client: Client) -> None:
    for body, where in (({"ready": "yes"}, "/ready"), ({"raedy": True}, "/raedy")):
        answer = steady_client.post("/v2/repository/index", body)
        told = check_problem(answer, 400, "invalid_request")
        assert [fault["pointer"] for fault in told["errors"]] == [where]


@pytest.mark.parametrize("action", ["load", "unload"])
def test_loading_and_unloading_lead_to_what_does_it(steady_client: Client, action: str) -> None:
    answer = steady_client.post(f"/v2/repository/models/default/{action}", {})
    body = check_problem(answer, 400, "unsupported_operation")
    assert "POST /models/default/versions/{version}/activate" in body["error"]


# ---- statistics ----


def test_statistics_count_what_every_protocol_asked(client: Client, place: Place) -> None:
    place.publish(line(), active=False)

    def stats(path: str) -> list[dict[str, object]]:
        told: list[dict[str, object]] = client.get(path).json()["model_stats"]
        return told

    def counts(path: str) -> list[tuple[object, ...]]:
        fields = ("name", "version", "inference_count", "execution_count")
        return [tuple(told[field] for field in fields) for told in stats(path)]

    assert counts("/v2/models/default/stats") == [("default", "1", 0, 0)]
    assert stats("/v2/models/default/stats")[0]["last_inference"] == 0
    client.post("/predict", {"x": [1, 2, 3]})
    client.post("/v2/models/default/infer", {"inputs": [json_input([[1.0], [2.0]])]})
    client.post("/v2/models/default/versions/2/infer", {"inputs": [json_input([[1.0]])]})
    # Beyond float32: the version was asked, and could not answer.
    huge = {"inputs": [json_input([[3e38]])]}
    check_problem(client.post("/v2/models/default/infer", huge), 400, "invalid_request")
    default = [("default", "1", 5, 2), ("default", "2", 1, 1)]
    assert counts("/v2/models/default/stats") == default
    assert counts("/v2/models/default/versions/2/stats") == default[1:]
    assert counts("/v2/models/stats") == [*default, ("two", "1", 0, 0)]
    (told,) = stats("/v2/models/default/versions/1/stats")
    assert isinstance(told["last_inference"], int)
    assert told["last_inference"] > 1_700_000_000_000
    durations = told["inference_stats"]
    assert isinstance(durations, dict)
    assert durations["success"]["count"] == durations["compute_infer"]["count"] == 2
    assert durations["fail"]["count"] == 1
    assert durations["success"]["ns"] > 0
    assert durations["fail"]["ns"] > 0
    assert durations["queue"] == {"count": 0, "ns": 0}


def test_the_row_limit_is_the_same_for_every_protocol(place: Place, settings: Settings) -> None:
    place.publish(line())
    place.publish(PAINTED, model="painted")
    with speaking_to(settings.model_copy(update={"max_predict_rows": 2})) as client:
        x = [[1.0], [2.0], [3.0]]
        refused = client.post("/predict", {"x": x}).json()["detail"]
        answer = client.post("/v2/models/default/infer", {"inputs": [json_input(x)]})
        assert check_problem(answer, 400, "invalid_request")["error"] == refused
        texts = [["red"]] * 3
        inputs = [
            json_input(x, name="size"),
            json_input(texts, "BYTES", "colour"),
            json_input([[True]] * 3, "BOOL", "new"),
        ]
        answer = client.post("/v2/models/painted/infer", {"inputs": inputs})
        assert check_problem(answer, 400, "invalid_request")["error"] == refused
