"""One set of rules for `/v2/…/infer`: whatever is asked, both roads give the same bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.http.conftest import MODELS
from tests.service.http.numbers_told import BAD, NUMBERS
from tests.service.http.speaking import UNHEARD_OF, Asker, Serving, infer

FEATURES = {"two": 2, "wide": 3}
"""Of the models that have more than one."""

CELLS = [0.0, -0.0, 1.0, -1.5, 0.1, 1e-45, 1e30, 1e-8, 16777217.0, 123.456, 3.3e38]
ODD = [float("nan"), float("inf"), -float("inf")]
ROWS = [1, 2, 3, 5, 49, 50]
IDS: list[Any] = ["", "42", "a b", 'say "x"', "\\", "é", "\u2028", "\x7f", "\x00", "\n", "😀", "/"]
IDS += ["x" * 127, "x" * 128, "x" * 129, None]
ODD_IDS: list[Any] = ["\ud800", "\udc00\ud800", 7, True, ["a"]]
SHAPES: list[Any] = [[], [1], [2, 1, 1], [-1, 1], [1.0, 1], ["1", 1], None, 1, [2**64, 1], [0, 0]]
SIZES: list[Any] = [0, -1, 4, 1.0, "4", None, True, 2**70]
DATATYPES: list[Any] = ["FP64", "FP16", "INT32", "UINT8", "BOOL", "BYTES", "fp32", "BF16", None, 1]
INPUT_PARAMETERS: list[dict[str, Any]] = [
    *({"classification": 1}, {"priority": 1}, {"": None}, {"shared_memory_region": None}),
    {"shared_memory_region": "a"},
]
OUTPUTS: list[Any] = [
    *([], None, [{"name": "y"}], [{"name": "y", "parameters": {"classification": 0}}]),
    *([{"name": "y", "parameters": {"binary_data": given}}] for given in (True, False, None)),
]
ODD_OUTPUTS: list[Any] = [
    *([{"name": "z"}], [{"name": "y"}, {"name": "y"}], [{}], {}, "y"),
    *([{"name": "y", "parameters": {"binary_data": given}}] for given in (1, "true")),
    [{"name": "y", "parameters": {"classification": 3}}],
    [{"name": "y", "parameters": {"shared_memory_region": "a", "binary_data": True}}],
]
PARAMETERS: list[Any] = [
    *({"binary_data_output": given} for given in (True, True, False, None)),
    *({}, None, {"sequence_id": 3}),
]
ODD_PARAMETERS: list[Any] = [{"binary_data_output": 1}, [], "binary"]
AGAIN = ["null", '"b"', "7", "[]"]
TWISTS = [
    *("rows", "features", "cells", "name", "shape", "datatype", "size", "input", "member", "more"),
    *("parameters", "outputs", "field", "id", "again", "byte", "end", "behind", "bare", "length"),
]


class Drawn:
    """A request, good but for its twists."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        some = st.sets(st.sampled_from(TWISTS), min_size=1, max_size=2)
        self._twists = draw(some) if draw(st.booleans()) else set()
        self.model = self.one(MODELS)

    def has(self, twist: str) -> bool:
        return twist in self._twists

    def one(self, of: Sequence[Any], odd: Sequence[Any] = (), twist: str = "") -> Any:
        return self._draw(st.sampled_from(odd if self.has(twist) else of))

    def perhaps(self) -> bool:
        return self._draw(st.booleans())

    def tensor(self, index: int) -> tuple[dict[str, Any], bytes]:
        """An input, and what of it is behind the JSON."""
        rows, features = self.one(ROWS, [0, 51], "rows"), FEATURES.get(self.model, 1)
        if self.has("features"):
            features = self.one(range(5))
        cells = st.sampled_from(CELLS) | st.floats(-100, 100, width=32)
        values = self._draw(st.lists(cells, min_size=1, max_size=6))
        if self.has("cells"):
            values[0] = self.one(ODD)
        values = (values * (rows * features))[: rows * features]
        shape = [rows] if features == 1 and self.perhaps() else [rows, features]
        given: dict[str, Any] = {"name": "x", "shape": shape, "datatype": "FP32"}
        content = b""
        if self.perhaps() or self.perhaps():
            content = struct.pack(f"<{len(values)}f", *values)
            given["parameters"] = {"binary_data_size": len(content)}
        elif features and len(shape) == 2 and self.perhaps():
            given["data"] = [values[i : i + features] for i in range(0, len(values), features)]
        else:
            given["data"] = values
        if self.model == "painted" and self.perhaps():
            given |= {"name": "c", "datatype": "BYTES", "data": ["red"] * rows, "parameters": None}
            content = b""
        if index or self.has("name"):
            given["name"] = self.one(["x", "c", "X", "", 1])
        if self.has("shape"):
            given["shape"] = self.one(SHAPES)
        if self.has("datatype"):
            given["datatype"] = self.one(DATATYPES)
        if self.has("size") and content:
            given["parameters"] = {"binary_data_size": self.one(SIZES)}
        if self.has("input"):
            given["parameters"] = (given.get("parameters") or {}) | self.one(INPUT_PARAMETERS)
        if self.has("member"):
            others: list[Any] = [None, [], {}, [1.5], [True], ["red"], [[1]]]
            given[self.one(["data", "parameters", "extra"])] = self.one(others)
        return given, content

    def request(self) -> tuple[str, bytes, bytes, object]:
        """A model, JSON, what follows it, and the length of the JSON that is told."""
        several = [self.tensor(index) for index in range(2 if self.has("more") else 1)]
        asked: dict[str, Any] = {"inputs": [given for given, _ in several]}
        if self.perhaps():
            asked["parameters"] = self.one(PARAMETERS, ODD_PARAMETERS, "parameters")
        if self.perhaps() and self.perhaps():
            asked["outputs"] = self.one(OUTPUTS, ODD_OUTPUTS, "outputs")
        if self.has("field"):
            asked[self.one(["model_name", "model_version", "extra", "inputs"])] = "1"
        if self.perhaps():
            asked["id"] = self._draw(st.text(max_size=5)) if self.perhaps() else self.one(IDS)
        if self.has("id"):
            asked["id"] = self.one(ODD_IDS)
        names = sorted(asked, key=lambda name: name != "id") if self.perhaps() else asked
        header = self._text({name: asked[name] for name in names})
        behind = b"".join(content for _, content in several)
        if self.has("byte"):
            place = self._draw(st.integers(0, len(header) - 1))
            header = header[:place] + bytes([self.one(range(256))]) + header[place + 1 :]
        if self.has("end"):
            header += self.one([b" ", b"  ", b"\n", b"x", b"\x00", b"{}"])
        if self.has("behind"):
            behind = self.one([b"", behind[:-1], behind + b"\x00", behind * 2, behind[:4]])
        if self.has("bare"):
            header = b""
        size = len(header)
        if self.has("length"):
            wrong = [size + 1, size - 1, size + 4, 0, 10**6, "", "+1", "1.0", "0" * 19, f"00{size}"]
            return self.model, header, behind, self.one(wrong)
        return self.model, header, behind, None if header else 0

    def _text(self, asked: dict[str, Any]) -> bytes:
        separators = self.one([(", ", ": "), (",", ":"), (" , ", " :\n")])
        escapes = self.has("id") or self.perhaps()
        text = json.dumps(asked, ensure_ascii=escapes, separators=separators)
        if self.has("again"):
            key = self.one(['"id"', '"\\u0069d"', '"inputs"', '"parameters"'])
            text = f"{text[:-1]},{key}:{self.one(AGAIN)}}}"
        return text.encode()


inferences = st.composite(lambda draw: Drawn(draw).request())


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asked=inferences())
def test_both_roads_give_the_same_bytes(
    asker: Asker, asked: tuple[str, bytes, bytes, object]
) -> None:
    model, header, behind, length = asked
    ordinary = infer(header, behind, model, length, UNHEARD_OF)
    answer, was_plain = asker.compare_requests(ordinary, infer(header, behind, model, length))
    assert answer.status in (200, 400)
    assert answer.status == 200 or not was_plain


def asking(given: dict[str, Any], **others: Any) -> bytes:
    return json.dumps({**others, "inputs": [given]}).encode()


def in_bytes(rows: int, features: int = 1, **changes: Any) -> dict[str, Any]:
    size = {"binary_data_size": rows * features * 4}
    given = {"name": "x", "shape": [rows, features], "datatype": "FP32", "parameters": size}
    return {**given, **changes}


THREE = struct.pack("<3f", 0.5, -2.0, 1e10)
AS_JSON = {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [0.5, 0.6]}
AS_BYTES: dict[str, Any] = {"parameters": {"binary_data_output": True}}


@pytest.mark.parametrize(
    ("model", "header", "behind"),
    [
        ("default", asking(in_bytes(3)), THREE),
        ("default", asking(in_bytes(3), **AS_BYTES), THREE),
        ("default", asking(in_bytes(3), id="7", **AS_BYTES), THREE),
        ("default", asking(in_bytes(3), id='é "'), THREE),
        ("default", asking(in_bytes(3, shape=[3]), **AS_BYTES), THREE),
        ("default", asking(in_bytes(3)) + b"   ", THREE),
        ("default", b"", THREE),
        ("default", asking(AS_JSON, id="1"), b""),
        ("default", asking({**AS_JSON, "datatype": "INT8", "data": [1, 2]}, **AS_BYTES), b""),
        ("scaled", asking(in_bytes(3), **AS_BYTES), THREE),
        ("mlp", asking(in_bytes(3), **AS_BYTES), THREE),
        ("wide", asking(in_bytes(1, 3), **AS_BYTES), THREE),
        ("wide", b"", THREE),
        ("many.of_them-1", asking(in_bytes(3), **AS_BYTES), THREE),
        ("painted", asking({"name": "c", "shape": [1], "datatype": "BYTES", "data": ["red"]}), b""),
    ],
)
def test_what_is_light_takes_the_plain_road(
    asker: Asker, model: str, header: bytes, behind: bytes
) -> None:
    length = None if header else 0
    ordinary = infer(header, behind, model, length, UNHEARD_OF)
    answer, was_plain = asker.compare_requests(ordinary, infer(header, behind, model, length))
    assert (answer.status, was_plain) == (200, True)


@pytest.mark.parametrize(
    "request_",
    [
        infer(asking(in_bytes(3)), THREE, headers=b"Content-Encoding: gzip\r\n"),
        infer(asking(in_bytes(3)), THREE, headers=b"Content-Encoding: identity\r\n"),
        infer(asking(in_bytes(3)), THREE, headers=b"Inference-Header-Content-Length: 9\r\n"),
        infer(asking(in_bytes(3)), THREE, model="nobody"),
        infer(asking(in_bytes(3)), THREE, model="default/versions/1"),
        infer(asking(in_bytes(3)), THREE).replace(b"/infer ", b"/infer?a=1 "),
        infer(asking(in_bytes(3)), THREE).replace(b"/infer ", b"/infer/ "),
        infer(asking(in_bytes(3)), THREE).replace(b"application/json", b"text/plain"),
        infer(asking(in_bytes(3)), THREE, length=1000),
        infer(asking(in_bytes(3)), THREE, length="0" * 20),
    ],
)
def test_what_is_not_plain_is_answered_alike_each_time(
    server: Serving, asker: Asker, request_: bytes
) -> None:
    before = server.plain
    assert len({asker.ask(request_).told for _ in range(3)}) == 1
    assert server.plain == before


@pytest.mark.parametrize("model", ["default", "scaled", "bounded", "wide"])
@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("odd", [*ODD, 3.4e38])
def test_numbers_that_are_none(asker: Asker, model: str, bare: bool, odd: float) -> None:
    """Hidden layers of `tanh` would make a number of infinity."""
    features = FEATURES.get(model, 1)
    header = b"" if bare else asking(in_bytes(2, features))
    for values in ([1.0] * (2 * features), [*[1.0] * (2 * features - 1), odd]):
        behind = struct.pack(f"<{len(values)}f", *values)
        ordinary = infer(header, behind, model, len(header), UNHEARD_OF)
        answer, _ = asker.compare_requests(ordinary, infer(header, behind, model, len(header)))
    assert answer.status == 400 or odd == 3.4e38


@pytest.mark.parametrize("rows", [0, 1, 50, 51])
def test_bare_bytes_have_no_more_rows_than_others(asker: Asker, rows: int) -> None:
    behind = struct.pack(f"<{rows}f", *range(rows)) or b"123"
    ordinary = infer(b"", behind, length=0, headers=UNHEARD_OF)
    answer, was_plain = asker.compare_requests(ordinary, infer(b"", behind, length=0))
    assert (answer.status == 200) == was_plain == (rows in (1, 50))


def test_a_shape_that_is_known_is_that_of_one_model(asker: Asker) -> None:
    header, behind = asking(in_bytes(3, 2)), struct.pack("<6f", *range(6))
    others = [("default", behind), ("default", behind[:12]), ("painted", behind)]
    for model, part in [("two", behind), *others]:
        ordinary = infer(header, part, model, headers=UNHEARD_OF)
        answer, _ = asker.compare_requests(ordinary, infer(header, part, model))
        assert (answer.status == 200) == (model == "two")


@pytest.mark.parametrize(
    "form",
    [
        '{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[%s,1]}]}',
        '{"inputs":[{"name":"x","shape":[2,1],"datatype":"FP32","data":[[%s],[1]]}]}',
        '{"inputs":[{"name":"x","shape":[%s,1],"datatype":"FP32","data":[1]}]}',
        '{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[1]}],"id":%s}',
    ],
)
def test_every_form_of_a_number_is_read_alike(asker: Asker, form: str) -> None:
    plain = 0
    for cell in [*NUMBERS, *BAD]:
        header = (form % cell).encode()
        answer, was_plain = asker.compare_requests(infer(header, headers=UNHEARD_OF), infer(header))
        assert answer.status == 200 or not was_plain
        plain += was_plain
    assert plain >= (1 if '"shape":[%s' in form or '"id":%s' in form else 30)


@pytest.mark.parametrize("shape", ["[1,2]", "[2,1]", "[2]", "[4]", "[1,4]", "[2,2]", "[3,2]"])
@pytest.mark.parametrize("data", ["[[1],[2]]", "[[1,2],[3,4]]", "[[1,2],[3]]", "[[1,2,3],[4]]"])
@pytest.mark.parametrize("model", ["default", "two"])
def test_nested_numbers_have_their_shape(asker: Asker, model: str, data: str, shape: str) -> None:
    form = '{"inputs":[{"name":"x","shape":%s,"datatype":"FP32","data":%s}]}'
    header = (form % (shape, data)).encode()
    ordinary = infer(header, b"", model, headers=UNHEARD_OF)
    answer, was_plain = asker.compare_requests(ordinary, infer(header, b"", model))
    assert (answer.status == 200) == was_plain


def test_numbers_in_json_are_read_without_pydantic(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"name": "x", "shape": [2, 2], "datatype": "FP32"}
    of_bytes = {"outputs": [{"name": "y", "parameters": {"binary_data": True}}], "id": "é"}
    headers = [
        asking({**given, "data": data}, **others)
        for data in ([1, 2, 3, 4], [[1, 2], [3, 4]])
        for others in ({}, of_bytes, AS_BYTES)
    ]
    for header in headers:
        asker.compare_requests(
            infer(header, b"", "two", headers=UNHEARD_OF), infer(header, b"", "two")
        )
    with monkeypatch.context() as patched:
        patched.setattr("service.http.inferences.infer", None)
        for header in headers:
            wanted = infer(header, b"", "two", headers=UNHEARD_OF)
            _, was_plain = asker.compare_requests(wanted, infer(header, b"", "two"))
            assert was_plain


def test_a_model_with_categories_takes_no_bare_bytes(asker: Asker) -> None:
    ordinary = infer(b"", THREE + THREE, "painted", 0, UNHEARD_OF)
    answer, _ = asker.compare_requests(ordinary, infer(b"", THREE + THREE, "painted", 0))
    assert answer.status == 400


@pytest.mark.parametrize("kind", [b"application/octet-stream", b"Application/Octet-Stream; a=b"])
def test_bytes_may_be_called_so(asker: Asker, kind: bytes) -> None:
    request = infer(asking(in_bytes(3)), THREE).replace(b"application/json", kind)
    ordinary = infer(asking(in_bytes(3)), THREE, headers=UNHEARD_OF)
    _, was_plain = asker.compare_requests(ordinary.replace(b"application/json", kind), request)
    assert was_plain


def test_an_id_of_its_own_comes_back_with_a_tensor_that_is_known(asker: Asker) -> None:
    told = []
    for name in ("a", "b", "~ !#[]", "", "é", "c"):
        request = infer(asking(in_bytes(3), id=name), THREE)
        ordinary = infer(asking(in_bytes(3), id=name), THREE, headers=UNHEARD_OF)
        answer, was_plain = asker.compare_requests(ordinary, request)
        assert was_plain
        told.append(json.loads(answer.body)["id"])
    assert told == ["a", "b", "~ !#[]", "", "é", "c"]


@pytest.mark.parametrize("later", [b'"id":null', b'"\\u0069d":"z"', b'"id":"z"'])
def test_an_id_that_comes_twice_is_the_last_one(asker: Asker, later: bytes) -> None:
    plain = asking(in_bytes(3))[1:-1]
    for name in (b"a", b"b"):
        header = b'{"id":"%b",%b,%b}' % (name, plain, later)
        ordinary = infer(header, THREE, headers=UNHEARD_OF)
        answer, _ = asker.compare_requests(ordinary, infer(header, THREE))
        assert json.loads(answer.body).get("id") == (None if b"null" in later else "z")
