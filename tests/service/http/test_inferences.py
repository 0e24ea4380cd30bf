"""Inferences on the plain road: however they come, and whoever else asks, each is answered once."""

from __future__ import annotations

import json
import secrets
import struct
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ml.predictor import Floats, Predictor
from service.http.tensors import MAX_JSON_BYTES, MAX_KNOWN, Tensors
from service.schemas.v2 import InferRequest
from service.serving.light import INLINE_PRODUCTS, INLINE_TENSOR_BYTES
from service.settings import Settings
from tests.service.http.conftest import publish_all
from tests.service.http.speaking import (
    UNHEARD_OF,
    Answer,
    Line,
    Serving,
    infer,
    post,
    post_ordinary,
    serving,
)
from tests.service.making import Place, line
from tests.waiting import until

PREDICTION = post(b'{"x":[0.5,0.6]}')
ROUTE = "/v2/models/{model}/infer"


@pytest.fixture
def server(place: Place, settings: Settings) -> Iterator[Serving]:
    publish_all(place)
    place.publish(line([[float(i)] for i in range(60)], [0.0] * 60), model="many")
    with serving(settings.model_copy(update={"max_predict_rows": 200_000})) as started:
        yield started


@pytest.fixture
def line_(server: Serving) -> Iterator[Line]:
    for request in (PREDICTION, SMALL, BARE, AS_JSON):
        server.ask(request)
    with server.line() as opened:
        yield opened


def asked(values: np.ndarray, **others: Any) -> bytes:
    size = {"binary_data_size": values.nbytes}
    given = {"name": "x", "shape": list(values.shape), "datatype": "FP32", "parameters": size}
    return json.dumps({**others, "inputs": [given]}).encode()


def in_bytes(
    values: np.ndarray, model: str = "default", headers: bytes = b"", **others: Any
) -> bytes:
    """A tensor in, and a tensor out."""
    header = asked(values, **others, parameters={"binary_data_output": True})
    return infer(header, values.tobytes(), model, headers=headers)


def column(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(0, 10, (rows, 1)).astype(np.float32)


SMALL = in_bytes(column(3))
BARE = infer(b"", struct.pack("<2f", 1, 2), length=0)
AS_JSON = infer(b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[0.5]}]}')
BAD = infer(asked(column(3)), b"")
LARGE = column(100_000)
"""Comes in several pieces, and is light."""


def y_of(answer: Answer) -> np.ndarray:
    assert answer.status == 200, answer.body
    length = answer.header("inference-header-content-length")
    assert length is not None
    return np.frombuffer(answer.body[int(length) :], np.float32)


def send_in_parts(line_: Line, request: bytes, size: int) -> None:
    for begin in range(0, len(request), size):
        line_.send(request[begin : begin + size])
        time.sleep(0.001)


# ---- however they come ----


@pytest.mark.parametrize(
    "request_", [SMALL, BARE, AS_JSON, BAD], ids=["small", "bare", "json", "bad"]
)
def test_a_request_may_be_cut_anywhere(line_: Line, request_: bytes) -> None:
    whole = line_.ask(request_)
    for place in range(1, len(request_)):
        line_.send(request_[:place])
        if place % 3 == 0:
            time.sleep(0.002)
        assert line_.ask(request_[place:]).told == whole.told, place


def test_a_request_may_come_byte_by_byte(line_: Line) -> None:
    whole = line_.ask(SMALL)
    for byte in SMALL:
        line_.send(bytes([byte]))
    assert line_.read().told == whole.told


@pytest.mark.parametrize("size", [1_000, 65_536, 10**6])
def test_a_large_tensor_takes_the_plain_road_in_pieces(
    server: Serving, line_: Line, size: int
) -> None:
    wanted = line_.ask(in_bytes(LARGE, headers=UNHEARD_OF))
    line_.ask(in_bytes(LARGE))
    for _ in range(3):
        before = server.plain
        send_in_parts(line_, in_bytes(LARGE), size)
        assert line_.read().told == wanted.told
        assert server.plain == before + 1
    np.testing.assert_array_equal(y_of(wanted), (LARGE[:, 0] * np.float32(0.7)) + np.float32(0.3))


@pytest.mark.parametrize(
    "request_",
    [
        in_bytes(column(INLINE_TENSOR_BYTES // 4 + 1)),
        in_bytes(column(INLINE_PRODUCTS // 120 + 1), "many"),
        infer(b'{"inputs":[]}' + b" " * 20_000),
    ],
    ids=["bytes", "products", "json"],
)
def test_what_is_not_light_is_not_held(server: Serving, line_: Line, request_: bytes) -> None:
    wanted = line_.ask(request_)
    before = server.plain
    assert line_.ask(request_).told == wanted.told
    line_.send(request_[:-1])
    everyone = server.server.connections._open
    until(lambda: any(each.is_receiving for each in everyone), "its bytes")
    (mine,) = [each for each in everyone if each.is_receiving]
    assert mine._held is None  # type: ignore[attr-defined]
    assert line_.ask(request_[-1:]).told == wanted.told
    assert server.plain == before


def test_a_heavy_model_is_answered_beside_the_loop(
    server: Serving, line_: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = server.parts.pool.active("default")
    assert served is not None
    monkeypatch.setattr(served.predictor, "probe_seconds", 1.0)
    before, wanted = server.plain, line_.ask(SMALL)
    assert wanted.status == 200
    assert server.plain == before


@pytest.mark.parametrize("parts", [1, 2, 7, 40])
def test_requests_of_all_kinds_are_answered_in_order(
    server: Serving, line_: Line, parts: int
) -> None:
    mix = [SMALL, PREDICTION, BAD, post_ordinary(b'{"x":[1.5]}'), BARE, AS_JSON, SMALL, PREDICTION]
    alone = [server.ask(request).told for request in mix]
    data = b"".join(mix)
    for _ in range(3):
        send_in_parts(line_, data, len(data) // parts + 1)
        assert [line_.read().told for _ in mix] == alone


def test_a_client_that_does_not_wait_is_answered_in_order(server: Serving, line_: Line) -> None:
    mix = [PREDICTION, SMALL, PREDICTION, BARE, post_ordinary(b'{"x":[1.5]}'), SMALL, AS_JSON]
    alone = [server.ask(request).told for request in mix]
    with server.held():
        for request in mix:
            line_.send(request)
    assert [line_.read().told for _ in mix] == alone


@pytest.mark.parametrize("request_", [SMALL, BAD, in_bytes(LARGE)])
@pytest.mark.parametrize("missing", [0, 1, 5])
def test_a_client_that_has_ended_its_side_is_answered(
    server: Serving, request_: bytes, missing: int
) -> None:
    server.ask(request_)
    with server.line() as other:
        other.send(request_[: len(request_) - missing])
        other.socket.shutdown(1)
        if not missing:
            assert other.read().status in (200, 400)
        assert other.is_ended()


def test_a_client_that_takes_no_answers_is_waited_for(server: Serving, line_: Line) -> None:
    """60 columns of answers for one of questions; without a bound they would fill the memory."""
    x = column(15_000)
    header = asked(x, parameters={"binary_data_output": True})
    request = infer(header, x.tobytes(), "many")
    wanted = line_.ask(request)
    before = server.plain
    assert line_.ask(request).told == wanted.told
    assert server.plain == before + 1
    for _ in range(12):
        line_.send(request)
        time.sleep(0.05)
    assert server.plain - before < 6, "the others wait in the application"
    for _ in range(12):
        assert line_.read().told == wanted.told


# ---- what is counted, and told ----


def test_they_are_counted_as_on_the_ordinary_road(server: Serving) -> None:
    def counts() -> tuple[list[float], list[str]]:
        totals = server.parts.metrics.totals("two", 1)
        page = server.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").body.decode()
        lines = [text for text in page.splitlines() if f'route="{ROUTE}"' in text]
        counted = [text for text in lines if "status=" in text or "_count" in text]
        return [totals.requests, totals.rows, totals.passes, totals.errors], counted

    x = np.ones((7, 2), np.float32)
    server.ask(in_bytes(x, "two"))
    told = []
    for headers in (UNHEARD_OF, b""):
        before, plain = counts()[0], server.plain
        for _ in range(2):
            server.ask(in_bytes(x, "two", headers))
        server.ask(infer(asked(x), b"", "two", headers=headers))
        after, lines = counts()
        told.append([b - a for a, b in zip(before, after, strict=True)])
        assert server.plain - plain == (0 if headers else 2)
    assert told == [[2, 14, 2, 1]] * 2
    assert any(f'status="200"}} {5.0}' in text for text in lines), lines
    assert any(f'status="400"}} {2.0}' in text for text in lines), lines
    last = server.parts.metrics.totals("two", 1).last
    assert abs(time.time() - last) < 60


def test_ids_and_traces_come_back(server: Serving, line_: Line) -> None:
    trace, span = secrets.token_hex(16).encode(), secrets.token_hex(8).encode()
    headers = b"X-REQUEST-ID: my.own_id-1\r\nTraceparent: 00-%b-%b-00\r\n" % (trace, span)
    before = server.plain
    answer = line_.ask(in_bytes(column(3), headers=headers))
    assert server.plain == before + 1
    assert answer.told == line_.ask(in_bytes(column(3), headers=headers + UNHEARD_OF)).told
    assert answer.header("x-request-id") == "my.own_id-1"
    assert (answer.header("traceparent") or "").split("-")[1] == trace.decode()
    own = {line_.ask(SMALL).header("x-request-id") for _ in range(10)}
    assert len(own) == 10


def test_a_bug_in_a_module_is_told_as_by_the_application(
    server: Serving, line_: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(predictor: Predictor, x_NF: np.ndarray, dtype: Floats = None) -> np.ndarray:
        raise RuntimeError("unlucky")

    wanted = line_.ask(SMALL)
    with monkeypatch.context() as patched:
        patched.setattr(Predictor, "predict_array", stumble)
        answer = line_.ask(SMALL)
        assert (answer.status, json.loads(answer.body)["code"]) == (500, "internal_error")
    assert line_.ask(SMALL).told == wanted.told


def test_a_new_version_answers_on_the_same_connection(
    server: Serving, line_: Line, place: Place
) -> None:
    line_.send(SMALL[:-4])
    place.publish(line(5.0, 0.0))
    until(lambda: server.ask(SMALL).header("refit-version") == "2", "version 2")
    answer = line_.ask(SMALL[-4:])
    assert answer.header("refit-version") == "2"
    np.testing.assert_array_equal(y_of(answer), column(3)[:, 0] * 5)


def test_while_it_drains_those_that_come_are_answered_and_closed(server: Serving) -> None:
    server.ask(SMALL)
    kept = [server.line() for _ in range(3)]
    for other, part in zip(kept, (len(SMALL) - 1, 0, len(SMALL) - 9), strict=True):
        wanted = other.ask(SMALL)
        other.send(SMALL[:part])
    until(lambda: sum(c.is_receiving for c in server.server.connections._open) == 2, "the parts")
    server.loop.call_soon_threadsafe(server.server.connections.drain)
    until(lambda: server.server.connections.draining, "the drain")
    for other, part in zip(kept, (len(SMALL) - 1, 0, len(SMALL) - 9), strict=True):
        answer = other.ask(SMALL[part:])
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert answer.body == wanted.body
        assert other.is_ended()
        other.socket.close()


# ---- what is remembered ----


def learned(header: bytes) -> Tensors:
    tensors = Tensors()
    learn(tensors, header)
    return tensors


def learn(tensors: Tensors, header: bytes) -> None:
    tensors.learn(header, InferRequest.model_validate_json(header))


def test_the_json_before_one_tensor_is_remembered_without_its_id() -> None:
    tensors = learned(asked(column(2), id="a"))
    assert len(tensors) == 1
    for name in ("b", ""):
        found = tensors.find(asked(column(2), id=name))
        assert found is not None
        assert found.request_id == name
    bare = tensors.find(asked(column(2)))
    assert bare is not None
    assert bare.request_id is None
    assert tensors.find(asked(column(3))) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"datatype": "FP64"},
        {"datatype": "INT32"},
        {"name": "other"},
        {"shape": [2, 1, 1]},
        {"shape": []},
        {"shape": [3, 1]},
        {"parameters": {}},
        {"parameters": None},
        {"data": [1.0, 2.0], "parameters": None},
        {"name": "x" * MAX_JSON_BYTES},
    ],
)
def test_other_json_is_not_remembered(changes: dict[str, Any]) -> None:
    (given,) = json.loads(asked(column(2)))["inputs"]
    assert len(learned(json.dumps({"inputs": [given]}).encode())) == 1
    assert len(learned(json.dumps({"inputs": [{**given, **changes}]}).encode())) == 0


def test_json_before_several_tensors_is_not_remembered() -> None:
    """A model of categories may have answered it."""
    (given,) = json.loads(asked(column(2)))["inputs"]
    other = {"name": "c", "shape": [2], "datatype": "BYTES", "data": ["red", "red"]}
    assert len(learned(json.dumps({"inputs": [given, other]}).encode())) == 0


def test_what_is_remembered_is_bounded() -> None:
    tensors = Tensors()
    for rows in range(1, MAX_KNOWN + 10):
        learn(tensors, asked(np.empty((rows, 1), np.float32)))
    assert 0 < len(tensors) < 20


def test_known_json_is_not_parsed_again(
    server: Serving, line_: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line_.ask(in_bytes(column(4), id="1"))
    line_.ask(in_bytes(column(4), id="1"))
    monkeypatch.setattr("service.http.inferences.infer", None)
    before = server.plain
    assert line_.ask(in_bytes(column(4), id="2")).status == 200
    assert server.plain == before + 1
