"""Rows on their way to disk: one Arrow file, whole and durable or not there at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from uuid import uuid4

import polars as pl

from ml.datasets.early import started_early, sync
from ml.datasets.profile import ROWS_FILE
from ml.datasets.tally import Tally

_BATCH_BYTES = 8 * 2**20
_LEAST_BATCH_ROWS = 512
_MOST_BATCH_ROWS = 131_072


class UnreadableError(Exception):
    """polars cannot read the rows; its words hold cells, and are not for the sender."""


class RowsWriter:
    """Writes the rows of one dataset into a folder; several times, where a file has to be read
    anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: list[Path] = []

    def write(self, rows: pl.LazyFrame, tally: Tally) -> None:
        """Write ``rows`` as they stream by ``tally``; `keep` makes them last.

        Raises:
            UnreadableError: polars gave up.
            BadFileError, UnfitError: as `Tally.watch`.
            OSError: the disk is full, or the like.
        """
        # A name for each time: when polars gives up, a thread of it may be about to open the file.
        path = self._folder / f"{ROWS_FILE}.{uuid4().hex}.part"
        self._written.append(path)
        watched = rows.map_batches(tally.watch, streamable=True)
        try:
            with started_early(path):
                watched.sink_ipc(
                    path,
                    compression="uncompressed",
                    record_batch_size=_batch_rows(rows),
                    engine="streaming",
                )
        # A panic of polars is no Exception, so that nobody takes it for one: here it is a bad file.
        except (Exception, pl.exceptions.PanicException) as error:
            if tally.fault is not None:
                raise tally.fault from error
            if isinstance(error, OSError):
                raise
            if "No space left on device" in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise UnreadableError(str(error)) from error

    def keep(self, rows: int) -> None:
        """Give what was written last, which has ``rows`` rows, its name, and fsync file and folder.

        Raises:
            OSError: what is on disk is not what was written.
        """
        path = self._written[-1]
        found = pl.scan_ipc(path).select(pl.len()).collect().item()
        if found != rows:
            raise OSError(errno.EIO, f"{rows} rows were written, {found} are on disk")
        sync(path)
        path.replace(self._folder / ROWS_FILE)
        sync(self._folder)

    def drop(self) -> None:
        """Remove what was written and not kept."""
        for path in self._written:
            path.unlink(missing_ok=True)


def _batch_rows(rows: pl.LazyFrame) -> int:
    """Rows that the sink gathers before it writes them: polars' own number takes 1 GB where there
    are 1,000 columns."""
    width = len(rows.collect_schema())
    return max(_LEAST_BATCH_ROWS, min(_BATCH_BYTES // (8 * width), _MOST_BATCH_ROWS))
