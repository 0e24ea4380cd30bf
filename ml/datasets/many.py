"""A look at some rows of many columns at once.

Of a file of 1,000 columns some 2,000 rows pass together. To ask each column for its figures takes
three times as long as the computing; here a hundred of them are asked at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import polars as pl

from ml.datasets.cells import FLOAT32_MAX
from ml.datasets.columns import ColumnTally, Look, UnfitError

_CELLS = 256 * 1024
"""Looked at together: with their hashes they fit the cache of a core."""


def look_at_many(tallies: Sequence[ColumnTally], columns: Sequence[pl.Series]) -> list[Look]:
    """What `ColumnTally.look` finds, for columns of Float64 of one length, at least 1.

    Raises:
        UnfitError: as there.
    """
    rows = len(columns[0])
    # Columns whose thresholds are within a factor of two stand together, and share one.
    order = sorted(range(len(columns)), key=lambda place: tallies[place].threshold.bit_length())
    step = max(1, _CELLS // rows)
    looks: dict[int, Look] = {}
    for start in range(0, len(order), step):
        places = order[start : start + step]
        found = _looks([tallies[place] for place in places], [columns[place] for place in places])
        looks.update(zip(places, found, strict=True))
    return [looks[place] for place in range(len(columns))]


def _looks(tallies: list[ColumnTally], columns: list[pl.Series]) -> Iterator[Look]:
    rows, width = len(columns[0]), len(columns)
    # Any name but theirs: to an expression ^b$ would be a pattern.
    cells = pl.concat(columns, rechunk=True).alias("cells")
    nulls = [column.null_count() for column in columns]
    hashes = _few(tallies, cells, rows)
    shaped = cells.reshape((width, rows)).to_frame()
    by_column = pl.col("cells").arr
    figures = shaped.select_seq(
        least=by_column.min(), most=by_column.max(), sum=by_column.sum(), std=by_column.std(ddof=0)
    )
    least, most, sums, deviations = (figure.to_list() for figure in figures.get_columns())
    whole = [False] * width
    if any(tally.is_whole for tally in tallies):
        # To a null there is no answer, which is not no.
        whole = (cells == cells.floor()).reshape((width, rows)).arr.all().to_list()
    for place in range(width):
        count = rows - nulls[place]
        low, high = least[place], most[place]
        if low is None:
            yield Look(nulls[place], hashes[place], None, None)
            continue
        mean = sums[place] / count
        # Extremes leave NaN out, a mean does not.
        if not -FLOAT32_MAX <= low <= high <= FLOAT32_MAX or math.isnan(mean):
            raise UnfitError
        moments = (count, mean, deviations[place])
        is_whole = tallies[place].is_whole and whole[place]
        yield Look(nulls[place], hashes[place], low, high, moments, is_whole)


def _few(tallies: list[ColumnTally], cells: pl.Series, rows: int) -> list[pl.Series]:
    """The hashes of each column that may change how many distinct cells it has; perhaps others."""
    hashes = cells.to_frame().hash_rows()
    is_wanted = hashes <= max(tally.threshold for tally in tallies)
    if cells.has_nulls():
        is_wanted &= cells.is_not_null()
    wanted = hashes.filter(is_wanted)
    counts: list[Any] = is_wanted.reshape((len(tallies), rows)).arr.sum().to_list()
    ends = accumulate(counts, initial=0)
    return [wanted.slice(begin, end - begin) for begin, end in pairwise(ends)]
