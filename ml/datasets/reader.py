"""The rows of a dataset as arrays, a slice at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ml.datasets.named import exactly
from ml.datasets.profile import ROWS_FILE as ROWS_FILE
from ml.errors import CorruptDatasetError, DatasetError, MissingDatasetError

_SLICE_ROWS = 500_000
"""Rows read at once: 4 ms for two columns, and a bound for what stands beside the answer."""


class DatasetFile:
    """The rows that `ingest` wrote. Holds no file open and no rows: each read maps its slice."""

    def __init__(self, folder: Path) -> None:
        """Open the dataset in ``folder``.

        Raises:
            MissingDatasetError: there is none.
            CorruptDatasetError: its file cannot be read.
        """
        self._path = folder / ROWS_FILE
        if not self._path.is_file():
            raise MissingDatasetError(f"no dataset in {folder.name}: it has no {ROWS_FILE}")
        try:
            self._rows = pl.scan_ipc(self._path)
            self._schema = dict(self._rows.collect_schema())
            self.rows = int(self._rows.select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise self._corrupt() from error

    def read(
        self, start: int, stop: int, numbers: Sequence[str], categories: Mapping[str, Sequence[str]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows ``start`` to ``stop`` as ``numbers_NC`` and ``codes_NK``, both C-contiguous.

        ``numbers_NC`` is float64 with NaN where a cell is missing; true is 1, false is 0.
        ``codes_NK`` is int32: the place of the cell in the vocabulary given for its column, -1
        where it is missing or not in there. Rows beyond the last are left out.

        Raises:
            DatasetError: a column does not exist or is not of the type asked for.
            CorruptDatasetError: the file cannot be read.
        """
        self._check(numbers, categories)
        start = min(max(start, 0), self.rows)
        count = min(max(stop, start), self.rows) - start
        numbers_NC = np.empty((count, len(numbers)), np.float64)
        codes_NK = np.empty((count, len(categories)), np.int32)
        wanted = [
            *(exactly(name).cast(pl.Float64).alias(f"n{i}") for i, name in enumerate(numbers)),
            *(
                _codes(name, words).alias(f"c{i}")
                for i, (name, words) in enumerate(categories.items())
            ),
        ]
        if not wanted:
            return numbers_NC, codes_NK
        for offset in range(0, count, _SLICE_ROWS):
            length = min(_SLICE_ROWS, count - offset)
            frame = self._collect(start + offset, length, wanted)
            # to_numpy turns nulls into NaN; a frame of one type becomes one array without loops.
            rows = slice(offset, offset + length)
            numbers_NC[rows] = frame[:, : len(numbers)].to_numpy().reshape(length, -1)
            codes_NK[rows] = frame[:, len(numbers) :].to_numpy().reshape(length, -1)
        return numbers_NC, codes_NK

    def blocks(
        self, numbers: Sequence[str], categories: Mapping[str, Sequence[str]], block_rows: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All rows in order, ``block_rows`` at a time (the last block may be shorter), as `read`.

        Raises:
            DatasetError, CorruptDatasetError: as `read`.
        """
        for start in range(0, self.rows, block_rows):
            yield self.read(start, start + block_rows, numbers, categories)

    def _check(self, numbers: Sequence[str], categories: Mapping[str, Sequence[str]]) -> None:
        for name in (*numbers, *categories):
            if name not in self._schema:
                raise DatasetError(f"no column {name!r}: the dataset has {sorted(self._schema)}")
        for name in numbers:
            if self._schema[name] not in (pl.Float64, pl.Boolean):
                raise DatasetError(f"column {name!r} holds no numbers")
        for name in categories:
            if self._schema[name] != pl.String:
                raise DatasetError(f"column {name!r} holds no text: only text has categories")

    def _collect(self, start: int, length: int, wanted: list[pl.Expr]) -> pl.DataFrame:
        try:
            return self._rows.slice(start, length).select(wanted).collect()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise self._corrupt() from error

    def _corrupt(self) -> CorruptDatasetError:
        return CorruptDatasetError(f"{ROWS_FILE} of {self._path.parent.name} cannot be read")


def _codes(name: str, words: Sequence[str]) -> pl.Expr:
    """The place of each cell in ``words``."""
    vocabulary = pl.Enum(pl.Series(words, dtype=pl.String))
    return exactly(name).cast(vocabulary, strict=False).to_physical().cast(pl.Int32).fill_null(-1)
