"""Data frames of pandas and polars, told by what they can do; neither is imported.

Both give a column by `frame[name]`, its cells by `to_list()`, and their class makes another one of
a dictionary of lists. What differs is told by the index, which only pandas has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

TEXT_TYPES = ("string", "str", "utf8", "object", "categorical", "category", "enum")
"""How the types of columns of text begin, in lower case, in pandas and polars."""


def is_frame(value: object) -> bool:
    """Whether it is a data frame."""
    return (
        hasattr(value, "columns")
        and hasattr(value, "__getitem__")
        and (hasattr(value, "to_csv") or hasattr(value, "write_csv"))
    )


def is_series(value: object) -> bool:
    """Whether it is a column of a data frame."""
    return hasattr(value, "to_list") and hasattr(value, "name") and hasattr(value, "dtype")


def names_of(frame: Any) -> list[str]:
    """The names of its columns.

    Raises:
        ValueError: one is no string.
    """
    names = list(frame.columns)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"the columns need names that are strings, got {name!r}")
    return names


def cells_of(frame: Any, name: str) -> list[Any]:
    """The cells of a column as Python's own numbers and strings.

    Raises:
        ValueError: there is no such column.
    """
    if name not in frame.columns:
        raise ValueError(f"the frame has no column {name!r}; it has {', '.join(names_of(frame))}")
    cells: list[Any] = frame[name].to_list()
    return cells


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """The rows by the names of the columns."""
    names = names_of(frame)
    columns = [cells_of(frame, name) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def is_text(frame: Any, name: str) -> bool:
    """Whether a column holds text."""
    return str(frame[name].dtype).lower().startswith(TEXT_TYPES)


def all_finite(cells: Sequence[Any]) -> bool:
    """Whether every cell is a finite number, and none is missing or a boolean."""
    return all(
        isinstance(cell, int | float) and not isinstance(cell, bool) and math.isfinite(cell)
        for cell in cells
    )


def as_csv(frame: Any) -> bytes:
    """The frame as CSV with a header, numbers in full."""
    text = frame.write_csv() if hasattr(frame, "write_csv") else frame.to_csv(index=False)
    return str(text).encode()


def series_like(frame: Any, values: list[float]) -> Any:
    """A column `y` beside the rows of a frame, of the same library."""
    kind = type(frame[names_of(frame)[0]]) if is_frame(frame) else type(frame)
    if hasattr(frame, "index"):
        return kind(values, index=frame.index, name="y")
    return kind("y", values)


def frame_like(frame: Any, values: list[list[float]]) -> Any:
    """Columns `y1`, `y2`, … beside the rows of a frame, of the same library."""
    columns = {f"y{place}": list(cells) for place, cells in enumerate(zip(*values, strict=True), 1)}
    if hasattr(frame, "index"):
        return type(frame)(columns, index=frame.index)
    return type(frame)(columns)
