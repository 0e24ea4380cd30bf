"""What is read as plain means the same as what pydantic reads; the rest is left to it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.artifact import Bundle
from ml.spec.base import FLOAT32_MAX
from service.api.body import parse_json
from service.errors import InvalidRequestError
from service.schemas.predict import PredictRequest
from service.serving.named import NamedRows
from service.serving.plain import COUNTED_BYTES, least_rows, read_number, read_rows, write_numbers
from service.serving.rows import rows_of
from tests.service.http.test_two_roads import bodies
from tests.service.making import line

ONE = line(1.0, features=("x",))
TWO = line([1.0, 2.0], features=("a", "b"))
THREE = line([1.0, 2.0, 3.0])


def plain(bundle: Bundle, body: bytes) -> np.ndarray | None:
    found = read_rows(body, len(bundle.feature_names))
    if len(bundle.feature_names) == 1:
        x = read_number(body)
        assert (x is None) == (found is None)
        if found is not None:
            assert same_bits(np.array(x, np.float64).reshape(-1, 1), found[0])
            assert isinstance(x, list) == found[1]
    return found[0] if found is not None else NamedRows(bundle.feature_names)(body)


def thorough(bundle: Bundle, body: bytes) -> np.ndarray | None:
    try:
        rows = rows_of(parse_json(body, PredictRequest), bundle)
    except InvalidRequestError:
        return None
    x_NF: np.ndarray = rows.x_NF.numpy()
    return x_NF


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.tobytes() == other.tobytes()


@settings(max_examples=3000, deadline=None)
@given(body=bodies(), bundle=st.sampled_from([ONE, TWO, THREE]))
def test_what_is_plain_means_the_same(body: bytes, bundle: Bundle) -> None:
    found = plain(bundle, body)
    if found is not None:
        wanted = thorough(bundle, body)
        assert wanted is not None, "pydantic refuses it"
        assert same_bits(found, wanted)


values = st.floats(-FLOAT32_MAX, FLOAT32_MAX) | st.integers(-(10**6), 10**6)


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.tuples(values, values), min_size=1, max_size=8), swapped=st.booleans())
def test_good_rows_are_plain(rows: list[tuple[float, float]], swapped: bool) -> None:
    names = ("b", "a") if swapped else ("a", "b")
    nested = json.dumps({"x": rows}).encode()
    by_name = [dict(zip(names, row, strict=True)) for row in rows]
    named = json.dumps({"rows": by_name}).encode()
    for body in (nested, named):
        found, wanted = plain(TWO, body), thorough(TWO, body)
        assert found is not None
        assert wanted is not None
        assert same_bits(found, wanted)


NAMES = [
    "",
    " ",
    "é",
    "日本",
    "x" * 500,
    "a/b",
    "~",
    "f0",
    "f1",
    "class",
    "_",
    "__dict__",
    "\u2028",
]
UNFIT = ['"', "\\", "a\nb", "\x00", "\x7f", "\x85"]


@pytest.mark.parametrize("name", [*NAMES, *UNFIT])
def test_a_feature_may_have_any_name(name: str) -> None:
    bundle = line([1.0, 2.0], features=(name, "f2"))
    body = json.dumps({"rows": [{"f2": 2.5, name: 1.5}]}).encode()
    read = NamedRows(bundle.feature_names)
    found = read(body)
    if name in UNFIT:
        assert found is None, "left to pydantic"
    else:
        assert found is not None
        assert found.tolist() == [[1.5, 2.5]]
        raw = json.dumps({"rows": [{"f2": 2.5, name: 1.5}]}, ensure_ascii=False).encode()
        assert read(raw) is not None


def test_many_features_are_read() -> None:
    names = tuple(f"feature {i}" for i in range(2000))
    row = {name: float(i) for i, name in enumerate(names)}
    found = NamedRows(names)(json.dumps({"rows": [row, row]}).encode())
    assert found is not None
    assert found.tolist() == [list(map(float, range(2000)))] * 2


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"x": 1}, 1),
        ({"x": [1]}, 1),
        ({"x": [1, 2, 3]}, 3),
        ({"x": [[1], [2]]}, 2),
        ({"x": [[1, 2, 3]]}, 1),
        ({"rows": [{"a": 1, "b": 2}]}, 1),
        ({"rows": [{"a": 1, "b": 2}] * 7}, 7),
    ],
)
def test_rows_are_counted_without_parsing(body: Any, rows: int) -> None:
    counted = least_rows(json.dumps(body).encode())
    assert counted == rows
    more = {**body, "explain": True}
    assert counted <= least_rows(json.dumps(more).encode()) <= rows + 1


@pytest.mark.parametrize("more", [0, 1, COUNTED_BYTES, 3 * COUNTED_BYTES + 7])
def test_rows_of_a_long_body_are_counted_to_the_last(more: int) -> None:
    rows = COUNTED_BYTES // 8 + more
    for row in (1.25, [1.25], [1.5, 2.5]):
        assert least_rows(json.dumps({"x": [row] * rows}).encode()) == rows


@settings(max_examples=300, deadline=None)
@given(
    y=st.lists(
        st.floats(allow_nan=False, allow_infinity=False)
        | st.floats(width=32, allow_nan=False, allow_infinity=False),
        min_size=1,
        max_size=9,
    ),
    width=st.sampled_from([np.float32, np.float64]),
)
def test_numbers_are_written_so_that_they_are_read_as_they_were(y: list[float], width: Any) -> None:
    with np.errstate(over="ignore"):
        y_N = np.array(y).astype(width)
    y_N = y_N[np.isfinite(y_N)]
    for array in (y_N, y_N[:, None].repeat(2, axis=1)[::2]):
        told = json.loads(write_numbers(array))
        assert same_bits(np.array(told, dtype=np.float64).reshape(array.shape), array.astype(float))
