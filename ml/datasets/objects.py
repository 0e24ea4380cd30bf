"""Objects of JSON become columns one by one: slow, and exact about what is wrong and where.

Python's own parser reads them: polars' would take what we refuse, such as a key that came up too
late for it, or an object where a number has to stand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ml.datasets.cells import FLOAT32_MAX, SAFE_INTEGER, is_date
from ml.datasets.options import ReadOptions
from ml.datasets.profile import ColumnType
from ml.datasets.records import Lines
from ml.errors import BadFileError

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


def read_objects(lines: Lines, most: int, most_characters: int) -> Block:
    """The next objects, at most ``most`` of them; after ``most_characters`` there come no more.

    Raises:
        BadFileError: a line is no JSON object, or cannot be read as text.
    """
    block, characters = Block([], []), 0
    for line in lines:
        if not line.strip():
            continue
        block.objects.append(_object(line, lines.number))
        block.lines.append(lines.number)
        characters += len(line)
        if len(block.lines) >= most or characters >= most_characters:
            break
    return block


class ObjectReader:
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
        # Not numpy's: where the swift roads suffice, it need not be loaded.
        try:
            numbers = [math.nan if value is None else float(value) for value in values]
        except OverflowError:
            index = next(i for i, value in enumerate(values) if _is_beyond(value, FLOAT32_MAX))
            raise self._fault(name, lines[index], _BEYOND) from None
        found = pl.Series(name, numbers, pl.Float64).fill_nan(None)
        most: Any = found.abs().max() or 0
        if most > FLOAT32_MAX:
            index = next(i for i, number in enumerate(numbers) if abs(number) > FLOAT32_MAX)
            raise self._fault(name, lines[index], _BEYOND)
        if most > SAFE_INTEGER and self._types[name] == "integer":
            bad = (
                i for i, v in enumerate(values) if type(v) is int and _is_beyond(v, SAFE_INTEGER)
            )
            index = next(bad, -1)
            if index >= 0:
                fault = "an integer beyond 2**53, which a number cannot hold exactly"
                raise self._fault(name, lines[index], fault)
        return found

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


def _as_text(value: Any) -> Any:
    """Numbers and booleans as JSON writes them, for a column that is to be read as text."""
    return json.dumps(value) if isinstance(value, int | float) else value


def _is_beyond(value: Any, most: float) -> bool:
    return isinstance(value, int) and abs(value) > most


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
