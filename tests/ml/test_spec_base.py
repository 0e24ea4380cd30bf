"""Numbers that fit float32, strictness, and errors that know their position."""

from __future__ import annotations

import json
import math
import struct
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from ml.spec.base import FLOAT32_MAX, MAX_FIELDS, SLICE, InSlices, Number, Spec, fail_at
from tests.ml.making import quick

NUMBER = TypeAdapter(Number)


def test_float32_max_is_the_largest_finite_float32() -> None:
    assert struct.unpack("<f", b"\xff\xff\x7f\x7f")[0] == FLOAT32_MAX


@pytest.mark.parametrize(
    "value", ["1", "", True, False, None, [], [1.0], {}, math.nan, math.inf, -math.inf]
)
def test_number_refuses_what_is_no_finite_number(value: object) -> None:
    with pytest.raises(ValidationError):
        NUMBER.validate_python(value)


@pytest.mark.parametrize(
    "text", ['"1"', "true", "null", "NaN", "Infinity", "-Infinity", "1e400", "1e39", "-1e39"]
)
def test_number_refuses_json_that_float32_cannot_hold(text: str) -> None:
    with pytest.raises(ValidationError):
        NUMBER.validate_json(text)


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e39, FLOAT32_MAX * 1.0000001])
def test_number_refuses_what_is_beyond_float32(value: float) -> None:
    with pytest.raises(ValidationError):
        NUMBER.validate_python(value)


@pytest.mark.parametrize("value", [0, 1, -1, 0.1, FLOAT32_MAX, -FLOAT32_MAX, 5e-324, 2**100])
def test_number_takes_integers_and_floats(value: float) -> None:
    assert NUMBER.validate_python(value) == value


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@quick
def test_number_takes_every_finite_float32(value: float) -> None:
    assert NUMBER.validate_json(json.dumps(value)) == value


class _Plain(Spec):
    count: int = 1


def test_spec_names_an_unknown_field() -> None:
    with pytest.raises(ValidationError) as caught:
        _Plain.model_validate({"cuont": 2})
    assert caught.value.errors()[0]["loc"] == ("cuont",)


def test_spec_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        _Plain().count = 2  # type: ignore[misc]


def test_fail_at_gives_position_code_and_message() -> None:
    with pytest.raises(ValidationError) as caught:
        fail_at(("x", 3), "odd", "a {brace} stays as it is")
    (error,) = caught.value.errors()
    assert (error["loc"], error["type"]) == (("x", 3), "odd")
    assert error["msg"] == "a {brace} stays as it is"


def test_more_fields_than_anybody_means_are_counted_and_not_named() -> None:
    with pytest.raises(ValidationError) as caught:
        _Plain.model_validate({f"field{number}": 0 for number in range(MAX_FIELDS + 1)})
    (error,) = caught.value.errors()
    assert (error["loc"], error["type"]) == ((), "too_many_fields")
    with pytest.raises(ValidationError) as caught:
        _Plain.model_validate({f"field{number}": 0 for number in range(MAX_FIELDS)})
    assert caught.value.error_count() == MAX_FIELDS


# ---- long lists ----


def _no_sevens(cell: float) -> float:
    if cell == 7:
        fail_at((), "seven", "7 {brings} bad luck")
    return cell


_CELL = Annotated[Number, AfterValidator(_no_sevens)]
_FIRST = Field(min_length=1, fail_fast=True)
_LISTS: list[tuple[Any, Any]] = [
    (Annotated[list[_CELL], _FIRST], Annotated[list[_CELL], _FIRST, InSlices]),
    (
        Annotated[tuple[Annotated[list[_CELL], _FIRST], ...], Field(strict=False), _FIRST],
        Annotated[
            tuple[Annotated[list[_CELL], _FIRST, InSlices], ...],
            Field(strict=False),
            _FIRST,
            InSlices,
        ],
    ),
]
_PLACES = [0, 1, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE - 1, 2 * SLICE, 3 * SLICE]


@quick
@given(
    wrong=st.dictionaries(
        st.sampled_from(_PLACES), st.sampled_from(["x", None, 7, 1e39, [], [[]], {}]), max_size=3
    ),
    length=st.sampled_from([0, 1, SLICE, SLICE + 1, 2 * SLICE, 3 * SLICE + 1]),
    kinds=st.sampled_from(_LISTS),
    nested=st.booleans(),
)
def test_a_long_list_is_validated_as_in_one_piece(
    wrong: dict[int, Any], length: int, kinds: tuple[Any, Any], nested: bool
) -> None:
    values: list[Any] = [[1, 2.5] if nested else 1 for _ in range(length)]
    for place, value in wrong.items():
        if place < length:
            values[place] = [1, value] if nested else value

    def outcome(kind: Any) -> Any:
        try:
            return TypeAdapter(kind).validate_python(values)
        except ValidationError as error:
            return error.errors(include_url=False, include_input=False)

    whole, sliced = map(outcome, kinds)
    assert sliced == whole
    assert type(sliced) is type(whole)
