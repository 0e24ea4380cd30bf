"""Where the rows come from: what is taken, and what is refused where."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.data.line import load_line
from ml.spec.data import MAX_LINE_ROWS, LineSpec, PointsSpec
from tests.ml.making import quick


def _refused(kind: type[LineSpec | PointsSpec], **fields: Any) -> tuple[tuple[Any, ...], str]:
    """The place and the code of the first error."""
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(fields)
    error = caught.value.errors()[0]
    return error["loc"], error["type"]


def test_line_defaults_are_the_tutorials() -> None:
    line = LineSpec()
    assert (line.weight, line.bias, line.start, line.end, line.step) == (0.7, 0.3, 0, 1, 0.02)
    assert (line.noise, line.rows, line.feature_count, line.target_count) == (0, 50, 1, 1)


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
    st.floats(1e-2, 1e2),
)
@quick
def test_line_rows_is_what_arange_gives(start: float, length: float, step: float) -> None:
    spec = LineSpec(start=start, end=start + length, step=step)
    assert spec.rows == len(load_line(spec, seed=0).x_NF)


@pytest.mark.parametrize(
    ("fields", "place", "code"),
    [
        ({"start": 1, "end": 1}, ("end",), "line_empty"),
        ({"start": 2, "end": 1}, ("end",), "line_empty"),
        ({"step": 0}, ("step",), "greater_than"),
        ({"step": -0.1}, ("step",), "greater_than"),
        ({"noise": -1}, ("noise",), "greater_than_equal"),
        ({"weight": 1e30, "end": 1e30, "step": 1e29}, ("weight",), "line_overflow"),
        ({"weight": 3e38, "bias": 3e38}, ("weight",), "line_overflow"),
        ({"step": 1e-300}, ("step",), "line_too_long"),
        ({"start": -3e38, "end": 3e38, "step": 5e-324}, ("step",), "line_too_long"),
        ({"slope": 1}, ("slope",), "extra_forbidden"),
        ({"weight": "0.7"}, ("weight",), "float_type"),
        ({"weight": True}, ("weight",), "float_type"),
    ],
)
def test_line_refuses_with_position(
    fields: dict[str, Any], place: tuple[Any, ...], code: str
) -> None:
    assert _refused(LineSpec, **fields) == (place, code)


def test_the_longest_line_is_taken() -> None:
    assert LineSpec(end=1, step=1 / MAX_LINE_ROWS).rows == MAX_LINE_ROWS


@pytest.mark.parametrize(
    ("x", "y", "features", "targets"),
    [
        ([1, 2], [3, 4], 1, 1),
        ([[1], [2]], [3, 4], 1, 1),
        ([[1, 2], [3, 4], [5, 6]], [[1], [2], [3]], 2, 1),
        (((1, 2, 3),), ((4, 5),), 3, 2),
    ],
)
def test_points_take_flat_and_nested_lists(x: Any, y: Any, features: int, targets: int) -> None:
    spec = PointsSpec(x=x, y=y)
    assert (spec.rows, spec.feature_count, spec.target_count) == (len(x), features, targets)


@pytest.mark.parametrize(
    ("fields", "place", "code"),
    [
        ({"x": [], "y": []}, ("x", "numbers"), "too_short"),
        ({"x": [[]], "y": [1]}, ("x", "rows", 0), "row_empty"),
        ({"x": [1, 2, 3], "y": [1, 2]}, ("y",), "rows_differ"),
        ({"x": [[1, 2], [3], [4, 5]], "y": [1, 2, 3]}, ("x", "rows", 1), "ragged"),
        ({"x": [[1], [2, 3]], "y": [1, 2]}, ("x", "rows", 1), "ragged"),
        ({"x": [1, [2]], "y": [1, 2]}, ("x", "numbers", 1), "float_type"),
        ({"x": [[1], 2], "y": [1, 2]}, ("x", "rows", 1), "tuple_type"),
        ({"x": [1, "2"], "y": [1, 2]}, ("x", "numbers", 1), "float_type"),
        ({"x": [1, True], "y": [1, 2]}, ("x", "numbers", 1), "float_type"),
        ({"x": [1, None], "y": [1, 2]}, ("x", "numbers", 1), "float_type"),
        ({"x": [1, float("nan")], "y": [1, 2]}, ("x", "numbers", 1), "finite_number"),
        ({"x": [1, 2], "y": [1, 1e39]}, ("y", "numbers", 1), "less_than_equal"),
        ({"x": [[1, -1e39]], "y": [1]}, ("x", "rows", 0, 1), "greater_than_equal"),
        ({"x": "12", "y": [1, 2]}, ("x", "numbers"), "tuple_type"),
        ({"x": 1, "y": 1}, ("x", "numbers"), "tuple_type"),
        ({"x": [[[1]]], "y": [1]}, ("x", "rows", 0, 0), "float_type"),
        ({"x": [1]}, ("y",), "missing"),
        ({"x": [1], "y": [1], "feature_names": ["a", "b"]}, ("feature_names",), "names_count"),
        ({"x": [1], "y": [1], "target_names": []}, ("target_names",), "names_count"),
        (
            {"x": [[1, 2]], "y": [1], "feature_names": ["a", "a"]},
            ("feature_names",),
            "names_repeat",
        ),
        ({"x": [1], "y": [1], "feature_names": [""]}, ("feature_names", 0), "string_too_short"),
        ({"x": [1], "y": [1], "feature_names": [1]}, ("feature_names", 0), "string_type"),
    ],
)
def test_points_refuse_with_position(
    fields: dict[str, Any], place: tuple[Any, ...], code: str
) -> None:
    assert _refused(PointsSpec, **fields) == (place, code)


def test_a_ragged_row_says_what_was_wanted_and_got() -> None:
    with pytest.raises(ValidationError, match="expected 2 numbers as in row 0, got 3"):
        PointsSpec(x=((1, 2), (1, 2, 3)), y=(1, 2))


def test_points_survive_json_in_full_precision() -> None:
    spec = PointsSpec(x=(0.1, 1e9 + 1e-6), y=((1.0, 2.0), (3.0, 1 / 3)))
    assert PointsSpec.model_validate_json(spec.model_dump_json()) == spec


def test_line_in_float32_is_what_torch_makes_of_integers() -> None:
    # 0 and 1 as integers or as floats: arange gives float32 with the same bits.
    table = load_line(LineSpec(), seed=0)
    assert torch.equal(table.x_NF, torch.arange(0, 1, 0.02).unsqueeze(dim=1))
