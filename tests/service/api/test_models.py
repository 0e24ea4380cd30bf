"""Models, versions, parameters, activation and rollback."""

from __future__ import annotations

import io
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import torch
from safetensors.torch import load as safetensors_load

from ml.data.scaling import Scaling
from service.entities import Worker
from service.serving.bell import Bell
from tests.service.api.driving import Client, check_problem
from tests.service.api.test_jobs import walk
from tests.service.making import Place, line, mlp
from tests.waiting import until


def test_models_are_listed_by_name_page_by_page(client: Client, place: Place) -> None:
    for name in ("zebra", "Alpha", "mid.dle", "x_1"):
        place.publish(model=name)
    names = ["Alpha", "default", "mid.dle", "two", "x_1", "zebra"]
    for limit in (1, 2, 6, 100):
        assert [m["model"] for m in walk(client, "/models", "models", limit)] == names


def test_a_model_shows_its_active_version_and_how_many_it_has(client: Client, place: Place) -> None:
    place.publish(active=False)
    model = client.get("/models/default").json()
    assert model["created_at"].endswith("Z")
    del model["created_at"]
    assert model == {
        "model": "default",
        "active_version": 1,
        "rollback_version": None,
        "versions": 2,
        "links": {
            "self": "/models/default",
            "versions": "/models/default/versions",
            "predict": "/models/default/predict",
            "params": "/models/default/params",
            "train": "/models/default/train",
            "rollback": "/models/default/rollback",
        },
    }


def test_a_model_tells_which_version_a_rollback_would_go_back_to(
    client: Client, place: Place
) -> None:
    for _ in range(3):
        place.publish()
    assert client.request("DELETE", "/models/default/versions/2").status_code == 204
    for expected in (3, 1):
        assert client.get("/models/default").json()["rollback_version"] == expected
        assert client.post("/models/default/rollback").json()["version"] == expected
    assert client.get("/models/default").json()["rollback_version"] is None
    client.post("/models/default/versions/4/activate")
    assert client.get("/models/default").json()["rollback_version"] == 1
    # Lists leave it out: it takes a walk through the history of each model.
    assert "rollback_version" not in client.get("/models").json()["models"][0]


def test_parameters_are_told_without_the_state_dict_where_it_is_not_wanted(client: Client) -> None:
    for path in ("/params", "/models/default/params", "/models/default/versions/1/params"):
        whole, rest = (client.get(f"{path}{query}").json() for query in ("", "?state_dict=false"))
        assert whole["state_dict"]["linear_layer.bias"] == [1.0]
        assert rest == {**whole, "state_dict": None}


def test_versions_are_listed_newest_first_page_by_page(client: Client, place: Place) -> None:
    for _ in range(6):
        place.publish(active=False)
    client.request("DELETE", "/models/default/versions/4")
    for limit in (1, 2, 6, 100):
        versions = walk(client, "/models/default/versions", "versions", limit)
        assert [version["version"] for version in versions] == [7, 6, 5, 3, 2, 1]
        assert [version["active"] for version in versions] == [False] * 5 + [True]


def test_a_version_tells_what_it_depends_on(client: Client, place: Place) -> None:
    version = client.get("/models/default/versions/1").json()
    with place.database.read() as stores:
        row = stores.versions.get("default", 1)
    assert version["artifact"] == {"sha256": row.artifact}
    assert version["job"] == row.job_id
    for name in ("spec", "metrics", "data_sha256", "environment"):
        assert version[name] == getattr(row, name)
    assert (version["model"], version["version"], version["active"]) == ("default", 1, True)
    for name, link in version["links"].items():
        if name not in ("predict", "activate", "job"):
            assert client.get(link).status_code == 200, name


# ---- params ----


@pytest.mark.parametrize(
    "path", ["/params", "/models/default/params", "/models/default/versions/1/params"]
)
def test_parameters_stand_beside_the_truth_and_the_optimum(
    steady_client: Client, path: str
) -> None:
    assert steady_client.get(path).json() == {
        "model": "default",
        "version": 1,
        "architecture": {"kind": "linear"},
        "feature_names": ["x"],
        "target_names": ["y"],
        "categories": {},
        "columns": ["x"],
        "state_dict": {"linear_layer.weight": [[2.0]], "linear_layer.bias": [1.0]},
        "units": "raw",
        "weight": 2.0,
        "bias": 1.0,
        "truth": {"weight": 0.7, "bias": 0.3},
        "least_squares": {"weight": 0.7, "bias": 0.3, "gap": None},
    }


SHAPES: list[tuple[Any, Any, Any]] = [
    (line([0.5, 2.0], 0.25), [0.5, 2.0], 0.25),
    (line([[0.5], [2.0]], [0.25, 1.0]), [[0.5], [2.0]], [0.25, 1.0]),
    (line([[0.5, 1.0], [2.0, 3.0]], [0.25, 1.0]), [[0.5, 1.0], [2.0, 3.0]], [0.25, 1.0]),
    (mlp(), None, None),
]


@pytest.mark.parametrize(("bundle", "weight", "bias"), SHAPES)
def test_parameters_have_the_shape_of_the_model(
    client: Client, place: Place, bundle: Any, weight: Any, bias: Any
) -> None:
    place.publish(bundle, model="shapes", truth=None)
    params = client.get("/models/shapes/params").json()
    assert (params["weight"], params["bias"], params["truth"]) == (weight, bias, None)
    assert params["state_dict"].keys() == bundle.state.keys()


def test_the_reason_is_told_where_there_are_no_parameters(
    empty_client: Client, place: Place
) -> None:
    check_problem(empty_client.get("/params"), 503, "not_ready")
    check_problem(empty_client.get("/models/nobody/params"), 404, "model_not_found")
    place.publish(model="idle", active=False)
    check_problem(empty_client.get("/models/idle/params"), 503, "not_ready")


def test_parameters_that_no_float32_holds_in_raw_units_make_nobody_stumble(
    client: Client, place: Place
) -> None:
    # x within 1e-10, y within 1e30: each prediction is fine, the slope is 1e40.
    def numbers(*values: float) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64)

    steep = line(1.0, 0.0, scaling=Scaling(numbers(0), numbers(1e-10), numbers(0), numbers(1e30)))
    place.publish(steep, model="steep")
    until(lambda: client.parts.pool.active("steep"), "the new model")
    predicted = client.post("/models/steep/predict", {"x": 1e-10}).json()["y"]
    assert predicted == pytest.approx([1e30])
    params = client.get("/models/steep/params")
    assert params.status_code == 200
    assert params.json()["weight"] is None
    assert params.json()["state_dict"]["linear_layer.weight"] == [[None]]


# ---- downloads ----


@pytest.mark.parametrize(("model", "count"), [("default", 1), ("two", 2)])
def test_a_state_dict_loads_where_the_tutorial_loads_it(
    steady_client: Client, model: str, count: int
) -> None:
    here = f"/models/{model}/versions/1/state_dict"
    pth, safetensors = (steady_client.get(f"{here}.{kind}") for kind in ("pth", "safetensors"))
    layer = torch.nn.Linear(count, 1)
    module = torch.nn.ModuleDict({"linear_layer": layer})
    for answer, state in (
        (pth, torch.load(io.BytesIO(pth.content), weights_only=True)),
        (safetensors, safetensors_load(safetensors.content)),
    ):
        assert answer.headers["content-type"] == "application/octet-stream"
        module.load_state_dict(state)
        assert layer.weight.tolist() == [[2.0, 3.0][:count]]
        assert layer.bias.tolist() == [1.0]
    name = f'attachment; filename="{model}-1.pth"'
    assert pth.headers["content-disposition"] == name


def test_what_is_damaged_cannot_be_downloaded(client: Client, place: Place) -> None:
    place.publish(line(9.0), active=False)
    place.damage(place.artifact_of(2))
    for path in ("state_dict.pth", "state_dict.safetensors", "params"):
        answer = client.get(f"/models/default/versions/2/{path}")
        check_problem(answer, 409, "version_unloadable")


# ---- activate and roll back ----


def test_activation_and_rollback_move_the_pointer(client: Client, place: Place) -> None:
    for weight in (7.0, 8.0):
        place.publish(line(weight))
    wait = {"Prefer": "wait=10"}
    moved = client.post("/models/default/versions/1/activate", headers=wait)
    assert moved.status_code == 200
    assert moved.json() == {
        "model": "default",
        "version": 1,
        "generation": 5,
        "workers": 1,
        "acknowledged": 1,
        "failures": [],
        "links": {
            "version": "/models/default/versions/1",
            "predict": "/models/default/predict",
            "rollback": "/models/default/rollback",
        },
    }
    assert client.post("/predict", {"x": 1}).json()["version"] == 1
    for version in (3, 2, 1):
        back = client.post("/models/default/rollback", headers=wait).json()
        assert (back["version"], back["acknowledged"]) == (version, 1)
        assert client.post("/predict", {"x": 1}).json()["version"] == version
    check_problem(client.post("/models/default/rollback"), 409, "nothing_to_roll_back")


def test_a_wait_does_not_hang_on_a_worker_that_does_not_follow(
    client: Client, place: Place
) -> None:
    with place.database.write() as stores:
        stuck = Worker("elsewhere:8000", 0, 1, 0, None, datetime.now(UTC))
        stores.workers.announce(stuck)
    place.publish(line(7.0), active=False)
    moved = client.post("/models/default/versions/2/activate", headers={"Prefer": "wait=1"})
    assert moved.status_code == 200
    assert (moved.json()["workers"], moved.json()["acknowledged"]) == (2, 1)


def test_a_wait_ends_though_no_bell_tells_it_to(
    client: Client, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bell, "ring", lambda self: None)
    place.publish(line(7.0), active=False)
    moved = client.post("/models/default/versions/2/activate", headers={"Prefer": "wait=30"})
    assert (moved.json()["workers"], moved.json()["acknowledged"]) == (1, 1)


def test_a_wait_ends_when_the_process_begins_to_drain(client: Client, place: Place) -> None:
    with place.database.write() as stores:
        stores.workers.announce(Worker("elsewhere:8000", 0, 1, 0, None, datetime.now(UTC)))
    place.publish(line(7.0), active=False)

    def drain() -> None:
        until(lambda: client.parts.rollout.bell.is_heard, "the request to wait")
        client.parts.draining = True

    draining = threading.Thread(target=drain)
    draining.start()
    before = time.monotonic()
    moved = client.post("/models/default/versions/2/activate", headers={"Prefer": "wait=30"})
    draining.join()
    assert moved.json()["workers"] == 2
    assert time.monotonic() - before < 15


def test_a_version_that_cannot_be_loaded_is_not_activated(client: Client, place: Place) -> None:
    place.publish(line(7.0), active=False)
    place.damage(place.artifact_of(2))
    answer = client.post("/models/default/versions/2/activate")
    check_problem(answer, 409, "version_unloadable")
    assert place.active() == 1


# ---- delete ----


def test_a_version_is_deleted_unless_it_is_active(client: Client, place: Place) -> None:
    place.publish(line(7.0))
    check_problem(client.request("DELETE", "/models/default/versions/2"), 409, "version_active")
    answer = client.request("DELETE", "/models/default/versions/1")
    assert (answer.status_code, answer.content) == (204, b"")
    check_problem(client.get("/models/default/versions/1"), 404, "version_not_found")
    again = client.request("DELETE", "/models/default/versions/1")
    check_problem(again, 404, "version_not_found")
    check_problem(client.post("/models/default/rollback"), 409, "nothing_to_roll_back")
