"""What the first rows of a CSV file tell of it: delimiter, names, types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ml.datasets.cells import BLANKS
from ml.datasets.header import check_header, check_names, check_start
from ml.datasets.inference import ColumnPlan, plan_column
from ml.datasets.options import DELIMITERS, Decimal, ReadOptions
from ml.datasets.records import holds, is_empty, records
from ml.errors import BadFileError

SAMPLE_ROWS = 10_000
"""Rows that types are inferred from: 40 ms for four columns."""

SAMPLE_CELLS = 200_000
"""Bounds the sample of wide files."""

LEAST_SAMPLE_ROWS = 200

_SNIFFED_ROWS = 100


@dataclass(frozen=True)
class Layout:
    """How a CSV file is laid out."""

    delimiter: str
    decimal: Decimal
    columns: tuple[ColumnPlan, ...]
    first_line: int
    """The line that the first row after the header begins at, from 1."""
    is_flawed: bool = False
    """Whether the first rows end at one that cannot be read. It may not be the first bad one: a
    row before it may hold a bad cell."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def read_layout(source: Path, options: ReadOptions) -> Layout:
    """The layout of the file, from its header and first rows.

    Raises:
        BadFileError: it is no CSV file, has no usable header, no rows, or the first row cannot be
            read.
    """
    check_start(source)
    delimiter = options.delimiter or _sniff(source)
    with source.open("rb") as file:
        layout = _read_layout(records(file, delimiter), delimiter, options)
    if options.decimal == "comma" and (delimiter == "," or holds(source, b".")):
        # polars' parser takes 1.234 for a number then, which may have been meant as 1234.
        columns = (replace(column, is_loose=True) for column in layout.columns)
        return replace(layout, columns=tuple(columns))
    return layout


def _read_layout(
    rows: Iterator[tuple[int, list[str]]], delimiter: str, options: ReadOptions
) -> Layout:
    header_line, header = next((row for row in rows if not is_empty(row[1])), (0, []))
    if not header:
        raise BadFileError("the file holds nothing but empty lines")
    check_header(header, header_line)
    names = check_names(header, options, header_line)
    wanted = min(SAMPLE_ROWS, max(LEAST_SAMPLE_ROWS, SAMPLE_CELLS // len(names)))
    sample: list[list[str]] = []
    first_line = 0
    is_flawed = False
    try:
        for line, cells in islice(rows, wanted):
            if is_row(line, cells, len(names)):
                first_line = first_line or line
                sample.append(cells)
    except BadFileError:
        if not sample:
            raise
        is_flawed = True
    if not sample:
        raise BadFileError("the file has a header and no rows")
    columns = tuple(
        plan_column(name, cells, options.decimal, name in options.text)
        for name, cells in zip(names, zip(*sample, strict=True), strict=True)
    )
    return Layout(delimiter, options.decimal, columns, first_line, is_flawed)


def is_row(line: int, cells: list[str], wanted: int) -> bool:
    """Whether the cells are a row: where they all hold nothing or blanks, they are left out.

    Raises:
        BadFileError: fewer or more cells than the header has.
    """
    # Nearly every row: 1 µs less for each.
    if len(cells) == wanted and cells[0] and cells[0][0] not in BLANKS:
        return True
    if len(cells) <= wanted and is_empty(cells):
        return False
    if len(cells) == wanted:
        return True
    what = "few" if len(cells) < wanted else "many"
    message = f"line {line}: too {what} cells: expected {wanted} as in the header, got {len(cells)}"
    raise BadFileError(message, line)


def _sniff(source: Path) -> str:
    """The delimiter that splits the first rows evenly, into the most cells.

    Where none does, the one that splits the header into the most: the rows are ragged then, and
    are refused with their line.
    """
    widths = {delimiter: list(_widths(source, delimiter)) for delimiter in DELIMITERS}

    def merit(delimiter: str) -> tuple[bool, int]:
        found = widths[delimiter]
        return len(set(found)) == 1 and found[0] > 1, found[0] if found else 0

    return max(DELIMITERS, key=merit)


def _widths(source: Path, delimiter: str) -> Iterator[int]:
    try:
        with source.open("rb") as file:
            for _, cells in islice(records(file, delimiter), _SNIFFED_ROWS):
                if not is_empty(cells):
                    yield len(cells)
    except BadFileError:
        # Quotation marks may pair with another delimiter; if not, the reading says so.
        return
