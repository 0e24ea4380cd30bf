"""Plain predictions of one turn of the event loop: joined, and none harms another."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import service.api.routes.predict
from ml.predictor import Floats, Predictor
from service.settings import Settings
from tests.service.http.conftest import publish_all
from tests.service.http.speaking import Answer, Line, Serving, post, post_ordinary, serving
from tests.service.making import CPU, Place, line
from tests.waiting import until


@pytest.fixture
def server(place: Place, settings: Settings) -> Iterator[Serving]:
    publish_all(place)
    with serving(settings) as started:
        yield started


def in_one_turn(server: Serving, requests: list[bytes]) -> list[Answer]:
    for request in {*requests}:
        server.ask(request)  # its head is known from here on
    lines = [server.line() for _ in requests]
    with server.held():
        for line_, request in zip(lines, requests, strict=True):
            line_.send(request)
    answers = [line_.read() for line_ in lines]
    for line_ in lines:
        line_.socket.close()
    return answers


class Passes:
    """Counts the rows of each forward pass."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.rows: list[int] = []
        predict = Predictor.predict_array

        def counted(predictor: Predictor, x_NF: np.ndarray, dtype: Floats = None) -> np.ndarray:
            self.rows.append(len(x_NF))
            return predict(predictor, x_NF, dtype)

        patched.setattr(Predictor, "predict_array", counted)


def test_requests_of_one_turn_share_one_forward_pass(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [post(b'{"x":[%d]}' % (i % 10)) for i in range(40)]
    alone = {request: server.ask(request).body for request in requests}
    passes = Passes(monkeypatch)
    lines = [server.line() for _ in requests]
    with server.held():
        for line_, request in zip(lines, requests, strict=True):
            line_.send(request)
    for line_, request in zip(lines, requests, strict=True):
        assert line_.read().body == alone[request]
        line_.socket.close()
    assert sum(passes.rows) <= 40
    assert len(passes.rows) <= 4, passes.rows


def test_a_poison_row_fails_alone(server: Serving) -> None:
    good, poison = (
        post(b'{"x":[1]}', "/models/steep/predict"),
        post(b'{"x":[1e30]}', "/models/steep/predict"),
    )
    answers = in_one_turn(server, [good, good, poison, good, poison, good])
    assert [answer.status for answer in answers] == [200, 200, 422, 200, 422, 200]
    assert json.loads(answers[2].body)["errors"][0]["pointer"] == "/x/0"
    assert len({answer.told for answer in answers}) == 2


def test_a_module_that_fails_in_its_own_way_costs_nobody_an_answer(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = Predictor.predict_array

    def stumble(predictor: Predictor, x_NF: np.ndarray, dtype: Floats = None) -> np.ndarray:
        if (x_NF == 13).any():
            raise RuntimeError("unlucky")
        return predict(predictor, x_NF, dtype)

    good, bad = (
        post(b'{"x":[[1,2]]}', "/models/two/predict"),
        post(b'{"x":[[1,13]]}', "/models/two/predict"),
    )
    monkeypatch.setattr(Predictor, "predict_array", stumble)
    answers = in_one_turn(server, [good, bad, good])
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert json.loads(answers[1].body)["code"] == "internal_error"


def test_requests_of_one_turn_have_ids_of_their_own(server: Serving) -> None:
    answers = in_one_turn(server, [post(b'{"x":1}')] * 30)
    ids = {answer.header("x-request-id") for answer in answers}
    assert len(ids) == 30
    assert all(found is not None and len(found) == 32 for found in ids)


def test_every_request_is_counted_whichever_road_it_takes(server: Serving) -> None:
    metrics, one, many = server.parts.metrics, post(b'{"x":1}'), post(b'{"x":[1,2,3]}')
    before, plain_before = metrics.totals("default", 1), server.server.turn.answered
    server.ask(one)  # the ordinary road: its head is learned
    server.ask(one)
    server.ask(many)
    in_one_turn(server, [one, many, one])
    server.ask(post(b'{"x":[1]}', "/models/default/predict"))
    server.ask(post(b'{"x":true}'))
    totals = metrics.totals("default", 1)
    plain = server.server.turn.answered - plain_before
    # In one turn they are asked once alone first, each of two.
    assert totals.requests - before.requests == 3 + 2 + 3 + 1
    assert totals.rows - before.rows == 1 + 1 + 3 + (1 + 3) + (1 + 3 + 1) + 1
    assert totals.errors - before.errors == 1
    assert 0 < plain < 9
    assert totals.passes - before.passes <= 9
    assert totals.seconds > before.seconds
    page = server.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").body.decode()
    wanted = f'route="/predict",status="200"}} {8.0}'
    assert [line_ for line_ in page.splitlines() if wanted in line_], page[:3000]


def test_requests_of_a_heavy_model_that_share_a_forward_pass_count_one(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, go, rows = Predictor.predict_array, threading.Event(), []

    def slow(predictor: Predictor, x_NF: np.ndarray) -> np.ndarray:
        rows.append(len(x_NF))
        assert go.wait(30)
        return predict(predictor, x_NF)

    monkeypatch.setattr(Predictor, "predict_array", slow)
    monkeypatch.setattr(service.api.routes.predict, "HEAVY_SECONDS", -1)
    metrics, work = server.parts.metrics, server.parts.work
    before = metrics.totals("default", 1)
    lines = [server.line() for _ in range(8)]
    for line_ in lines:
        line_.send(post_ordinary(b'{"x":1}', "/predict"))
    until(lambda: work.in_flight == 8, "all to wait")
    go.set()
    assert {line_.read().status for line_ in lines} == {200}
    for line_ in lines:
        line_.socket.close()
    totals = metrics.totals("default", 1)
    assert rows == [1, 7], "the first alone, at once; the others together"
    assert (totals.requests - before.requests, totals.rows - before.rows) == (8, 8)
    assert totals.passes - before.passes == 2


def test_a_swap_within_a_turn_does_not_mix_versions(server: Serving) -> None:
    """The first request finds version 1, the second one version 2."""
    pool = server.parts.pool
    first = pool.active("default")
    assert first is not None
    second = replace(first, version=2, predictor=Predictor(line(-3.0, 100.0), CPU))
    take, seen = server.server.turn.take, []

    def swapping(connection: Any, head: Any, request: bytes, body_from: int, caller: Any) -> bool:
        taken = take(connection, head, request, body_from, caller)
        seen.append(taken)
        pool.swap(second if len(seen) % 2 else first)
        return taken

    request = post(b'{"x":[2]}')
    server.ask(request)
    server.server.turn.take = swapping  # type: ignore[method-assign]
    answers = in_one_turn(server, [request] * 9)
    pool.swap(first)
    told = [json.loads(answer.body) for answer in answers]
    assert {body["version"] for body in told} == {1, 2}
    for answer, body in zip(answers, told, strict=True):
        assert body["y"] == pytest.approx([1.7 if body["version"] == 1 else 94.0])
        assert answer.header("refit-version") == str(body["version"])


def test_a_new_version_answers_those_that_wait_on_the_same_connection(
    server: Serving, place: Place
) -> None:
    with server.line() as line_:
        assert json.loads(line_.ask(post(b'{"x":[2]}')).body)["version"] == 1
        place.publish(line(5.0, 0.0))
        until(lambda: json.loads(line_.ask(post(b'{"x":[2]}')).body)["version"] == 2, "version 2")


def test_an_answer_that_overflows_alone_is_told_as_by_the_application(server: Serving) -> None:
    request = post(b'{"x":1e30}', "/models/steep/predict")
    first, second = server.ask(request), server.ask(request)
    assert (first.status, first.told) == (422, second.told)
    assert "beyond float32" in json.loads(first.body)["detail"]


def test_a_request_is_never_held_up_for_company(server: Serving) -> None:
    lines: list[Line] = []
    for _ in range(5):
        lines.append(server.line())
        assert lines[-1].ask(post(b'{"x":1}')).status == 200
    for line_ in lines:
        line_.socket.close()
