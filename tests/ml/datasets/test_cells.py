"""The grammar of a cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.datasets.cells import (
    MARKERS,
    describe,
    fault_in,
    is_date,
    kind_of,
    number_in,
    plain_numbers,
)
from ml.datasets.options import Decimal
from tests.ml.datasets.reading import quick


@pytest.mark.parametrize("cell", ["0", "-1", "+5", "007", " 12 ", "\t3", "9" * 30])
def test_integers(cell: str) -> None:
    assert kind_of(cell) == "integer"


@pytest.mark.parametrize("cell", ["1.5", ".5", "1.", "-1e5", "1E-3", "+.5e+2", "1e999"])
def test_numbers(cell: str) -> None:
    assert kind_of(cell) == "number"


@pytest.mark.parametrize("cell", ["", "  ", "\t", *MARKERS, "NA", "NaN", "None", "N/A", " null "])
def test_missing_cells(cell: str) -> None:
    assert kind_of(cell) == "missing"


@pytest.mark.parametrize(
    "cell", ["1_000", "0x10", "٣", "1e", "e5", ".", "--1", "1.2.3", "1d5", "yes", "2024-13-01"]
)
def test_what_python_or_people_may_take_for_more_is_text(cell: str) -> None:
    assert kind_of(cell) in ("text", "lookalike")
    assert kind_of(cell, "comma") in ("text", "lookalike")


@pytest.mark.parametrize(
    ("cell", "decimal", "found"),
    [
        ("1,234", "point", "thousands separator or a decimal comma"),
        ("1,234,567.5", "point", "thousands separators"),
        ("1 234.5", "point", "thousands separators"),
        ("1\u202f234", "point", "thousands separators"),
        ("1'234", "point", "thousands separators"),
        ("1.234,5", "point", "thousands separators"),
        ("1,5", "point", "a number with a decimal comma"),
        ("-,5e3", "point", "a number with a decimal comma"),
        ("1.5", "comma", "decimal=comma was sent"),
        ("1.234,5", "comma", "decimal=comma was sent"),
        ("-Infinity", "point", "an infinite number"),
        ("12 %", "point", "percent"),
        ("$5", "point", "currency"),
        ("5,20 €", "point", "currency"),
        ("true", "point", "true or false"),
        ("2024-01-31", "point", "a date"),
        ("Paris", "point", "text"),
    ],
)
def test_what_is_found_where_a_number_must_stand(cell: str, decimal: Decimal, found: str) -> None:
    assert found in (fault_in(cell, "number", decimal) or "")


def test_numbers_that_no_model_can_use() -> None:
    assert fault_in("3.4028234663852886e38", "number", "point") is None
    assert "beyond float32" in (fault_in("-3.5e38", "number", "point") or "")
    assert "beyond float32" in (fault_in("1" * 400, "integer", "point") or "")
    assert fault_in("9007199254740991", "integer", "point") is None
    assert "2**53" in (fault_in("-9007199254740993", "integer", "point") or "")
    # Between numbers with a fraction it is only a large number.
    assert fault_in("9007199254740993", "number", "point") is None


@pytest.mark.parametrize("cell", ["", "NA", " - "])
def test_a_missing_cell_fits_every_column(cell: str) -> None:
    for kind in ("number", "integer", "boolean", "date", "text"):
        assert fault_in(cell, kind, "point") is None


def test_dates() -> None:
    good = ["2024-02-29", "2024-01-31T10:00", "2024-01-31 10:00:05.25Z", "2024-01-31T10:00+02:00"]
    bad = ["2023-02-29", "2024-1-5", "20240131", "2024-01-31T25:00", "31.01.2024", "2024-01-31T"]
    assert all(map(is_date, good))
    assert not any(map(is_date, bad))


@given(st.text(max_size=12), st.sampled_from(["point", "comma"]))
@quick
def test_a_description_never_repeats_the_cell(cell: str, decimal: Decimal) -> None:
    words = describe(cell, decimal)
    others = describe("zzz", decimal), describe("", decimal), describe("1", decimal)
    assert words in others or kind_of(cell, decimal) in ("boolean", "date", "lookalike")


@given(st.lists(st.one_of(st.floats().map(repr), st.integers().map(str), st.text(max_size=3))))
@quick
def test_a_column_of_plain_numbers_is_what_its_cells_are(cells: list[str]) -> None:
    kinds = {kind_of(cell) for cell in cells}
    found = plain_numbers(cells)
    if found is not None:
        assert kinds <= {"integer", "number"}
        assert (found == "number") == ("number" in kinds)


@given(st.floats(allow_nan=False, allow_infinity=False))
@quick
def test_a_number_is_the_nearest_float(value: float) -> None:
    assert number_in(repr(value), "point") == value
    assert number_in(repr(value).replace(".", ","), "comma") == value
