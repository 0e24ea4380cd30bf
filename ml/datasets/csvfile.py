"""A CSV file becomes rows: polars reads it, and what it refuses is searched for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import polars as pl

from ml.datasets.columns import UnfitError
from ml.datasets.conversion import converted, is_native, native_type, parsed, without_blanks
from ml.datasets.inference import ColumnPlan
from ml.datasets.layout import Layout, read_layout
from ml.datasets.options import ReadOptions
from ml.datasets.profile import Profile
from ml.datasets.records import ends_in_empty_line, has_bad_end
from ml.datasets.search import find_fault
from ml.datasets.stream import RowsWriter, UnreadableError
from ml.datasets.tally import Tally

_MOST_TEXTS = 32
"""Columns of text that are looked at one by one: a look at a few rows costs as much as at many, and
of wide files the parts have few."""


@dataclass(frozen=True)
class Attempt:
    """One way to have polars read the file."""

    columns: tuple[ColumnPlan, ...]
    is_swift: bool = False
    """Whether the last column is taken to have no missing cell. polars fills a row that ends early
    and an empty line with nulls, so there are neither; a null there ends the attempt."""


def read_csv(source: Path, writer: RowsWriter, options: ReadOptions) -> Profile:
    """Write the rows of a CSV file with ``writer``.

    The first rows tell which of three attempts comes first; where it fails, a slower one follows:

    - swift: polars' own parser, where it and our grammar agree;
    - checked: the same, with a look for empty rows and for rows that end early;
    - patient: all columns read as text, and converted by the grammar. It takes twice as long, and
      is for what the first rows did not show, such as a second marker of missing cells.

    Raises:
        BadFileError: a row cannot be used, by line and column; or the file as a whole.
    """
    layout = read_layout(source, options)
    if layout.is_flawed or has_bad_end(source, layout.delimiter, len(layout.columns)):
        raise find_fault(source, layout)
    checked = Attempt(layout.columns)
    patient = Attempt(tuple(replace(column, is_loose=True) for column in layout.columns))
    attempts = [checked, patient]
    if not layout.columns[-1].has_gaps and not ends_in_empty_line(source):
        attempts.insert(0, replace(checked, is_swift=True))
    while attempts:
        attempt = attempts.pop(0)
        required = layout.names[-1] if attempt.is_swift else None
        tally = Tally([(c.name, c.type) for c in layout.columns], options, required)
        heights: list[int] = []
        try:
            writer.write(_rows(source, layout, attempt, heights), tally)
            profile = tally.finish()
        except (UnreadableError, UnfitError):
            if attempt.is_swift and not tally.has_gap:
                attempts = [patient]
            continue
        is_suspect = not attempt.is_swift and profile.columns[-1].nulls > 0
        if is_suspect and _has_short_row(source, layout, sum(heights)):
            break
        return profile
    raise find_fault(source, layout)


def _has_short_row(source: Path, layout: Layout, rows: int) -> bool:
    # Imported here: it needs numpy, which takes a tenth of a second to load.
    from ml.datasets.ragged import has_short_row

    width = len(layout.columns)
    return has_short_row(source, layout.delimiter, width, layout.first_line, rows)


def _rows(source: Path, layout: Layout, attempt: Attempt, heights: list[int]) -> pl.LazyFrame:
    """The rows in their types; those without any value are left out, but counted in ``heights``."""
    columns = attempt.columns
    native = {c.name: native_type(c) for c in columns if is_native(c)}
    rows = pl.scan_csv(
        source,
        schema={c.name: native.get(c.name, pl.String) for c in columns},
        separator=layout.delimiter,
        has_header=False,
        skip_lines=layout.first_line - 1,
        empty_string_is_null=False,
        null_values={c.name: c.marker for c in columns if c.name in native and c.marker} or None,
        decimal_comma=layout.decimal == "comma" and layout.delimiter != ",",
        glob=False,
    )
    texts = [c.name for c in columns if c.type == "text"]
    if 0 < len(texts) <= _MOST_TEXTS:
        rows = rows.map_batches(partial(without_blanks, names=texts), streamable=True)
        native |= dict.fromkeys(texts, pl.String)
    rows = rows.select(
        parsed(c) if c.name in native else converted(c, layout.decimal) for c in columns
    )
    if attempt.is_swift:
        return rows

    def count(part: pl.DataFrame) -> pl.DataFrame:
        heights.append(part.height)  # From several threads: one step.
        return part

    counted = rows.map_batches(count, streamable=True)
    return counted.filter(pl.any_horizontal(pl.all().is_not_null()))
