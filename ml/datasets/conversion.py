"""The grammar of `cells.py` as polars expressions over columns that were read as text.

All of it is strict: a cell that does not fit ends the reading there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import polars as pl

from ml.datasets.cells import BLANKS, MARKERS
from ml.datasets.inference import ColumnPlan
from ml.datasets.named import exactly
from ml.datasets.options import Decimal

_DAY = "^([0-9]{4}-[0-9]{2}-[0-9]{2})$"
_MINUTE = "^(.{10}[T ][0-9]{2}:[0-9]{2})(Z|[+-][0-9]{2}:[0-9]{2})?$"
_NO_ZONE = r"^(.{10}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?)$"


def parsed(plan: ColumnPlan) -> pl.Expr:
    """A column that polars' parser read in its own type (see `native_type`)."""
    column = exactly(plan.name)
    return column.fill_nan(None) if plan.has_nan else column


def converted(plan: ColumnPlan, decimal: Decimal) -> pl.Expr:
    """A column that was read as text, in its type."""
    raw = exactly(plan.name)
    if plan.type == "text":
        return _present(plan.name)
    if plan.type in ("number", "integer"):
        read = partial(_numbers, decimal=decimal)
        numbers = raw.map_batches(read, return_dtype=pl.Float64, is_elementwise=True)
        return numbers.alias(plan.name)
    cell = raw.str.strip_chars(BLANKS) if plan.is_loose else raw
    is_missing = cell == ""
    if plan.is_loose:
        is_missing |= cell.str.to_lowercase().is_in(MARKERS)
    elif plan.marker:
        is_missing |= cell == plan.marker
    present = pl.when(~is_missing).then(cell)
    if plan.type == "boolean":
        words = {"true": True, "false": False}
        whole = present.str.to_lowercase().replace_strict(words, return_dtype=pl.Boolean)
    else:
        whole = date_of(present) if plan.is_loose else _day(present)
    return whole.alias(plan.name)


def _present(text: str) -> pl.Expr:
    raw = exactly(text)
    return pl.when(raw.str.strip_chars(BLANKS) != "").then(raw).alias(text)


def without_nan(part: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The part with null for NaN in these columns of Float64: nearly none has one, and its sum
    tells in a tenth of the time that the filling takes."""
    found = [name for name in names if math.isnan(part[name].sum())]
    return part.with_columns(exactly(name).fill_nan(None) for name in found) if found else part


def without_blanks(part: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The part with null for what is empty or blank in these columns of text: nearly none has a
    cell that is empty or begins with a blank, and that is soon told."""
    found = [name for name in names if (part[name] < "!").any()]
    return part.with_columns(_present(name) for name in found) if found else part


def is_native(plan: ColumnPlan) -> bool:
    """Whether polars' own parser may read the column: it agrees with the grammar on its cells."""
    return not plan.is_loose and plan.type in ("number", "integer", "boolean")


def native_type(plan: ColumnPlan) -> type[pl.DataType]:
    """What polars' parser reads the column as, where it need not be converted."""
    return pl.Boolean if plan.type == "boolean" else pl.Float64


def _numbers(raw: pl.Series, decimal: Decimal) -> pl.Series:
    """Cells as numbers.

    No expression, so that markers are looked for only among what is no number: in every cell, the
    search would take five times as long as the rest.

    Raises:
        ValueError: a cell is no number and not missing.
    """
    # Its methods on text are expressions in disguise, and to them ^b$ would be a pattern.
    raw = raw.alias("raw")
    if decimal == "point":
        numbers = raw.cast(pl.Float64, strict=False)
        if raw.filter(numbers.is_null() & (raw != "")).is_empty():
            return numbers.fill_nan(None) if numbers.is_nan().any() else numbers
    cells = raw.str.strip_chars(BLANKS)
    if decimal == "comma":
        # 1.234 may have been meant as 1234.
        if cells.str.contains(".", literal=True).any():
            raise ValueError("a point")
        cells = cells.str.replace(",", ".", literal=True)
    numbers = cells.cast(pl.Float64, strict=False)
    others = cells.filter(numbers.is_null() & (cells != ""))
    if not others.str.to_lowercase().is_in(MARKERS).all():
        raise ValueError("no number")
    return numbers.fill_nan(None)


def date_of(cell: pl.Expr) -> pl.Expr:
    """Any date of the grammar, as a moment in UTC to the microsecond; without a zone it is UTC."""
    whole = cell.str.replace(_DAY, "${1}T00:00").str.replace(_MINUTE, "${1}:00${2}")
    moment = whole.str.replace(_NO_ZONE, "${1}Z")
    return moment.str.to_datetime("%+", time_unit="us", time_zone="UTC")


def _day(cell: pl.Expr) -> pl.Expr:
    # The parser would take a month of one digit as well.
    is_whole = cell.is_null() | (cell.str.len_bytes() == len("2024-01-31"))
    return pl.when(is_whole).then(cell).otherwise(pl.lit("?")).str.to_date("%Y-%m-%d")
