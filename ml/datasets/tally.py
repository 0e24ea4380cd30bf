"""The profile of rows as they stream by, and the limits they are held to.

The rows are looked at on their way to disk: to read them again would cost a quarter of the parse.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import polars as pl

from ml.datasets.columns import ColumnTally, Look, UnfitError
from ml.datasets.many import look_at_many
from ml.datasets.options import ReadOptions
from ml.datasets.profile import ColumnType, Profile
from ml.errors import BadFileError

_LOOK_BYTES = 2**20
_TEXT_LOOK_BYTES = 4 * 2**20
_LOOK_ROWS = 8192
_MOST_LOOK_BYTES = 16 * 2**20
"""Rows are looked at together until they reach the first, or the second where a column is text, and
the third; or the last. With fewer, the asking costs more than the answers; with more, they have
left the caches."""

_LEAST_CHUNK_ROWS = 1024
"""Of smaller chunks a copy is made first: each question costs something in each of them."""

_MANY = 64
"""Columns of numbers that are looked at together, where the rows are few."""


class Tally:
    """All columns, and how many rows and bytes of them have passed."""

    def __init__(
        self,
        columns: Sequence[tuple[str, ColumnType]],
        options: ReadOptions,
        required: str | None = None,
    ) -> None:
        self._columns = [ColumnTally(name, kind) for name, kind in columns]
        self._numbers = [i for i, (_, kind) in enumerate(columns) if kind in ("number", "integer")]
        self._options = options
        self._rows = 0
        self._bytes = 0
        self._kept: list[pl.DataFrame] = []
        self._kept_bytes = 0
        wanted = _LOOK_ROWS * 8 * len(self._columns)
        has_text = any(kind == "text" for _, kind in columns)
        least = _TEXT_LOOK_BYTES if has_text else _LOOK_BYTES
        self._look_bytes = max(least, min(wanted, _MOST_LOOK_BYTES))
        self._lock = threading.Lock()
        self._required = required
        self.has_gap = False
        """Whether a cell is missing in the column ``required``, which ended the stream."""
        self.fault: Exception | None = None
        """What ended the stream: polars tells of an exception here only that there was one."""

    def watch(self, part: pl.DataFrame) -> pl.DataFrame:
        """Take in a part of the rows and pass it on; polars calls this from several threads.

        Raises:
            BadFileError: more rows or bytes than the options allow.
            UnfitError: a cell cannot be used, or is missing in the column ``required``.
        """
        try:
            if self._required is not None and part[self._required].null_count():
                self.has_gap = True
                raise UnfitError
            with self._lock:
                due = self._gather(part)
            self._examine(due)
        except Exception as error:
            self.fault = self.fault or error
            raise
        return part

    def finish(self) -> Profile:
        """The profile of all that passed.

        Raises:
            BadFileError: nothing did.
            UnfitError: a cell cannot be used.
        """
        self._examine(self._take())
        if self._rows == 0:
            raise BadFileError("the file has no rows")
        return Profile(self._rows, tuple(column.finish() for column in self._columns))

    def _gather(self, part: pl.DataFrame) -> list[pl.DataFrame]:
        """Keep the part; all that was kept, once it is worth a look."""
        size = int(part.estimated_size())
        self._rows += part.height
        self._bytes += size
        if self._rows > self._options.max_rows:
            raise too_many_rows(self._options)
        if self._bytes > self._options.max_bytes:
            raise BadFileError(f"the rows take more than {self._options.max_bytes:,} bytes")
        if part.height:
            self._kept.append(part)
            self._kept_bytes += size
        return self._take() if self._kept_bytes >= self._look_bytes else []

    def _take(self) -> list[pl.DataFrame]:
        due, self._kept, self._kept_bytes = self._kept, [], 0
        return due

    def _examine(self, parts: list[pl.DataFrame]) -> None:
        if not parts:
            return
        rows = pl.concat(parts, rechunk=False)
        looks = self._look(rows)
        with self._lock:
            for column, look in zip(self._columns, looks, strict=True):
                column.add(look)

    def _look(self, rows: pl.DataFrame) -> list[Look]:
        # By place: a frame of thousands finds each name slowly.
        cells = rows.get_columns()
        looks: dict[int, Look] = {}
        if rows.height <= _LOOK_ROWS and len(self._numbers) >= _MANY:
            tallies = [self._columns[place] for place in self._numbers]
            found = look_at_many(tallies, [cells[place] for place in self._numbers])
            looks = dict(zip(self._numbers, found, strict=True))
        for place, column in enumerate(self._columns):
            if place not in looks:
                own = cells[place]
                # Each question costs something in each chunk.
                if rows.height < _LEAST_CHUNK_ROWS * own.n_chunks():
                    own = own.rechunk()
                looks[place] = column.look(own)
        return [looks[place] for place in range(len(cells))]


def too_many_rows(options: ReadOptions) -> BadFileError:
    """The refusal of a file with too many rows."""
    return BadFileError(f"more than {options.max_rows:,} rows, which is the most that is taken")
