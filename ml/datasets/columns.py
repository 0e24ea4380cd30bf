"""The figures of one column as its cells stream by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import polars as pl

from ml.datasets.cells import FLOAT32_MAX, SAFE_INTEGER
from ml.datasets.distinct import DistinctCounter
from ml.datasets.moments import Moments
from ml.datasets.profile import MAX_CATEGORIES, NUMERIC, Column, ColumnType

MAX_WORD = 256
"""Characters of a category; longer texts are no categories, and would bloat the profile."""

_SHOWN = 128
"""Characters of the first and last text that the profile shows."""


class UnfitError(Exception):
    """A cell is readable and cannot be used: where it lies is for the caller to find."""


@dataclass(frozen=True)
class Look:
    """What a look at some cells of one column found."""

    nulls: int
    hashes: pl.Series
    """UInt64; of those present cells that may be new."""
    least: Any
    """The extremes of the present cells; None where there is none."""
    most: Any
    moments: tuple[int, float, float] | None = None
    """Present cells, their mean and population deviation; None where they are no numbers."""
    is_whole: bool = False
    words: pl.Series | None = None
    """The distinct texts, where they were asked for."""


class ColumnTally:
    """What is known of one column so far."""

    def __init__(self, name: str, column_type: ColumnType) -> None:
        self._name = name
        self._type = column_type
        self._nulls = 0
        self._moments = Moments()
        self._distinct = DistinctCounter()
        self._least: Any = None
        self._most: Any = None
        self._is_whole = column_type == "integer"
        self._words: set[str] | None = set() if column_type == "text" else None

    @property
    def threshold(self) -> int:
        """Hashes above it cannot change how many distinct cells there are."""
        return self._distinct.threshold

    @property
    def is_whole(self) -> bool:
        """Whether it is a column of integers, and all numbers so far were."""
        return self._is_whole

    def look(self, cells: pl.Series) -> Look:
        """Look at some cells. Threads may look at once, at different cells.

        polars' own methods, which other threads need not wait for: as expressions they take twice
        the time.

        Raises:
            UnfitError: a number is NaN or beyond float32, or a text holds NUL.
        """
        # Some of the methods are expressions in disguise, and to them ^b$ would be a pattern.
        cells = cells.alias("cells")
        nulls = cells.null_count()
        if nulls:
            # Each of the others would take twice its time over gaps.
            cells = cells.drop_nulls()
        if self._type == "text":
            return self._look_at_text(cells, nulls)
        few = self._distinct.few(cells)
        if self._type not in NUMERIC:
            return Look(nulls, few, cells.min(), cells.max())
        values = cells.cast(pl.Float64) if self._type == "boolean" else cells
        least: Any = values.min()
        most: Any = values.max()
        if least is None:
            return Look(nulls, few, None, None)
        count = len(cells)
        # Not by mean(), which makes other threads wait.
        total: Any = values.sum()
        mean = total / count
        deviation: Any = values.std(ddof=0)
        # Extremes leave NaN out, a mean does not.
        if not -FLOAT32_MAX <= least <= most <= FLOAT32_MAX or math.isnan(mean):
            raise UnfitError
        is_whole = self._is_whole and bool((values == values.floor()).all())
        return Look(nulls, few, least, most, (count, mean, deviation), is_whole)

    def _look_at_text(self, cells: pl.Series, nulls: int) -> Look:
        # With the distinct texts at hand, nothing else need be asked of all of them.
        words = None if self._words is None else cells.unique()
        texts = cells if words is None else words
        if texts.str.contains("\0", literal=True).any():
            raise UnfitError
        few = self._distinct.few(texts)
        return Look(nulls, few, texts.min(), texts.max(), words=words)

    def add(self, look: Look) -> None:
        """Take in what was found."""
        self._nulls += look.nulls
        if look.least is None:
            return
        self._distinct.add(look.hashes)
        if look.words is not None:
            self._add_words(look.words)
        if look.moments is not None:
            count, mean, deviation = look.moments
            self._moments.add(count, look.least, look.most, mean, deviation)
            self._is_whole = self._is_whole and look.is_whole
            return
        self._least = look.least if self._least is None else min(self._least, look.least)
        self._most = look.most if self._most is None else max(self._most, look.most)

    def finish(self) -> Column:
        """The column.

        Raises:
            UnfitError: an integer is beyond 2**53.
        """
        if self._type not in NUMERIC:
            return self._finish_words()
        moments = self._moments
        if not moments.count:
            return Column(self._name, self._type, self._nulls, 0, None, None, None, None, None)
        column_type = self._type
        if column_type == "integer" and not self._is_whole:
            column_type = "number"
        if column_type == "integer" and max(-moments.least, moments.most) > SAFE_INTEGER:
            raise UnfitError
        return Column(
            self._name,
            column_type,
            self._nulls,
            self._distinct.count(),
            moments.least,
            moments.most,
            moments.exact_mean(),
            moments.std(),
            None,
        )

    def _add_words(self, words: pl.Series) -> None:
        if self._words is None:
            return
        longest: Any = words.str.len_chars().max()
        if len(words) <= MAX_CATEGORIES and longest <= MAX_WORD:
            self._words |= set(words.to_list())
            if len(self._words) <= MAX_CATEGORIES:
                return
        self._words = None

    def _finish_words(self) -> Column:
        vocabulary = None if self._words is None else tuple(sorted(self._words))
        distinct = self._distinct.count() if vocabulary is None else len(vocabulary)
        return Column(
            self._name,
            self._type,
            self._nulls,
            distinct,
            _shown(self._least),
            _shown(self._most),
            None,
            None,
            vocabulary,
        )


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    return value[:_SHOWN] if isinstance(value, str) else str(value.isoformat())
