"""The figures of one column as its cells stream by."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from ml.datasets.cells import FLOAT32_MAX, SAFE_INTEGER
from ml.datasets.distinct import DistinctCounter, few_hashes
from ml.datasets.moments import Moments
from ml.datasets.named import exactly
from ml.datasets.profile import MAX_CATEGORIES, NUMERIC, Column, ColumnType

MAX_WORD = 256
"""Characters of a category; longer texts are no categories, and would bloat the profile."""

_WORDS = "words"

_SHOWN = 128
"""Characters of the first and last text that the profile shows."""


Answers = dict[str, pl.Series]
"""What a part of the rows answered, each of one row, by what was asked."""


class UnfitError(Exception):
    """A cell is readable and cannot be used: where it lies is for the caller to find."""


class ColumnTally:
    """What is known of one column so far."""

    def __init__(self, name: str, column_type: ColumnType, index: int) -> None:
        self._name = name
        self._type = column_type
        self._index = index
        self._nulls = 0
        self._moments = Moments()
        self._distinct = DistinctCounter()
        self._least: Any = None
        self._most: Any = None
        self._is_whole = column_type == "integer"
        self._words: set[str] | None = set() if column_type == "text" else None
        figures = _figures(name, column_type)
        self._figures = [self._label(answer, key) for key, answer in figures.items()]
        self._keys = [key for key in figures if key not in ("min", "max")]

    def questions(self) -> list[pl.Expr]:
        """What to ask of a part of the rows; each answer has one row."""
        if self._words is None:
            return self._figures
        # With the distinct texts at hand, nothing else need be asked of all of them.
        return [self._label(exactly(self._name).drop_nulls().unique().implode(), _WORDS)]

    def hashes(self, rows: pl.DataFrame, answers: Answers) -> np.ndarray:
        """Hashes (uint64) of those cells of the part that may be new."""
        words = answers.get(f"{self._index} {_WORDS}")
        cells = rows[self._name] if words is None else words[0]
        if cells.null_count():
            cells = cells.drop_nulls()
        if self._type in NUMERIC:
            # A chunk at a time: all of them as one array would be a copy.
            chunks = [chunk.to_numpy() for chunk in cells.cast(pl.Float64).get_chunks()]
            return few_hashes(chunks, self._distinct.threshold)
        hashed = cells.hash()
        return hashed.filter(hashed <= int(self._distinct.threshold)).to_numpy()

    def add(self, rows: pl.DataFrame, answers: Answers, hashes: np.ndarray) -> None:
        """Take in the answers about ``rows``.

        Raises:
            UnfitError: a number is NaN or beyond float32, or a text holds NUL.
        """
        nulls = rows[self._name].null_count()
        self._nulls += nulls
        present = rows.height - nulls
        if present == 0:
            return
        self._distinct.add(hashes)
        # Another thread may have found too many words since these were asked for.
        if (asked := answers.get(f"{self._index} {_WORDS}")) is not None:
            words = asked[0]
            answers = by_name(words.to_frame(self._name).select(self._figures))
            self._add_words(words)
        least, most, *others = (
            answers[f"{self._index} {key}"][0] for key in ("min", "max", *self._keys)
        )
        if self._type in NUMERIC:
            self._add_numbers(present, least, most, *others)
            return
        if self._type == "text" and others[0]:
            raise UnfitError
        self._least = least if self._least is None else min(self._least, least)
        self._most = most if self._most is None else max(self._most, most)

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

    def _label(self, answer: pl.Expr, key: str) -> pl.Expr:
        return answer.alias(f"{self._index} {key}")

    def _add_numbers(
        self, count: int, least: float, most: float, mean: float, std: float, is_whole: bool = False
    ) -> None:
        # Extremes leave NaN out, a mean does not.
        if not -FLOAT32_MAX <= least <= most <= FLOAT32_MAX or math.isnan(mean):
            raise UnfitError
        self._moments.add(count, least, most, mean, std)
        self._is_whole = self._is_whole and is_whole

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


def by_name(answers: pl.DataFrame) -> Answers:
    """The columns by name: a frame of thousands finds each of them slowly."""
    return {answer.name: answer for answer in answers.get_columns()}


def _figures(name: str, column_type: ColumnType) -> dict[str, pl.Expr]:
    """What is asked of the cells of a column, apart from how many are missing."""
    column = exactly(name)
    values = column.cast(pl.Float64) if column_type == "boolean" else column
    asked = {"min": values.min(), "max": values.max()}
    if column_type in NUMERIC:
        asked |= {"mean": values.mean(), "std": values.std(ddof=0)}
    if column_type == "integer":
        asked["whole"] = (column == column.floor()).all()
    if column_type == "text":
        asked["nul"] = column.str.contains("\0", literal=True).any()
    return asked


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    return value[:_SHOWN] if isinstance(value, str) else str(value.isoformat())
