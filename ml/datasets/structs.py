"""Objects of JSON become columns, a block of lines at once, where each is as the first ones were.

A parser that is told the keys and their types makes no dictionaries, and takes a
fraction of the time of `objects.py`. It says only that a block is fit or is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import polars as pl

from ml.datasets.cells import FLOAT32_MAX, SAFE_INTEGER, is_date
from ml.datasets.profile import ColumnType

_FIELDS: dict[ColumnType, Any] = {
    "number": float | None,
    "integer": float | None,
    "boolean": bool | None,
    "text": str | None,
    "date": str | None,
}


class StructReader:
    """Reads lines of objects that hold no other keys and types than those given."""

    def __init__(self, names: Mapping[str, str], types: Mapping[str, ColumnType]) -> None:
        """Be ready for objects with the keys of ``names``, which are columns of these ``types``.

        Raises:
            ValueError: a key needs an escape in JSON.
        """
        self._columns = [(f"f{i}", name, types[name]) for i, name in enumerate(names.values())]
        row = msgspec.defstruct(
            "Row",
            [(field, _FIELDS[kind], None) for field, _, kind in self._columns],
            rename={field: key for (field, _, _), key in zip(self._columns, names, strict=True)},
            forbid_unknown_fields=True,
            gc=False,
        )
        self._decode: Callable[[bytes], list[Any]] = msgspec.json.Decoder(row).decode_lines

    @classmethod
    def of(cls, names: Mapping[str, str], types: Mapping[str, ColumnType]) -> StructReader | None:
        """A reader of such objects; None where there can be none."""
        try:
            return cls(names, types)
        except ValueError:
            return None

    def frame(self, block: bytes) -> pl.DataFrame | None:
        """The objects of a block of whole lines, one of each line; None where a closer look is
        needed."""
        if not block.endswith(b"\n"):
            block += b"\n"
        # A text becomes NUL by this alone: the parser refuses the byte itself.
        if b"\\u0000" in block:
            return None
        try:
            rows = self._decode(block)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        if not _is_one_each(block, len(rows)):
            return None
        columns = []
        for field, name, kind in self._columns:
            column = _column(name, kind, map(attrgetter(field), rows), len(rows))
            if column is None:
                return None
            columns.append(column)
        return pl.DataFrame(columns)


def _is_one_each(block: bytes, rows: int) -> bool:
    """Whether each line is one of that many objects: the parser would take two of them on a line,
    and one on two lines.

    No object holds another and no text a line feed, so that each of these ends is one of an object,
    and an object.
    """
    bytes_N = np.frombuffer(block, np.uint8)
    ends_R = np.flatnonzero(bytes_N == ord("\n"))
    if len(ends_R) != rows:
        return False
    before_R = bytes_N[ends_R - 1]
    if rows and before_R[0] == ord("\r"):
        before_R = np.where(before_R == ord("\r"), bytes_N[ends_R - 2], before_R)
    return bool((before_R == ord("}")).all())


def _column(name: str, kind: ColumnType, values: Iterable[Any], count: int) -> pl.Series | None:
    if kind in ("number", "integer"):
        # None becomes NaN, which JSON has not.
        numbers = np.fromiter(values, np.float64, count)
        most = SAFE_INTEGER if kind == "integer" else FLOAT32_MAX
        if (np.abs(numbers) > most).any():
            return None
        return pl.Series(name, numbers, nan_to_null=True)
    if kind == "boolean":
        return pl.Series(name, list(values), pl.Boolean)
    texts = pl.Series(name, list(values), pl.String)
    texts = texts.set(texts == "", None)
    if kind == "date" and not all(map(is_date, texts.drop_nulls().unique())):
        return None
    return texts
