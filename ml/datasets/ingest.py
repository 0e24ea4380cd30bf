"""A file of rows becomes `rows.arrow` and a profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ml.datasets.options import FileKind, ReadOptions
from ml.datasets.profile import Profile
from ml.datasets.stream import RowsWriter

Reader = Callable[[Path, RowsWriter, ReadOptions], Profile]


def ingest(source: Path, folder: Path, options: ReadOptions) -> Profile:
    """Read the file at ``source`` and write its rows into ``folder``, which exists, durably.

    Raises:
        BadFileError: the file cannot be read as the options say; names the line and the column
            where there is one, and never repeats a cell.
        OSError: the disk is full, or the like.
    """
    writer = RowsWriter(folder)
    try:
        profile = _reader_of(options.kind)(source, writer, options)
        writer.keep(profile.rows)
    finally:
        writer.drop()
    return profile


def _reader_of(kind: FileKind) -> Reader:
    # Imported here: that of NDJSON needs numpy, which takes a tenth of a second to load.
    if kind == "csv":
        from ml.datasets.csvfile import read_csv

        return read_csv
    if kind == "parquet":
        from ml.datasets.parquet import read_parquet

        return read_parquet
    from ml.datasets.ndjson import read_ndjson

    return read_ndjson
