"""What a dataset holds, column by column. Plain dataclasses: free of torch and polars."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

ColumnType = Literal["number", "integer", "boolean", "text", "date"]

NUMERIC: frozenset[ColumnType] = frozenset({"number", "integer", "boolean"})
"""Types whose cells are numbers to a model; true is 1, false is 0."""

ROWS_FILE = "rows.arrow"
"""The one file of a dataset: Arrow IPC, uncompressed, numbers and integers as float64."""

MAX_CATEGORIES = 1000
"""Most distinct values of a text column whose vocabulary is kept: one-hot makes each a feature."""


@dataclass(frozen=True)
class Column:
    """One column; the figures leave missing cells out."""

    name: str
    type: ColumnType
    nulls: int
    """Missing cells."""
    distinct: int
    """Distinct values; exact up to `MAX_CATEGORIES`, else an estimate within a few percent."""
    min: float | str | None
    """Least value (for text and dates the first in order); None where every cell is missing."""
    max: float | str | None
    mean: float | None
    """None for text and dates."""
    std: float | None
    """Population standard deviation (divides by N); None for text and dates."""
    vocabulary: tuple[str, ...] | None
    """The distinct values of a text column in order of code points; None for other columns, and
    where there are more than `MAX_CATEGORIES` or one is longer than 256 characters."""

    @property
    def is_numeric(self) -> bool:
        return self.type in NUMERIC


@dataclass(frozen=True)
class Profile:
    """The rows and columns of a dataset."""

    rows: int
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column | None:
        """The column of that name; None where there is none."""
        return next((column for column in self.columns if column.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Profile:
        """The profile that `to_json` wrote."""
        columns = []
        for column in value["columns"]:
            words = column["vocabulary"]
            columns.append(
                Column(**{**column, "vocabulary": None if words is None else tuple(words)})
            )
        return cls(value["rows"], tuple(columns))
