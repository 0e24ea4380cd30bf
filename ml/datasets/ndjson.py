"""A file of one JSON object per line becomes rows.

Python's own parser reads it, a block at a time: polars' would take what we refuse, such as a key
that came up too late for it, or an object where a number has to stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from ml.datasets.cells import FLOAT32_MAX, SAFE_INTEGER, is_date
from ml.datasets.conversion import date_of
from ml.datasets.header import check_names, check_start
from ml.datasets.inference import NUMBERS_SHARE
from ml.datasets.layout import SAMPLE_ROWS
from ml.datasets.named import exactly
from ml.datasets.options import ReadOptions
from ml.datasets.profile import NUMERIC, ColumnType, Profile
from ml.datasets.records import Lines
from ml.datasets.stream import RowsWriter, UnreadableError
from ml.datasets.tally import Tally
from ml.errors import BadFileError

_BLOCK_ROWS = 20_000
_BLOCK_CHARACTERS = 8 * 2**20

_WORDS: dict[type, str] = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}

_TAKEN: dict[ColumnType, frozenset[type]] = {
    "number": frozenset({int, float, type(None)}),
    "integer": frozenset({int, float, type(None)}),
    "boolean": frozenset({bool, type(None)}),
    "text": frozenset({str, type(None)}),
    "date": frozenset({str, type(None)}),
}

_MEANT = {
    "number": "a number",
    "integer": "a number",
    "boolean": "true or false",
    "text": "text",
    "date": "a date such as 2024-01-31",
}


@dataclass(frozen=True)
class Block:
    """Some consecutive objects and the line of each."""

    lines: list[int]
    objects: list[dict[str, Any]]


def read_ndjson(source: Path, writer: RowsWriter, options: ReadOptions) -> Profile:
    """Write the rows of an NDJSON file with ``writer``.

    The first objects tell names and types. A key that an object lacks is a missing cell, as are
    null, NaN and "".

    Raises:
        BadFileError: a line cannot be used; or the file as a whole.
    """
    check_start(source)
    blocks = _blocks(source)
    sample = next(blocks, None)
    if sample is None:
        raise BadFileError("the file holds nothing but empty lines")
    given = list(dict.fromkeys(chain.from_iterable(sample.objects)))
    if not given:
        raise BadFileError("the first objects of the file have no keys")
    names = check_names(given, options, None)
    types = {
        name: _type_of(name, [row.get(key) for row in sample.objects], options)
        for name, key in zip(names, given, strict=True)
    }
    reader = _Reader(dict(zip(given, names, strict=True)), types, options)
    tally = Tally(list(types.items()), options)

    def parts(*_asked: Any) -> Iterator[pl.DataFrame]:
        try:
            for block in chain([sample], blocks):
                yield reader.frame(block)
        except BadFileError as error:
            tally.fault = error
            raise

    rows = register_io_source(parts, schema={name: _dtype(kind) for name, kind in types.items()})
    dates = [date_of(exactly(name)) for name, kind in types.items() if kind == "date"]
    try:
        writer.write(rows.with_columns(dates), tally)
    except UnreadableError as error:
        raise BadFileError("the file cannot be read as NDJSON") from error
    return tally.finish()


class _Reader:
    """Objects to columns, strictly."""

    def __init__(
        self, names: dict[str, str], types: dict[str, ColumnType], options: ReadOptions
    ) -> None:
        self._names = names
        self._keys = frozenset(names)
        self._types = types
        self._text = frozenset(options.text)

    def frame(self, block: Block) -> pl.DataFrame:
        """The objects as a frame.

        Raises:
            BadFileError: one has an unknown key, or a value that is not of the type of its column.
        """
        for line, row in zip(block.lines, block.objects, strict=True):
            if not self._keys.issuperset(row):
                new = next(key for key in row if key not in self._keys)
                shown = repr(new) if len(new) <= 128 else "of more than 128 characters"
                message = (
                    f"line {line}: a key {shown} that none of the first rows has: "
                    "put an object with every key first"
                )
                raise BadFileError(message, line)
        columns = []
        for key, name in self._names.items():
            values = [row.get(key) for row in block.objects]
            if name in self._text:
                values = [_as_text(value) for value in values]
            self._check_types(name, values, block.lines)
            if self._types[name] in ("number", "integer"):
                columns.append(self._numbers(name, values, block.lines))
            elif self._types[name] == "boolean":
                columns.append(pl.Series(name, values, pl.Boolean))
            else:
                columns.append(self._texts(name, values, block.lines))
        return pl.DataFrame(columns)

    def _check_types(self, name: str, values: Sequence[Any], lines: list[int]) -> None:
        taken = _TAKEN[self._types[name]]
        if taken.issuperset(map(type, values)):
            return
        index = next(i for i, value in enumerate(values) if type(value) not in taken)
        raise self._fault(name, lines[index], _WORDS[type(values[index])])

    def _numbers(self, name: str, values: Sequence[Any], lines: list[int]) -> pl.Series:
        try:
            numbers = np.array(values, np.float64)
        except OverflowError:
            index = next(i for i, value in enumerate(values) if _is_beyond(value, FLOAT32_MAX))
            raise self._fault(name, lines[index], _BEYOND) from None
        most = np.nanmax(np.abs(numbers), initial=0)
        if most > FLOAT32_MAX:
            index = int(np.flatnonzero(np.abs(numbers) > FLOAT32_MAX)[0])
            raise self._fault(name, lines[index], _BEYOND)
        if most > SAFE_INTEGER and self._types[name] == "integer":
            bad = (
                i for i, v in enumerate(values) if type(v) is int and _is_beyond(v, SAFE_INTEGER)
            )
            index = next(bad, -1)
            if index >= 0:
                found = "an integer beyond 2**53, which a number cannot hold exactly"
                raise self._fault(name, lines[index], found)
        return pl.Series(name, numbers).fill_nan(None)

    def _texts(self, name: str, values: Sequence[Any], lines: list[int]) -> pl.Series:
        for line, value in zip(lines, values, strict=True):
            if value is None:
                continue
            if "\0" in value or (not value.isascii() and _has_surrogate(value)):
                raise self._fault(name, line, "text with a NUL or half a surrogate pair")
            if self._types[name] == "date" and value and not is_date(value):
                raise self._fault(name, line, "text")
        return pl.Series(name, [value or None for value in values], pl.String)

    def _fault(self, name: str, line: int, found: str) -> BadFileError:
        kind = self._types[name]
        message = f"line {line}, column {name!r}: expected {_MEANT[kind]}, found {found}"
        if kind != "text" and found not in ("a list", "an object"):
            message += "; name the column in text to read it as text"
        return BadFileError(message, line, name)


_BEYOND = "a number beyond float32 (at most 3.4e38)"


def _blocks(source: Path) -> Iterator[Block]:
    """The objects of the file; the first block is the sample."""
    most = SAMPLE_ROWS
    with source.open("rb") as file:
        numbered = Lines(file)
        block, characters = Block([], []), 0
        for line in numbered:
            if not line.strip():
                continue
            block.objects.append(_object(line, numbered.number))
            block.lines.append(numbered.number)
            characters += len(line)
            if len(block.lines) >= most or characters >= _BLOCK_CHARACTERS:
                yield block
                block, characters, most = Block([], []), 0, _BLOCK_ROWS
        if block.lines:
            yield block


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line.rstrip("\n"))
    except json.JSONDecodeError as error:
        message = f"line {number}: no JSON at character {error.pos + 1}: expected one object"
        raise BadFileError(message, number) from error
    except RecursionError as error:
        raise BadFileError(f"line {number}: nested too deeply", number) from error
    except ValueError as error:  # Python converts no integer of more than 4,300 digits.
        raise BadFileError(f"line {number}: found {_BEYOND}", number) from error
    if not isinstance(found, dict):
        message = f"line {number}: expected a JSON object, found {_WORDS[type(found)]}"
        raise BadFileError(message, number)
    return found


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


def _as_text(value: Any) -> Any:
    """Numbers and booleans as JSON writes them, for a column that is to be read as text."""
    return json.dumps(value) if isinstance(value, int | float) else value


def _is_beyond(value: Any, most: float) -> bool:
    return isinstance(value, int) and abs(value) > most


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
