"""A file of rows becomes `rows.arrow` and a profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ml.datasets.csvfile import read_csv
from ml.datasets.ndjson import read_ndjson
from ml.datasets.options import FileKind, ReadOptions
from ml.datasets.parquet import read_parquet
from ml.datasets.profile import Profile
from ml.datasets.stream import RowsWriter

_READERS: dict[FileKind, Callable[[Path, RowsWriter, ReadOptions], Profile]] = {
    "csv": read_csv,
    "ndjson": read_ndjson,
    "parquet": read_parquet,
}


def ingest(source: Path, folder: Path, options: ReadOptions) -> Profile:
    """Read the file at ``source`` and write its rows into ``folder``, which exists, durably.

    Raises:
        BadFileError: the file cannot be read as the options say; names the line and the column
            where there is one, and never repeats a cell.
        OSError: the disk is full, or the like.
    """
    writer = RowsWriter(folder)
    try:
        profile = _READERS[options.kind](source, writer, options)
        writer.keep(profile.rows)
    finally:
        writer.drop()
    return profile
