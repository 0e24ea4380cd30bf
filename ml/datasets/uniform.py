"""Objects of numbers become columns, a block of lines at once, where all are written alike.

A file of numbers mostly comes from one program, which writes every key, in one order, each time. A
regular expression tells whether a block is of such lines and of nothing else, to the letter; in one
that is, the values are what stands between colons and commas or braces, and polars' parser of CSV
reads them. Neither needs Python's lock, so that several blocks are read at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from ml.datasets.cells import FLOAT32_MAX, SAFE_INTEGER
from ml.datasets.profile import NUMERIC, ColumnType
from ml.datasets.records import MAX_LINE_BYTES

MOST_KEYS = 64
"""Of an object: the expression grows with them, and beyond a size it takes many times as long."""

# -0 is an integer to JSON, whose value is 0 without a sign: it is left to others.
_FRACTION = r"(?:\.[0-9]+)"
_EXPONENT = r"(?:[eE][+-]?[0-9]+)"
_NUMBER = rf"(?:0|-?[1-9][0-9]*){_FRACTION}?{_EXPONENT}?|-0(?:{_FRACTION}{_EXPONENT}?|{_EXPONENT})"
_VALUE = f"(?:{_NUMBER}|null)"
_BOOLEAN = "(?:true|false|null)"

_PLAIN_KEY = re.compile(r'[^"\\:,{}\x00-\x1f]+')
"""A key that stands in JSON as it is, and holds nothing that parts values."""


class UniformReader:
    """Reads lines of objects that hold all keys given, in their order, and numbers or booleans."""

    def __init__(self, names: Mapping[str, str], types: Mapping[str, ColumnType]) -> None:
        """Be ready for objects with the keys of ``names``, which are columns of these ``types``.

        Raises:
            ValueError: there are too many keys, or columns that may hold text.
        """
        plain = all(_PLAIN_KEY.fullmatch(key) for key in names)
        if not plain or len(names) > MOST_KEYS or not NUMERIC.issuperset(types.values()):
            raise ValueError("no objects that could be read so")
        self._columns = [(name, types[name]) for name in names.values()]
        members = [
            f'"{re.escape(key)}": ?{_BOOLEAN if types[name] == "boolean" else _VALUE}'
            for key, name in names.items()
        ]
        self._lines = rf"\A(?:\{{{', ?'.join(members)}\}}\r?\n)+\z"
        self._has_booleans = "boolean" in types.values()

    @classmethod
    def of(cls, names: Mapping[str, str], types: Mapping[str, ColumnType]) -> UniformReader | None:
        """A reader of such objects; None where there can be none."""
        try:
            return cls(names, types)
        except ValueError:
            return None

    def frame(self, block: bytes) -> pl.DataFrame | None:
        """The objects of a block of whole lines, one of each line; None where a closer look is
        needed. Threads may ask at once."""
        if len(block) > MAX_LINE_BYTES:  # It may hold a line that is too long.
            return None
        if not block.endswith(b"\n"):
            block += b"\n"
        try:
            if not pl.Series([block]).cast(pl.String).str.contains(self._lines).item():
                return None
            values = _values(block, self._has_booleans)
        except pl.exceptions.PolarsError:  # No UTF-8, or an expression that is too large.
            return None
        width = len(self._columns)
        if len(values) % width:
            return None
        columns = []
        for place, (name, kind) in enumerate(self._columns):
            column = values.gather_every(width, place).alias(name)
            most = SAFE_INTEGER if kind == "integer" else FLOAT32_MAX
            least: Any = column.min()
            greatest: Any = column.max()
            if least is not None and not -most <= least <= greatest <= most:
                return None
            columns.append(column.cast(pl.Boolean) if kind == "boolean" else column)
        return pl.DataFrame(columns)


def _values(block: bytes, has_booleans: bool) -> pl.Series:
    """The values of a block that is known to be of such lines, one object after the other.

    With a comma for each brace that closes an object, every value ends in one: to a parser of CSV
    each is the second cell of a line of its own.
    """
    if has_booleans:
        block = re.sub(rb":( ?)(?:(true)|false)", _digit, block)
    cells = block.replace(b"}", b",").rstrip(b"\r\n")
    return pl.read_csv(
        cells,
        separator=":",
        eol_char=",",
        quote_char=None,
        has_header=False,
        schema={"key": pl.String, "value": pl.Float64},
        columns=[1],
        null_values=["null", " null"],
    ).to_series()


def _digit(found: re.Match[bytes]) -> bytes:
    return b":1" if found[2] else b":0"
