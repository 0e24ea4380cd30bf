"""A file of one JSON object per line becomes rows.

The first objects tell what the others have to be. What the swiftest road does not take as that is
left to a swift one, and what that does not take is read by the patient one: it says what is wrong,
or that nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

import polars as pl
from polars.io.plugins import register_io_source

from ml.datasets.cells import is_date
from ml.datasets.columns import UnfitError
from ml.datasets.conversion import date_of
from ml.datasets.header import check_names, check_start
from ml.datasets.inference import NUMBERS_SHARE
from ml.datasets.layout import SAMPLE_ROWS
from ml.datasets.named import exactly
from ml.datasets.objects import Block, read_objects
from ml.datasets.options import ReadOptions
from ml.datasets.profile import NUMERIC, ColumnType, Profile
from ml.datasets.records import MAX_LINE_BYTES, Lines
from ml.datasets.roads import Roads
from ml.datasets.stream import RowsWriter, UnreadableError
from ml.datasets.tally import Tally
from ml.errors import BadFileError

_SAMPLE_CHARACTERS = 8 * 2**20

_BLOCK_BYTES = 256 * 1024
"""Its objects fit the cache of a core: with 1 MiB the swift road takes a fifth longer."""

_UNIFORM_BLOCKS = 8
"""Of these at once on the swiftest road, which asks polars several things of each block: with one
it takes a third longer."""


def read_ndjson(source: Path, writer: RowsWriter, options: ReadOptions) -> Profile:
    """Write the rows of an NDJSON file with ``writer``.

    The first objects tell names and types. A key that an object lacks is a missing cell, as are
    null, NaN and "".

    Raises:
        BadFileError: a line cannot be used; or the file as a whole.
    """
    check_start(source)
    with source.open("rb") as file:
        lines = Lines(file)
        sample = read_objects(lines, SAMPLE_ROWS, _SAMPLE_CHARACTERS)
        names, types = _layout(sample, options)
        roads = Roads(names, types, options)
        tally = Tally(list(types.items()), options)

        def parts(*_asked: Any) -> Iterator[pl.DataFrame]:
            try:
                if roads.is_uniform:
                    # The first objects again, with the rest: that is sooner done.
                    file.seek(0)
                    blocks = _blocks(file, _UNIFORM_BLOCKS * _BLOCK_BYTES)
                    yield from roads.frames(blocks, 0)
                else:
                    yield roads.patiently(sample)
                    yield from roads.frames(_blocks(file, _BLOCK_BYTES), lines.number)
            except BadFileError as error:
                tally.fault = error
                raise

        schema = {name: _dtype(kind) for name, kind in types.items()}
        rows = register_io_source(parts, schema=schema)
        dates = [date_of(exactly(name)) for name, kind in types.items() if kind == "date"]
        try:
            writer.write(rows.with_columns(dates), tally)
            return tally.finish()
        except UnreadableError as error:
            raise BadFileError("the file cannot be read as NDJSON") from error
        except UnfitError as error:  # Written as 1e17, late in a column of integers.
            raise BadFileError(
                "a column of integers holds a number beyond 2**53, which may be another than meant"
            ) from error


def _layout(sample: Block, options: ReadOptions) -> tuple[dict[str, str], dict[str, ColumnType]]:
    """The name of the column of each key, and the type of each column."""
    if not sample.objects:
        raise BadFileError("the file holds nothing but empty lines")
    given = list(dict.fromkeys(chain.from_iterable(sample.objects)))
    if not given:
        raise BadFileError("the first objects of the file have no keys")
    names = dict(zip(given, check_names(given, options, None), strict=True))
    types = {
        name: _type_of(name, [row.get(key) for row in sample.objects], options)
        for key, name in names.items()
    }
    return names, types


def _blocks(file: IO[bytes], size: int) -> Iterator[bytes]:
    """What is left of the file, in blocks of about that many bytes that end where a line does."""
    # Grown in place: a line may be of many blocks.
    rest = bytearray()
    while read := file.read(size):
        end = read.rfind(b"\n") + 1
        if end:
            yield bytes(rest) + read[:end]
            rest = bytearray(read[end:])
        else:
            rest += read
        if len(rest) > MAX_LINE_BYTES:
            break  # The patient road refuses it.
    if rest:
        yield bytes(rest)


def _type_of(name: str, values: list[Any], options: ReadOptions) -> ColumnType:
    """As for CSV, of what JSON says itself: a string is never a number."""
    kinds = [type(value) for value in values if value is not None and value != ""]
    if name in options.text:
        return "text"
    numbers = sum(kind in (int, float) for kind in kinds)
    if numbers >= NUMBERS_SHARE * len(kinds):
        return "number" if float in kinds else "integer" if kinds else "number"
    if set(kinds) == {bool}:
        return "boolean"
    if set(kinds) == {str} and all(is_date(value) for value in values if value):
        return "date"
    return "text"


def _dtype(kind: ColumnType) -> type[pl.DataType]:
    if kind in NUMERIC:
        return pl.Boolean if kind == "boolean" else pl.Float64
    return pl.String
