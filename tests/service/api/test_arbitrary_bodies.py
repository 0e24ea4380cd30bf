"""Whatever is sent: an answer of the contract, and never a 5xx."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.settings import Settings
from tests.service.api.driving import Client, check_problem, speaking_to
from tests.service.making import Place, line

patient = hypothesis_settings(
    deadline=None,
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

ODD: list[Any] = [
    None,
    True,
    False,
    "",
    "1",
    "line",
    "points",
    "active",
    "\ud800",
    "\x00",
    0,
    -1,
    1,
    2,
    0.5,
    -0.0,
    2**31,
    2**63,
    10**400,
    3.5e38,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    [1, 2, 3],
    [[1, 2], [3, 4]],
    {"source": "points"},
    {"kind": "mlp"},
]

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)

TRAIN: dict[str, Any] = {
    "data": {"source": "points", "x": [[1, 2], [3, 4], [5, 6]], "y": [1, 2, 3]},
    "split": {"train": 0.8, "validation": 0, "shuffle": False},
    "architecture": {"kind": "mlp", "hidden": [3, 4], "activation": "relu", "dropout": 0},
    "loss": "l1",
    "optimizer": {"kind": "sgd", "lr": 0.01, "momentum": 0},
    "epochs": 10,
    "batch_size": 2,
    "evaluate_every": 1,
    "seed": 42,
    "standardize": False,
    "early_stopping": {"patience": 3, "min_delta": 0},
    "start_from": "scratch",
    "promote": "never",
}
INFER: dict[str, Any] = {
    "id": "42",
    "parameters": {"sequence_id": 1},
    "inputs": [
        {
            "name": "x",
            "shape": [2, 2],
            "datatype": "FP32",
            "parameters": {"content_type": "np"},
            "data": [[1, 2], [3, 4]],
        }
    ],
    "outputs": [{"name": "y", "parameters": {"binary_data": False}}],
}
PREDICT: dict[str, Any] = {"x": [[1, 2], [3, 4]], "rows": [{"a": 1, "b": 2}]}


@st.composite
def changed(draw: st.DrawFn, original: dict[str, Any]) -> Any:
    """``original`` with fields taken away, and odd values put at random places."""
    document = copy.deepcopy(original)
    for name in draw(st.sets(st.sampled_from(sorted(original)))):
        del document[name]
    for _ in range(draw(st.integers(0, 3))):
        here: Any = document
        while True:
            keys = [*here, "unknown"] if isinstance(here, dict) else [*range(len(here))]
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            deeper = isinstance(here, list) or key in here
            if deeper and isinstance(here[key], dict | list) and draw(st.booleans()):
                here = here[key]
                continue
            here[key] = copy.deepcopy(draw(st.sampled_from(ODD) | JSON_VALUES))
            break
    return document


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def check(answer: httpx.Response, *fine: int) -> None:
    if answer.status_code in fine:
        assert answer.headers["content-type"].startswith("application/json")
        return
    assert 400 <= answer.status_code < 500
    check_problem(answer, answer.status_code, answer.json()["code"])


@pytest.fixture
def roomy(place: Place, settings: Settings) -> Iterator[Client]:
    """A service whose queue does not fill."""
    place.publish(line(2.0, 1.0))
    with speaking_to(settings.model_copy(update={"max_queued_jobs": 10**6})) as client:
        yield client


@patient
@given(body=st.binary(max_size=300) | JSON_VALUES.map(as_json) | changed(TRAIN).map(as_json))
def test_no_body_makes_train_stumble(roomy: Client, body: bytes) -> None:
    check(roomy.post("/train", body), 202)


@patient
@given(body=st.binary(max_size=300) | JSON_VALUES.map(as_json) | changed(PREDICT).map(as_json))
def test_no_body_makes_predict_stumble(steady_client: Client, body: bytes) -> None:
    for road in ("/predict", "/models/two/predict", "/models/two/versions/1/predict"):
        check(steady_client.post(road, body), 200)


@patient
@given(body=st.binary(max_size=300) | JSON_VALUES.map(as_json) | changed(INFER).map(as_json))
def test_no_body_makes_v2_stumble(steady_client: Client, body: bytes) -> None:
    for road in ("/v2/models/two/infer", "/v2/repository/index"):
        check(steady_client.post(road, body), 200)


@patient
@given(body=st.binary(max_size=200), header=st.binary(max_size=50), kind=st.binary(max_size=30))
def test_no_header_makes_a_route_stumble(
    steady_client: Client, body: bytes, header: bytes, kind: bytes
) -> None:
    headers = {
        "Content-Type": kind,
        "Prefer": header,
        "Idempotency-Key": header,
        "X-Request-Id": header,
        "Last-Event-ID": header,
        "Accept": header,
    }
    for road in ("/predict", "/models/two/versions/1/activate", "/nowhere"):
        answer = steady_client.request("POST", road, content=body, headers=headers)
        assert answer.status_code in (200, 404, 415, 422)


@patient
@given(name=st.text(max_size=70), number=st.text(max_size=30))
def test_no_address_makes_a_route_stumble(steady_client: Client, name: str, number: str) -> None:
    name, number = (quote(text, safe="", errors="surrogatepass") for text in (name, number))
    for path in (
        f"/models/{name}",
        f"/models/{name}/versions/{number}",
        f"/models/two/versions/{number}/params",
        f"/jobs/{name}",
        f"/jobs?after={number}&limit={name}&state={name}&model={name}",
        f"/models?after={name}",
        f"/{name}/{number}",
    ):
        answer = steady_client.get(path)
        assert answer.status_code in (200, 404, 405, 422)


@pytest.mark.parametrize("key", ["\ud800", "\x00", "é", "__class__", "x" * 10_000])
def test_odd_names_of_features_are_refused_as_unknown(steady_client: Client, key: str) -> None:
    answer = steady_client.post("/predict", as_json({"rows": [{key: 1}]}))
    assert answer.status_code == 422
    assert answer.content.isascii()
