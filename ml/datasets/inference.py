"""Types of columns from their first cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ml.datasets.cells import BLANKS, MARKERS, CellKind, kind_of, plain_numbers
from ml.datasets.options import Decimal
from ml.datasets.profile import ColumnType

NUMBERS_SHARE = 0.9
"""A column with so many numbers among its cells is meant as numbers, and the others are slips;
below, it is text that holds some numbers."""


@dataclass(frozen=True)
class ColumnPlan:
    """How the cells of one column are to be read."""

    name: str
    type: ColumnType
    marker: str | None = None
    """The one word that says "missing" in the first rows."""
    is_loose: bool = False
    """Whether polars' own parser would refuse cells of the first rows that are good: blanks after
    a number, several markers, a decimal comma."""
    has_nan: bool = False
    """Whether NaN stands among the numbers of the first rows."""
    has_gaps: bool = False
    """Whether a cell is missing in the first rows."""


def plan_column(name: str, cells: Sequence[str], decimal: Decimal, is_text: bool) -> ColumnPlan:
    """The type that the cells speak for.

    Named text is text. Booleans and dates are columns that hold nothing else. With
    `NUMBERS_SHARE` numbers, or what people take for numbers, it is numbers. No cells: numbers.
    """
    if not is_text and decimal == "point":
        present = [cell for cell in cells if cell]
        if plain := plain_numbers(present):
            return ColumnPlan(name, plain, has_gaps=len(present) < len(cells))
    has_gaps = any(not cell.strip(BLANKS) for cell in cells)
    if is_text:
        return ColumnPlan(name, "text", has_gaps=has_gaps)
    kinds = _kinds(cells, decimal)
    column_type = _type_of(kinds)
    if column_type == "text":
        return ColumnPlan(name, "text", has_gaps=has_gaps)
    markers = {cell for cell in cells if cell.lower() in MARKERS and "nan" not in cell.lower()}
    is_loose = len(markers) > 1 or any(cell[-1:] in BLANKS for cell in cells if cell)
    if column_type not in ("number", "integer"):
        # Of blanks and NaN, its parser of booleans knows neither.
        is_loose |= any(cell[0] in BLANKS or cell.lower() == "nan" for cell in cells if cell)
    if column_type == "date":
        is_loose |= any(len(cell) > len("2024-01-31") for cell in cells)
    has_nan = any(cell.lower().endswith("nan") for cell in cells)
    has_gaps |= kinds["missing"] > 0
    return ColumnPlan(name, column_type, next(iter(markers), None), is_loose, has_nan, has_gaps)


def _kinds(cells: Sequence[str], decimal: Decimal) -> Counter[CellKind]:
    """How many cells there are of each kind; fewer, where it is text already by those."""
    kinds: Counter[CellKind] = Counter()
    for cell, count in Counter(cells).items():
        kinds[kind_of(cell, decimal)] += count
        if kinds["text"] > (1 - NUMBERS_SHARE) * len(cells) + 1:
            break
    return kinds


def _type_of(kinds: Counter[CellKind]) -> ColumnType:
    present = kinds.total() - kinds["missing"]
    exact = kinds["integer"] + kinds["number"]
    if present == 0:
        return "number"
    if exact + kinds["lookalike"] >= NUMBERS_SHARE * present:
        return "number" if kinds["number"] or kinds["lookalike"] else "integer"
    if kinds["boolean"] == present:
        return "boolean"
    if kinds["date"] == present:
        return "date"
    return "text"
