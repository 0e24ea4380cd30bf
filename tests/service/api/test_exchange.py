"""Models in and out over HTTP: POST a version, GET an artifact."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import save as safetensors_save

import service.artifacts.local
from ml.data.scaling import Range, Scaling
from ml.exchange.onefile import pack, unpack
from ml.models.build import build_model
from ml.spec.model import MlpSpec
from service.registry.importing import WARNING
from tests.service.api.driving import Client, check_problem, pointers, speaking_to
from tests.service.making import Place, line, mlp, predicted
from tests.waiting import until

FILE = {"Content-Type": "application/octet-stream"}
LINEAR = {"linear_layer.weight": torch.tensor([[2.0]]), "linear_layer.bias": torch.tensor([0.5])}
HOUSE = {
    "architecture": {"kind": "linear"},
    "feature_names": ["area", "rooms"],
    "target_names": ["price"],
    "state_dict": {"linear_layer.weight": [[2.0, 30.0]], "linear_layer.bias": [7.0]},
}


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def send(client: Client, content: bytes, model: str = "brought", **query: str) -> httpx.Response:
    return client.request(
        "POST", f"/models/{model}/versions", content=content, params=query, headers=FILE
    )


# ---- what comes of it ----


def test_a_state_dict_as_json_becomes_a_version_that_answers(client: Client) -> None:
    answer = client.post("/models/house/versions", HOUSE, headers={"Prefer": "wait=10"})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/models/house/versions/1"
    version = answer.json()
    assert version["promotion"] == {"promoted": True, "reason": "first version"}
    assert (version["origin"], version["job"], version["active"]) == ("import", None, True)
    assert (version["metrics"], version["warnings"]) == ({}, [WARNING])
    assert version["spec"]["architecture"] == {"kind": "linear"}
    assert "job" not in version["links"]
    rows = {"rows": [{"area": 10, "rooms": 2}]}
    assert client.post("/models/house/predict", rows).json() == {
        "y": [87.0],
        "model": "house",
        "version": 1,
    }
    told = client.get("/models/house/versions/1").json()
    assert told == {name: value for name, value in version.items() if name != "promotion"}
    for name, link in version["links"].items():
        if name not in ("predict", "activate"):
            assert client.get(link).status_code == 200, name


@pytest.mark.parametrize("architecture", ["linear", '{"kind": "linear"}'])
def test_a_bare_safetensors_file_needs_only_its_architecture(
    client: Client, architecture: str
) -> None:
    answer = send(client, safetensors_save(LINEAR), architecture=architecture)
    assert answer.status_code == 201
    params = client.get("/models/brought/versions/1/params").json()
    assert (params["weight"], params["bias"]) == (2.0, 0.5)
    assert (params["feature_names"], params["target_names"]) == (["x"], ["y"])


def test_the_names_of_several_features_and_targets_are_numbered(client: Client) -> None:
    module = build_model(MlpSpec(hidden=(4,)), 3, 2)
    architecture = '{"kind": "mlp", "hidden": [4]}'
    content = safetensors_save(dict(module.state_dict()))
    assert send(client, content, architecture=architecture).status_code == 201
    params = client.get("/models/brought/versions/1/params").json()
    assert (params["feature_names"], params["target_names"]) == (["x1", "x2", "x3"], ["y1", "y2"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_are_rounded_to_float32(client: Client, dtype: torch.dtype) -> None:
    state = {key: values.to(dtype) for key, values in LINEAR.items()}
    assert send(client, safetensors_save(state), architecture="linear").status_code == 201
    params = client.get("/models/brought/versions/1/params").json()
    assert (params["weight"], params["bias"]) == (2.0, 0.5)


def test_an_artifact_given_out_and_taken_in_predicts_the_same_to_the_bit(
    client: Client, place: Place
) -> None:
    scaling = Scaling(numbers(3.0), numbers(1 / 3), numbers(-1e9), numbers(1e7))
    bundle = line(0.7, 0.3, scaling=scaling)
    bundle = type(bundle)(**{**vars(bundle), "range": Range(numbers(2.5), numbers(3.5))})
    place.publish(bundle, model="source", active=False)
    given = client.get("/models/source/versions/1/artifact")
    assert given.headers["etag"] == f'"{place.artifact_of(1, "source")}"'
    name = 'attachment; filename="source-1.refit.safetensors"'
    assert given.headers["content-disposition"] == name
    assert given.content == pack(bundle)

    taken = send(client, given.content, "target")
    assert taken.status_code == 201
    assert taken.json()["artifact"] == {"sha256": place.artifact_of(1, "source")}
    x = [2.5, 3.0, 3.125]
    answer = client.post("/models/target/versions/1/predict", {"x": x, "explain": True}).json()
    assert answer["y"] == client.post("/models/source/versions/1/predict", {"x": x}).json()["y"]
    assert answer["y"] == pytest.approx(predicted(bundle, x), abs=0)
    assert client.get("/models/target/versions/1/artifact").content == given.content


def test_categories_and_booleans_come_along(client: Client) -> None:
    sent = {
        "architecture": {"kind": "linear"},
        "feature_names": ["colour", "new"],
        "categories": {"colour": ["blue", "red"]},
        "booleans": ["new"],
        "state_dict": {"linear_layer.weight": [[1.0, 10.0, 100.0]], "linear_layer.bias": [0.0]},
    }
    assert client.post("/models/paint/versions", sent).status_code == 201
    rows = {"rows": [{"colour": "red", "new": True}, {"colour": "blue", "new": False}]}
    answer = client.post("/models/paint/versions/1/predict", rows)
    assert answer.json()["y"] == [110.0, 1.0]


def test_batch_norm_counts_its_batches_in_whole_numbers(client: Client) -> None:
    spec = MlpSpec(hidden=(2,), batch_norm=True)
    state = build_model(spec, 1, 1).state_dict()
    sent = {
        "architecture": spec.model_dump(mode="json"),
        "state_dict": {key: values.tolist() for key, values in state.items()},
    }
    assert client.post("/models/norm/versions", sent).status_code == 201
    sent["state_dict"]["hidden.0.norm.num_batches_tracked"] = 1.5
    answer = client.post("/models/norm/versions", sent)
    assert "whole numbers" in check_problem(answer, 422, "invalid_request")["detail"]


# ---- once more, and promotion ----


def test_the_same_artifact_is_the_same_version(client: Client, place: Place) -> None:
    first = client.post("/models/house/versions", HOUSE)
    again = client.post("/models/house/versions", HOUSE)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["location"] == first.headers["location"]
    assert again.json()["promotion"]["promoted"]
    assert client.get("/models/house").json()["versions"] == 1
    other = client.post("/models/other/versions", HOUSE)
    assert (other.status_code, other.json()["version"]) == (201, 1)


def test_a_version_that_serves_is_left_alone_unless_asked(client: Client, place: Place) -> None:
    def promoted(query: str) -> tuple[int, bool, str]:
        sent = client.post(f"/models/default/versions{query}", HOUSE).json()
        return sent["version"], sent["promotion"]["promoted"], sent["promotion"]["reason"]

    kept = (2, False, "version 1 is active: activate this one by name")
    assert promoted("") == kept
    assert promoted("?promote=never") == (2, False, "promote is never")
    assert place.active() == 1
    assert promoted("?promote=always") == (2, True, "promote is always")
    assert place.active() == 2
    assert promoted("?promote=never") == (2, True, "it is the active version already")


def test_the_line_of_the_first_start_makes_room(empty_client: Client, place: Place) -> None:
    place.publish(line(), origin="bootstrap")
    answer = empty_client.post("/models/default/versions", HOUSE)
    reason = "version 1 is the line of the first start"
    assert answer.json()["promotion"] == {"promoted": True, "reason": reason}
    assert place.active() == 2


def test_a_first_version_that_is_not_wanted_active_is_not(client: Client) -> None:
    answer = client.post("/models/house/versions?promote=never", HOUSE)
    assert answer.json()["promotion"] == {"promoted": False, "reason": "promote is never"}
    check_problem(client.post("/models/house/predict", {"x": [[1, 1]]}), 503, "not_ready")


def test_a_training_may_start_from_it(client: Client, training: None) -> None:
    data = {"source": "line", "weight": 2.0, "bias": 0.5}
    sent = safetensors_save(LINEAR)
    assert send(client, sent, architecture="linear").status_code == 201
    asked = {"data": data, "start_from": 1, "epochs": 1}
    here = client.post("/models/brought/train", asked).headers["location"]
    until(lambda: client.get(here).json()["finished_at"], "the end of the training", 120)
    job = client.get(here).json()
    assert job["state"] == "succeeded", job["error"]
    # It starts where the import stands: on the line itself.
    curve = client.get(f"/jobs/{job['id']}/curve").json()["points"]
    assert curve[0]["train_loss"] == pytest.approx(0, abs=1e-6)
    other = client.post("/models/brought/train", {**asked, "architecture": {"kind": "mlp"}})
    assert pointers(other) == ["/start_from"]


# ---- what is refused ----


def refusal(client: Client, content: bytes, **query: str) -> str:
    detail: str = check_problem(send(client, content, **query), 422, "invalid_request")["detail"]
    return detail


def changed(**state: Any) -> bytes:
    return safetensors_save({**LINEAR, **state})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected a safetensors file"),
        (b"\xff" * 100, "expected a safetensors file"),
        (safetensors_save(LINEAR)[:-1], "expected a safetensors file"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00[[[[[[[[", "expected a safetensors file"),
        (safetensors_save({"weight": torch.ones(2)}), "lacks linear_layer.weight, linear"),
        (changed(extra=torch.ones(1)), "1 keys that it does not know"),
        (changed(**{"linear_layer.bias": torch.ones(2)}), "expected torch.float32 of shape (1,)"),
        (changed(**{"linear_layer.bias": torch.tensor([torch.nan])}), "not finite"),
        (
            changed(**{"linear_layer.bias": torch.tensor([1e300], dtype=torch.float64)}),
            "not finite",
        ),
        (changed(**{"linear_layer.bias": torch.tensor([True])}), "got torch.bool"),
        (changed(**{"linear_layer.weight": torch.ones(1, 0)}), "one feature and one target"),
        (changed(**{"linear_layer.weight": torch.ones(2)}), "of shape (1, 1)"),
    ],
)
def test_a_file_that_is_none_or_another_s_is_refused(
    steady_client: Client, content: bytes, words: str
) -> None:
    assert words in refusal(steady_client, content, architecture="linear")


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ("nonsense", "/architecture: expected one of"),
        ("mlp", "holds 2 numbers, fewer than mlp has for 1 features and 1 targets"),
        ("{", "expected a kind, or JSON"),
        ('{"kind": "linear", "depth": 3}', "/architecture/depth: unknown field"),
        ('{"kind": "mlp", "hidden": [0]}', "/architecture/hidden/0"),
        ('{"kind": "linear"}, "feature_names": ["a", "b"]', "expected a kind, or JSON"),
        ("parameters", "lacks weights, bias"),
    ],
)
def test_a_description_that_cannot_be_meant_is_refused(
    steady_client: Client, architecture: str, words: str
) -> None:
    assert words in refusal(steady_client, safetensors_save(LINEAR), architecture=architecture)


def test_a_file_says_what_it_is_exactly_once(steady_client: Client) -> None:
    bare, whole = safetensors_save(LINEAR), pack(line())
    assert "says nothing of itself" in refusal(steady_client, bare)
    assert "says by itself" in refusal(steady_client, whole, architecture="linear")
    answer = steady_client.post("/models/m/versions?architecture=linear", HOUSE)
    assert "in the body" in check_problem(answer, 422, "invalid_request")["detail"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scaling": {"x_mean_F": [0.0]}}, "scaling/x_std_F: this field is required"),
        (
            {"scaling": {"x_mean_F": [0], "x_std_F": [0], "y_mean_T": [0], "y_std_T": [1]}},
            "scaling/x_std_F: expected numbers above 0",
        ),
        (
            {"scaling": {"x_mean_F": [0], "x_std_F": [1, 1], "y_mean_T": [0], "y_std_T": [1]}},
            "scaling.x_std_F: expected 1 numbers, got 2",
        ),
        ({"range": {"x_min_F": [1.0], "x_max_F": [0.0]}}, "range/x_max_F"),
        ({"feature_names": ["a", "a"]}, "feature_names: the names must differ"),
        ({"categories": {"b": ["c"]}}, "categories: category 0 is none of the feature_names"),
        ({"booleans": ["b"]}, "booleans: expected features"),
        ({"colour": 1}, "colour: unknown field"),
    ],
)
def test_what_a_file_says_of_itself_is_looked_into(
    steady_client: Client, change: dict[str, Any], words: str
) -> None:
    told = {"architecture": {"kind": "linear"}, **change}
    content = safetensors_save(LINEAR, {"refit": json.dumps(told)})
    assert words in refusal(steady_client, content)


@pytest.mark.parametrize("text", ["[" * 100_000, "", "null", "[]"])
def test_a_header_that_is_no_description_is_refused(steady_client: Client, text: str) -> None:
    refusal(steady_client, safetensors_save(LINEAR, {"refit": text}))


@pytest.mark.parametrize(
    ("weight", "pointer"),
    [
        ([[2.0], [3.0, 4.0]], "/state_dict/linear_layer.weight/1"),
        ([[True]], "/state_dict/linear_layer.weight/0/0"),
        ([["2"]], "/state_dict/linear_layer.weight/0/0"),
        ([[None]], "/state_dict/linear_layer.weight/0/0"),
        ([[1e39]], "/state_dict/linear_layer.weight/0/0"),
        ([[10**400]], "/state_dict/linear_layer.weight/0/0"),
        ({"a": 1}, "/state_dict/linear_layer.weight"),
        (json.loads("[" * 90 + "1" + "]" * 90), "/state_dict/linear_layer.weight"),
        ([], ""),
        (2.0, ""),
    ],
)
def test_json_that_is_no_tensor_is_refused_with_its_place(
    steady_client: Client, weight: Any, pointer: str
) -> None:
    sent = {**HOUSE, "state_dict": {**HOUSE["state_dict"], "linear_layer.weight": weight}}  # type: ignore[dict-item]
    assert pointers(steady_client.post("/models/m/versions", sent)) == [pointer]


def test_other_types_of_bodies_are_refused(steady_client: Client) -> None:
    answer = steady_client.request(
        "POST", "/models/m/versions", content=b"x", headers={"Content-Type": "text/csv"}
    )
    check_problem(answer, 415, "unsupported_media_type")


@pytest.fixture
def narrow(place: Place) -> Iterator[Client]:
    bounds = {"max_import_bytes": 1000, "max_body_bytes": 500, "max_parameters": 20}
    bounds |= {"max_hidden_units": 5, "max_uploads": 1}
    with speaking_to(place.settings.model_copy(update=bounds)) as client:
        yield client


def test_what_is_too_large_is_refused(narrow: Client) -> None:
    check_problem(send(narrow, b"x" * 1001, architecture="linear"), 413, "too_large")
    check_problem(narrow.post("/models/m/versions", b" " * 501), 413, "too_large")
    wide = {"linear_layer.weight": torch.ones(1, 20), "linear_layer.bias": torch.ones(1)}
    answer = send(narrow, safetensors_save(wide), architecture="linear")
    body = check_problem(answer, 422, "invalid_request")
    assert "more than 20 numbers" in body["errors"][0]["detail"]
    huge = f'{{"kind": "mlp", "hidden": [{10**400}]}}'
    body = check_problem(
        send(narrow, safetensors_save(LINEAR), architecture=huge), 422, "invalid_request"
    )
    # Whether pydantic takes such a number, or the bound refuses it.
    assert body["errors"]


def test_one_model_more_than_may_be_taken_in_at_once_is_told_to_wait(
    narrow: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    add = narrow.parts.importer.add

    def slowly(*arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return add(*arguments)

    monkeypatch.setattr(narrow.parts.importer, "add", slowly)
    answers: list[httpx.Response] = []
    content = safetensors_save(LINEAR)
    first = threading.Thread(
        target=lambda: answers.append(send(narrow, content, architecture="linear"))
    )
    first.start()
    assert begun.wait(30)
    refused = send(narrow, content, architecture="linear")
    check_problem(refused, 429, "too_many_uploads")
    assert refused.headers["retry-after"]
    go_on.set()
    first.join(30)
    assert answers[0].status_code == 201


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [(errno.ENOSPC, 507, "storage_full"), (errno.EROFS, 503, "store_unavailable")],
)
def test_a_disk_that_takes_nothing_is_told(
    client: Client, monkeypatch: pytest.MonkeyPatch, number: int, status: int, code: str
) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise OSError(number, "injected")

    monkeypatch.setattr(service.artifacts.local, "write_durably", refuse)
    check_problem(client.post("/models/house/versions", HOUSE), status, code)
    check_problem(client.get("/models/house"), 404, "model_not_found")
    monkeypatch.undo()
    assert client.post("/models/house/versions", HOUSE).status_code == 201


def test_what_is_damaged_is_not_given_out(client: Client, place: Place) -> None:
    place.publish(line(9.0), active=False)
    place.damage(place.artifact_of(2))
    check_problem(client.get("/models/default/versions/2/artifact"), 409, "version_unloadable")
    check_problem(client.get("/models/no/versions/2/artifact"), 404, "model_not_found")


def test_an_import_mends_a_damaged_artifact(client: Client, place: Place) -> None:
    """The bytes are named by their content, so the same model sent again repairs the files."""
    place.publish(mlp(), active=False)
    content = client.get("/models/default/versions/2/artifact").content
    place.damage(place.artifact_of(2))
    assert send(client, content, "default").status_code == 200
    client.parts.pool._others.clear()
    until(lambda: client.get("/models/default/versions/2/params").status_code == 200, "mended")
    assert unpack(client.get("/models/default/versions/2/artifact").content).described
