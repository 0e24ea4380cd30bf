"""A Parquet file becomes rows. Its types are its own; what no model can use is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl

from ml.datasets.cells import FLOAT32_MAX, SAFE_INTEGER
from ml.datasets.columns import UnfitError
from ml.datasets.conversion import without_nan
from ml.datasets.header import check_names
from ml.datasets.named import exactly
from ml.datasets.options import ReadOptions
from ml.datasets.profile import ColumnType, Profile
from ml.datasets.stream import RowsWriter, UnreadableError
from ml.datasets.tally import Tally, too_many_rows
from ml.errors import BadFileError

T = TypeVar("T")

_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"


def read_parquet(source: Path, writer: RowsWriter, options: ReadOptions) -> Profile:
    """Write the rows of a Parquet file with ``writer``.

    NaN and null are missing cells, and so is an empty text. Decimals become numbers.

    Raises:
        BadFileError: it is damaged, too large, or holds what no column can: a nested or binary
            type, an infinite number, one beyond float32.
    """
    _check_ends(source)
    rows = pl.scan_parquet(source, glob=False, hive_partitioning=False)
    schema = _read(rows.collect_schema)
    count = _read(lambda: int(rows.select(pl.len()).collect(engine="streaming").item()))
    if count == 0 or not schema:
        raise BadFileError("the file has no rows")
    if count > options.max_rows:
        raise too_many_rows(options)
    names = check_names(schema.names(), options, None)
    types = {
        name: _type_of(name, dtype, options)
        for name, dtype in zip(names, schema.dtypes(), strict=True)
    }
    columns = [
        _converted(given, dtype, types[name]).alias(name)
        for name, (given, dtype) in zip(names, schema.items(), strict=True)
    ]
    numbers = [name for name, kind in types.items() if kind == "number"]
    plain = rows.select(columns)
    attempts = [plain]
    if numbers:
        # NaN is rare: whoever writes one mostly means null, and writes that. To look for it takes a
        # pass over every number, so only once one was found.
        filled = partial(without_nan, names=numbers)
        attempts.append(plain.map_batches(filled, streamable=True))
    for attempt in attempts:
        tally = Tally(list(types.items()), options)
        try:
            writer.write(attempt, tally)
            return tally.finish()
        except UnreadableError as error:
            raise _damaged() from error
        except UnfitError:
            continue
    raise _find_fault(plain, types)


def _check_ends(source: Path) -> None:
    with source.open("rb") as file:
        start = file.read(4)
        if not start:
            raise BadFileError("the file is empty")
        size = file.seek(0, 2)
        file.seek(max(0, size - 4))
        end = file.read()
    if start == _ENCRYPTED or end == _ENCRYPTED:
        raise BadFileError("the Parquet file is encrypted")
    if start != _MAGIC:
        raise BadFileError("the file is no Parquet file: it does not begin with PAR1")
    if end != _MAGIC:
        raise BadFileError("the Parquet file is cut short: it does not end with PAR1")


def _read(read: Callable[[], T]) -> T:
    try:
        return read()
    # A panic of polars is no Exception; its words may hold cells.
    except (Exception, pl.exceptions.PanicException) as error:
        raise _damaged() from error


def _damaged() -> BadFileError:
    return BadFileError("the Parquet file is damaged, or of a kind that is not known here")


def _type_of(name: str, dtype: pl.DataType, options: ReadOptions) -> ColumnType:
    is_text = dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)
    is_date = dtype == pl.Date or isinstance(dtype, pl.Datetime)
    known = is_text or is_date or dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)
    if not known:
        kind = str(dtype.base_type()).lower()
        message = f"column {name!r} is of the type {kind}, which cannot be read: leave it out"
        raise BadFileError(message, column=name)
    if is_text or name in options.text:
        return "text"
    if is_date:
        return "date"
    if dtype == pl.Boolean:
        return "boolean"
    return "integer" if dtype.is_integer() else "number"


def _converted(name: str, dtype: pl.DataType, column_type: ColumnType) -> pl.Expr:
    column = exactly(name)
    if column_type == "text":
        text = column.cast(pl.String)
        return pl.when(text != "").then(text)
    if column_type in ("number", "integer"):
        return column.cast(pl.Float64)
    if isinstance(dtype, pl.Datetime):
        zoned = column if dtype.time_zone else column.dt.replace_time_zone("UTC")
        return zoned.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    return column


def _find_fault(rows: pl.LazyFrame, types: dict[str, ColumnType]) -> BadFileError:
    """The first row that cannot be used, counted from 1, and its column."""
    faults = []
    for name, kind in types.items():
        column = exactly(name)
        if kind == "text":
            faults.append(column.str.contains("\0", literal=True).alias(name))
        elif kind in ("number", "integer"):
            most = SAFE_INTEGER if kind == "integer" else FLOAT32_MAX
            # NaN is greater than all numbers.
            faults.append((column.fill_nan(None).abs() > most).alias(name))
    first = pl.any_horizontal(pl.all().exclude("row"))
    bad = rows.select(faults).with_row_index("row").filter(first).head(1)
    found = _read(lambda: bad.collect(engine="streaming").row(0, named=True))
    row = found.pop("row") + 1
    name = next(name for name, is_bad in found.items() if is_bad)
    what = {
        "text": "text with a NUL",
        "integer": "an integer beyond 2**53, which a number cannot hold exactly",
    }.get(types[name], "an infinite number, or one beyond float32 (at most 3.4e38)")
    message = f"row {row}, column {name!r}: found {what}"
    return BadFileError(message, row, name)
