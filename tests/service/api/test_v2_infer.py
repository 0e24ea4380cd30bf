"""POST /v2/…/infer with JSON."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.routing import Match

from service.api.routes.v2_infer import StraightRoute
from tests.service.api.driving import Client, check_problem, speaking_to
from tests.service.api.test_v2 import PAINTED
from tests.service.api.v2_requests import INFER, json_input
from tests.service.making import Place, line, predicted

TWO = "/v2/models/two/infer"


def refused(answer: Any, code: str = "invalid_request") -> tuple[str, list[str]]:
    """The error of an answer and what its faults point at."""
    body = check_problem(answer, 400, code)
    return body["error"], [fault["pointer"] for fault in body["errors"]]


def test_the_answer_has_the_members_of_the_protocol(client: Client) -> None:
    asked = {"id": "42", "inputs": [json_input([[0.5], [3.0]])], "outputs": [{"name": "y"}]}
    answer = client.post(INFER, asked)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["refit-version"] == "1"
    assert answer.json() == {
        "model_name": "default",
        "model_version": "1",
        "id": "42",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [2.0, 7.0]}],
    }
    # An id is sent back if there was one.
    assert "id" not in client.post(INFER, {"inputs": asked["inputs"]}).json()
    assert client.post(INFER, {**asked, "id": ""}).json()["id"] == ""


def test_it_says_what_predict_says(client: Client, place: Place) -> None:
    bundle = line([0.1, -0.7], 0.3, features=("a", "b"))
    place.publish(bundle, model="fresh", active=True)
    number = place.publish(line([[1.5, 2.5], [0.25, -4]], [0.5, 1.0]), model="fresh", active=False)
    x = [[0.1, 0.2], [1e5, -3.3], [7, 8]]
    for version in ("1", str(number)):
        told = client.post(f"/models/fresh/versions/{version}/predict", {"x": x}).json()["y"]
        flat = [v for row in told for v in (row if isinstance(row, list) else [row])]
        path = f"/v2/models/fresh/versions/{version}/infer"
        answer = client.post(path, {"inputs": [json_input(x, "FP64")]}).json()
        assert answer["model_version"] == version
        assert answer["outputs"][0]["data"] == flat
        assert answer["outputs"][0]["shape"] == [3, 2 if version != "1" else 1]


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 2], [[1, 2], [3, 4]]),
        ([2, 2], [1, 2, 3, 4]),
        ([2, 2], [1.0, 2, 3.0, 4]),
    ],
)
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "INT8", "UINT8", "INT64", "UINT64"])
def test_data_are_nested_or_flat_and_of_any_number_type(
    steady_client: Client, shape: list[int], data: Any, datatype: str
) -> None:
    given = {"name": "x", "shape": shape, "datatype": datatype, "data": data}
    output = steady_client.post(TWO, {"inputs": [given]}).json()["outputs"][0]
    assert (output["shape"], output["data"]) == ([2, 1], [9.0, 19.0])


def test_one_feature_may_be_a_line_of_numbers(steady_client: Client) -> None:
    answer = steady_client.post(INFER, {"inputs": [json_input([1.0, 2.0])]})
    assert answer.json()["outputs"][0]["shape"] == [2, 1]
    error, _ = refused(steady_client.post(TWO, {"inputs": [json_input([1.0, 2.0])]}))
    assert error == "input x: expected shape [-1, 2], got [2]"


def test_a_datatype_is_what_is_computed_with(client: Client, place: Place) -> None:
    # 0.1 as FP32 is another number than as FP64.
    bundle = line(1e7, 0.0)
    place.publish(bundle, model="steep")
    path = "/v2/models/steep/versions/1/infer"
    for datatype, value in (("FP32", 0.10000000149011612), ("FP16", 0.0999755859375)):
        answer = client.post(path, {"inputs": [json_input([[0.1]], datatype)]})
        assert answer.json()["outputs"][0]["data"] == predicted(bundle, [value])


def test_what_other_clients_send_beside_is_taken(steady_client: Client) -> None:
    """Nulls for what is left out, parameters of other servers, the name of the model: as MLServer's
    and KServe's clients and the document of the binary extension have it."""
    asked = {
        "id": None,
        "model_name": "default",
        "model_version": "1",
        "parameters": {"sequence_id": 7, "priority": 1, "timeout": 100, "own": True, "n": None},
        "inputs": [{**json_input([[1.0]]), "parameters": {"content_type": "np", "headers": {}}}],
        "outputs": [{"name": "y", "parameters": {"binary_data": False, "what": "ever"}}],
    }
    assert steady_client.post(INFER, asked).json()["outputs"][0]["data"] == [3.0]
    asked |= {"outputs": None, "parameters": None}
    asked["inputs"] = [{**json_input([[1.0]]), "parameters": None}]
    assert steady_client.post(INFER, asked).json()["outputs"][0]["data"] == [3.0]
    assert steady_client.post(INFER, {**asked, "outputs": []}).json()["outputs"][0]["data"] == [3.0]


ONE = json_input([[1.0]])
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({}, "/inputs", "required"),
    ({"inputs": []}, "/inputs", "at least 1"),
    ({"inputs": [{**ONE, "name": "z"}]}, "/inputs/0/name", "is none of this model: expected x"),
    ({"inputs": [ONE, ONE]}, "/inputs/1/name", "is there twice"),
    ({"inputs": [{**ONE, "shape": [2, 1]}]}, "/inputs/0/data", "shape is [2, 1]"),
    ({"inputs": [{**ONE, "shape": [2, 1], "data": [1]}]}, "/inputs/0/data", "takes 2 elements"),
    ({"inputs": [{**ONE, "shape": [1, 2], "data": [1, 2]}]}, "/inputs/0/data", "shape [-1, 1]"),
    ({"inputs": [{**ONE, "shape": [1, 1, 1], "data": [1]}]}, "/inputs/0/data", "shape [-1, 1]"),
    ({"inputs": [{**ONE, "shape": [], "data": [1]}]}, "/inputs/0/data", "shape [-1, 1]"),
    ({"inputs": [{**ONE, "shape": [0, 1], "data": []}]}, "/inputs/0/data", "at least one row"),
    ({"inputs": [{**ONE, "shape": [-1, 1]}]}, "/inputs/0/shape/0", "greater than or equal to 0"),
    ({"inputs": [{**ONE, "shape": [2**64, 1]}]}, "/inputs/0/shape/0", "less than"),
    ({"inputs": [{**ONE, "shape": [1] * 9}]}, "/inputs/0/shape", "at most 8"),
    ({"inputs": [{**ONE, "shape": [1.5]}]}, "/inputs/0/shape/0", "whole number"),
    ({"inputs": [{**ONE, "datatype": "FP8"}]}, "/inputs/0/datatype", "expected one of"),
    ({"inputs": [{**ONE, "datatype": "fp32"}]}, "/inputs/0/datatype", "expected one of"),
    ({"inputs": [{**ONE, "datatype": "BF16"}]}, "/inputs/0/datatype", "'FP32'"),
    ({"inputs": [{**ONE, "datatype": "BYTES"}]}, "/inputs/0/data/0/0", "takes text, got numbers"),
    ({"inputs": [{**ONE, "data": [["1"]]}]}, "/inputs/0/data/0/0", "takes numbers, got text"),
    ({"inputs": [{**ONE, "data": [[True]]}]}, "/inputs/0/data/0/0", "got true or false"),
    ({"inputs": [json_input([[True]], "BOOL")]}, "/inputs/0/data", "expected numbers such as FP32"),
    ({"inputs": [json_input([["a"]], "BYTES")]}, "/inputs/0/data", "expected numbers such as"),
    ({"inputs": [json_input([1, True])]}, "/inputs/0/data/1", "expected a number, got a boolean"),
    ({"inputs": [json_input([1, None])]}, "/inputs/0/data/1", "expected a number, got null"),
    ({"inputs": [json_input([1, "2"])]}, "/inputs/0/data/1", "expected a number, got a string"),
    ({"inputs": [json_input([[1], [1e39]])]}, "/inputs/0/data/1/0", "within float32"),
    ({"inputs": [json_input([1, 70_000], "FP16")]}, "/inputs/0/data/1", "element 1 is no FP16"),
    ({"inputs": [json_input([1, 1.5], "INT32")]}, "/inputs/0/data/1", "element 1 is no INT32"),
    ({"inputs": [json_input([[1], [256]], "UINT8")]}, "/inputs/0/data/1/0", "is no UINT8"),
    ({"inputs": [json_input([-1], "UINT64")]}, "/inputs/0/data/0", "element 0 is no UINT64"),
    ({"inputs": [json_input([2.0**63], "INT64")]}, "/inputs/0/data/0", "element 0 is no INT64"),
    (
        {"inputs": [{**ONE, "shape": [2, 1], "data": [[1], [1, 2]]}]},
        "/inputs/0/data/1",
        "row 1 has",
    ),
    ({"inputs": [{**ONE, "data": [[[1]]]}]}, "/inputs/0/data/0/0", "expected a number, got a list"),
    ({"inputs": [{**ONE, "data": 1}]}, "/inputs/0/data", "expected a list"),
    ({"inputs": [{**ONE, "data": None}]}, "/inputs/0", "either data or the parameter"),
    ({"inputs": [{**ONE, "dtype": "FP32"}]}, "/inputs/0/dtype", "unknown field"),
    ({"inputs": [{**ONE, "parameters": {"binary_data_size": 4}}]}, "/inputs/0", "either data or"),
    (
        {"inputs": [{**ONE, "data": None, "parameters": {"shared_memory_region": "r"}}]},
        "/inputs/0",
        "shared memory is not supported",
    ),
    (
        {"inputs": [{**ONE, "data": None, "parameters": {"binary_data_size": -1}}]},
        "/inputs/0/parameters/binary_data_size",
        "greater than or equal to 0",
    ),
    ({"inputs": [ONE], "outputs": [{"name": "z"}]}, "/outputs/0/name", "expected the one output y"),
    (
        {"inputs": [ONE], "outputs": [{"name": "y"}, {"name": "y"}]},
        "/outputs/1/name",
        "expected the one output y, once",
    ),
    (
        {"inputs": [ONE], "outputs": [{"name": "y", "parameters": {"classification": 2}}]},
        "/outputs/0/parameters",
        "regression has no classes",
    ),
    (
        {"inputs": [ONE], "outputs": [{"name": "y", "parameters": {"shared_memory_region": "r"}}]},
        "/outputs/0/parameters",
        "shared memory",
    ),
    (
        {"inputs": [ONE], "parameters": {"binary_data_output": "yes"}},
        "/parameters/binary_data_output",
        "true or false",
    ),
    ({"inputs": [ONE], "parameters": {str(i): i for i in range(65)}}, "/parameters", "65 fields"),
    ({"inputs": [ONE], "input": []}, "/input", "unknown field"),
    ({"inputs": [ONE], "id": 42}, "/id", "expected a string"),
]


@pytest.mark.parametrize(("body", "pointer", "words"), WRONG)
def test_what_cannot_be_meant_is_refused_by_name_and_place(
    steady_client: Client, body: dict[str, Any], pointer: str, words: str
) -> None:
    error, found = refused(steady_client.post(INFER, body))
    assert found == [pointer]
    assert words in error


@pytest.mark.parametrize("body", ["", "[]", "{", "nonsense", '{"id": "\\ud800"}', b"\xff"])
def test_what_is_no_request_is_refused(steady_client: Client, body: str | bytes) -> None:
    refused(steady_client.post(INFER, body))


def test_a_prediction_beyond_float32_names_its_row(steady_client: Client) -> None:
    for x, pointer in (([[1], [3e38]], "/inputs/0/data/1"), ([1, 3e38], "/inputs/0/data/1")):
        error, found = refused(steady_client.post(INFER, {"inputs": [json_input(x)]}))
        assert error == ("the prediction for row 1 is beyond float32 (model default, version 1)")
        assert found == [pointer]
    given = {**json_input([[1, 1], [3e38, 3e38]]), "data": [1, 1, 3e38, 3e38]}
    assert refused(steady_client.post(TWO, {"inputs": [given]}))[1] == ["/inputs/0/data"]


def test_other_content_types_are_refused(steady_client: Client) -> None:
    body = '{"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}'
    answer = steady_client.post(INFER, body, headers={"Content-Type": "text/csv"})
    assert (
        "application/octet-stream" in check_problem(answer, 415, "unsupported_media_type")["error"]
    )
    # Without one it is JSON.
    assert steady_client.request("POST", INFER, content=body).status_code == 200


def test_a_body_beyond_the_limit_is_refused(place: Place) -> None:
    place.publish(line())
    settings = place.settings.model_copy(update={"max_body_bytes": 100})
    with speaking_to(settings) as client:
        check_problem(client.post(INFER, "x" * 101), 413, "too_large")


# ---- categories ----


def painted(
    size: Any = ([1.0], [2.0]),
    colour: Any = (["red"], ["blue"]),
    new: Any = ([True], [False]),
) -> dict[str, Any]:
    """Rows of a model with categories."""
    return {
        "inputs": [
            json_input([*size], "FP64", "size"),
            json_input([*colour], "BYTES", "colour"),
            json_input([*new], "BOOL", "new"),
        ]
    }


PAINTED_INFER = "/v2/models/painted/infer"


@pytest.fixture
def painter(place: Place) -> Any:
    place.publish(PAINTED, model="painted")
    with speaking_to(place.settings) as client:
        yield client


def test_a_model_with_categories_takes_an_input_for_each_feature(painter: Client) -> None:
    rows = [
        {"size": 1, "colour": "red", "new": True},
        {"size": 2, "colour": "blue", "new": False},
    ]
    told = painter.post("/models/painted/predict", {"rows": rows}).json()["y"]
    for asked in (painted(), painted(size=(1, 2), colour=("red", "blue"), new=(True, False))):
        answer = painter.post(PAINTED_INFER, asked)
        assert answer.json()["outputs"][0] == {
            "name": "y",
            "datatype": "FP32",
            "shape": [2, 1],
            "data": pytest.approx(told, rel=1e-7),
        }
    numbers = painted()
    numbers["inputs"][0]["datatype"] = "INT32"
    numbers["inputs"][2] = json_input([[1], [0]], "UINT8", "new")
    numbers["inputs"].reverse()
    data = painter.post(PAINTED_INFER, numbers).json()["outputs"][0]["data"]
    assert data == pytest.approx(told, rel=1e-7)


@pytest.mark.parametrize(
    ("asked", "pointer", "words"),
    [
        ({"inputs": painted()["inputs"][:1]}, "/inputs", "missing inputs: colour, new"),
        ({"inputs": [json_input([[1.0]])]}, "/inputs/0/name", "expected size, colour, new"),
        (painted(colour=(["red"],)), "/inputs/1/data", "expected shape [2, 1], as many rows as"),
        (painted(size=([1.0, 2.0],)), "/inputs/0/data", "expected shape [1, 1]"),
        (painted(size=()), "/inputs/0/data", "at least one row"),
        (painted(new=(["a"], ["b"])), "/inputs/2/data/0/0", "BOOL takes true or false, got text"),
    ],
)
def test_features_are_refused_by_name(
    painter: Client, asked: dict[str, Any], pointer: str, words: str
) -> None:
    error, found = refused(painter.post(PAINTED_INFER, asked))
    assert words in error
    assert found == [pointer]


def test_kinds_are_those_of_the_features(painter: Client) -> None:
    for index, given, words in (
        (
            0,
            json_input([["1"], ["2"]], "BYTES", "size"),
            "expected numbers such as FP32, got BYTES",
        ),
        (
            0,
            json_input([[True], [True]], "BOOL", "size"),
            "expected numbers such as FP32, got BOOL",
        ),
        (1, json_input([[1], [2]], "INT8", "colour"), "input colour: expected BYTES, got INT8"),
    ):
        asked = painted()
        asked["inputs"][index] = given
        error, found = refused(painter.post(PAINTED_INFER, asked))
        assert words in error
        assert found == [f"/inputs/{index}/data"]


def test_an_unseen_category_is_refused_in_its_place(painter: Client) -> None:
    for colour, place in ((["red"], ["green"]), "1/0"), (("red", "green"), "1"):
        answer = painter.post(PAINTED_INFER, painted(colour=colour))
        error, found = refused(answer, "unseen_category")
        assert found == [f"/inputs/1/data/{place}"]
        assert "green" not in error
        assert "known are blue, red" in error


def test_the_straight_way_is_for_versions_that_are_loaded(client: Client, place: Place) -> None:
    """The metrics call it by the same route, other methods and models are answered as usual."""
    asked = {"inputs": [json_input([[1.0]])]}
    route = StraightRoute()
    scope = {"type": "http", "method": "POST", "path": INFER, "app": client.app}
    assert route.matches(scope)[0] is Match.FULL
    for other in (
        {"path": "/v2/models/none/infer"},
        {"path": "/v2/models/default/versions/1/infer"},
        {"method": "GET"},
        {"type": "websocket"},
    ):
        assert route.matches({**scope, **other})[0] is Match.NONE, other
    assert client.post(INFER, asked).status_code == 200
    told = client.get("/metrics").text
    assert 'refit_http_requests_total{method="POST",route="/v2/models/{model}/infer"' in told
    refused_get = client.get(INFER)
    assert refused_get.status_code == 405
    assert refused_get.headers["allow"] == "POST"
    check_problem(client.post("/v2/models/none/infer", asked), 404, "model_not_found")
    place.publish(line(0.5, 0.0), active=True)
    client.parts.rollout.step(0.0)
    assert client.post(INFER, asked).json()["model_version"] == "2"
