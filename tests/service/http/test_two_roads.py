"""One set of rules: whatever is asked, both roads give the same bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.http.conftest import MODELS
from tests.service.http.numbers_told import BAD, NUMBERS
from tests.service.http.speaking import Asker, Serving, post, post_ordinary

numbers = (
    st.sampled_from(NUMBERS)
    | st.floats(allow_nan=False, allow_infinity=False).map(json.dumps)
    | st.floats(width=32, allow_nan=False, allow_infinity=False).map(json.dumps)
    | st.floats(-100, 100).map(json.dumps)
    | st.integers().map(str)
)
cells = st.one_of(*[numbers] * 12, st.sampled_from(BAD))
SPACE = st.sampled_from([""] * 12 + [" ", "\n", "\t", "\r\n", "\u00a0", "\f", "  "])


@st.composite
def lists(draw: st.DrawFn, cell: st.SearchStrategy[str], most: int = 6) -> str:
    items = draw(st.lists(cell, max_size=most))
    return "[" + draw(SPACE) + ("," + draw(SPACE)).join(items) + draw(SPACE) + "]"


@st.composite
def rows(draw: st.DrawFn) -> str:
    width = draw(st.integers(0, 4))
    row = st.lists(cells, min_size=width, max_size=width).map(lambda x: "[" + ",".join(x) + "]")
    return draw(lists(row))


@st.composite
def named(draw: st.DrawFn) -> str:
    names = draw(st.sampled_from([("x",), ("a", "b"), ("b", "a"), ("x1", "x2", "x3"), ("c",)]))
    row = st.tuples(*[cells] * len(names)).map(
        lambda x: "{" + ",".join(f'"{n}":{v}' for n, v in zip(names, x, strict=True)) + "}"
    )
    return draw(lists(row))


EXTRAS = [
    *[""] * 30,
    *(',"explain":true', ',"explain":false', ',"explain":null', ',"explain":1', ',"y":1', ',"":0'),
    *(',"x":1', ',"x":null', ',"x":[2.5]', ',"rows":null', ',"rows":[]', ',"X":1', ",", ',"x"'),
]
KEYS = ['"x"'] * 20 + ['"\\u0078"', '"X"', "x", '"x "', '"x\\u0000"', '"rows"', "'x'", '"\\ud800"']
ENDS = [b""] * 20 + [b" ", b"\n", b"x", b"{}", b"\x00", b",", b"\xff", b"\xef\xbb\xbf"]
STARTS = [b""] * 20 + [b" ", b"\r\n", b"\xef\xbb\xbf", b"\x00", b"[", b"\xff\xfe"]


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    value = draw(st.one_of(cells, lists(cells), lists(cells, 60), rows(), named()))
    key = (
        '"rows"' if value.startswith("[{") and draw(st.booleans()) else draw(st.sampled_from(KEYS))
    )
    space = draw(SPACE)
    text = (
        "{" + space + key + space + ":" + draw(SPACE) + value + draw(st.sampled_from(EXTRAS)) + "}"
    )
    body = draw(st.sampled_from(STARTS)) + text.encode() + draw(st.sampled_from(ENDS))
    if draw(st.integers(0, 19)) == 0:
        body = body[: draw(st.integers(0, len(body)))]
    if body and draw(st.integers(0, 19)) == 0:
        place = draw(st.integers(0, len(body) - 1))
        body = body[:place] + bytes([draw(st.integers(0, 255))]) + body[place + 1 :]
    return body


WHOLE = [
    *(
        b"",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"{",
        b"\x00",
        b'{"x":' + b"[" * 500 + b"1" + b"]" * 500,
    ),
    *(b'{"x":' + b"[" * 3000, b'{"x":' * 3000, b'{"x":' + b"1," * 5000 + b"1}"),
    *(b'{"x":[' + b",".join([b"1.5"] * count) + b"]}" for count in (1, 49, 50, 51, 4000)),
    *(b'{"x":[' + b",".join([b"[1.5,2]"] * count) + b"]}" for count in (1, 49, 50, 51, 2000)),
    *(b'{"rows":[' + b",".join([b'{"a":1,"b":2}'] * count) + b"]}" for count in (1, 50, 51)),
    *(b'{"rows":[{"a":1,"a":2,"b":3}]}', b'{"rows":[{"a":1,"b":2,"c":3}]}', b'{"rows":[{}]}'),
    b'{"x":0.5,"' + b"y" * 3000 + b'":1}',
]


def path_of(model: str) -> str:
    return "/predict" if model == "default" else f"/models/{model}/predict"


@settings(max_examples=1200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=bodies(), model=st.sampled_from(MODELS))
def test_both_roads_give_the_same_bytes(asker: Asker, body: bytes, model: str) -> None:
    answer, _ = asker.compare(body, path_of(model))
    assert answer.status in (200, 422)


@pytest.mark.parametrize("model", MODELS)
def test_both_roads_give_the_same_bytes_for_every_form_of_a_number(
    asker: Asker, model: str
) -> None:
    plain = 0
    for cell in [*NUMBERS, *BAD]:
        for form in ('{"x":%s}', '{"x":[%s]}', '{"x":[[%s]]}', '{"x":[[1,%s]]}', '{"x":[1,%s]}'):
            answer, was_plain = asker.compare((form % cell).encode(), path_of(model))
            assert answer.status == 200 or not was_plain
            plain += was_plain
    assert plain >= (0 if model in ("painted", "wide") else 30)


@pytest.mark.parametrize("model", MODELS)
def test_both_roads_give_the_same_bytes_for_odd_bodies(asker: Asker, model: str) -> None:
    for body in WHOLE:
        asker.compare(body, path_of(model))


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("default", b'{"x":0.5}'),
        ("default", b'{"x":5}'),
        ("default", b' { "x" : [ 1, 2.5 ] } \n'),
        ("two", b'{"x":[[1,2],[3,4]]}'),
        ("wide", b'{"x":[[1,2,3]]}'),
        ("mlp", b'{"x":0.5}'),
        ("scaled", b'{"x":[0.5]}'),
        ("many.of_them-1", b'{"x":0.5}'),
    ],
)
def test_what_is_plain_takes_the_plain_road(asker: Asker, model: str, body: bytes) -> None:
    answer, was_plain = asker.compare(body, path_of(model))
    assert (answer.status, was_plain) == (200, True)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asked=st.lists(st.tuples(bodies(), st.sampled_from(MODELS)), min_size=2, max_size=12))
def test_answers_of_one_turn_are_those_that_each_would_get_alone(
    server: Serving, asker: Asker, asked: list[tuple[bytes, str]]
) -> None:
    # The MLP's last bits may differ with its company (`Predictor`).
    asked = [(body, "two" if model == "mlp" else model) for body, model in asked]
    alone = []
    for body, model in asked:
        alone.append(asker.ask(post_ordinary(body, path_of(model))))
        asker.ask(post(body, path_of(model)))
    lines = [server.line() for _ in asked]
    with server.held():
        for line, (body, model) in zip(lines, asked, strict=True):
            line.send(post(body, path_of(model)))
    for line, one in zip(lines, alone, strict=True):
        assert line.read().told == one.told
        line.socket.close()
