"""What an upload may ask, and what is told about datasets."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ml.datasets.profile import ColumnType
from service.entities import DatasetFormat
from service.schemas.jobs import Response

MAX_TEXT_NAMES = 2_000

_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}

Delimiter = Literal["comma", "semicolon", "tab", "pipe", ",", ";", "\t", "|"]


def _printable(name: str) -> str:
    if not name.isprintable() or not name.strip():
        raise ValueError("expected printable characters")
    return name


DatasetName = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]


class UploadQuery(BaseModel):
    """How to read the file, and what to call it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: DatasetName | None = None
    """What people call it; at most 128 printable characters."""
    delimiter: Delimiter | None = None
    """Between the cells of a line of CSV; found out where not given."""
    decimal: Literal["point", "comma"] = "point"
    """What stands before the decimals of a number in CSV."""
    text: Annotated[list[str], Field(max_length=MAX_TEXT_NAMES)] = []
    """Columns to read as text whatever they hold, such as postcodes: `text=a&text=b` or
    `text=a,b`; a name that holds a comma stands in double quotes."""

    def options(self) -> dict[str, Any]:
        """The options in one form, whichever way they were written."""
        names = {name for row in csv.reader(self.text) for name in row}
        delimiter = self.delimiter and _DELIMITERS.get(self.delimiter, self.delimiter)
        return {"delimiter": delimiter, "decimal": self.decimal, "text": sorted(names)}


class ColumnResponse(Response):
    """One column; the figures leave missing cells out."""

    name: str
    type: ColumnType
    """`number`, `integer` and `boolean` are numbers to a model; `text` by its categories only."""
    nulls: int
    """Missing cells."""
    distinct: int
    """Distinct values; a close estimate where there are many."""
    min: float | str | None
    """Least value; of text the first in order. Long text is cut."""
    max: float | str | None
    mean: float | None
    """Null for text and dates."""
    std: float | None
    """Population standard deviation; null for text and dates."""
    categories: list[str] | None
    """The distinct values of a column of text, in order; null where there are too many to show."""


class DatasetSummaryResponse(Response):
    """A dataset as lists show it."""

    id: str
    """Given by the bytes and the way they were read."""
    name: str | None
    sha256: str
    """Of the bytes that were sent."""
    bytes: int
    format: DatasetFormat
    options: dict[str, Any]
    """How the bytes were read."""
    rows: int
    created_at: datetime
    links: dict[str, str]


class DatasetResponse(DatasetSummaryResponse):
    """A dataset in full."""

    columns: list[ColumnResponse]


class DatasetListResponse(Response):
    """A page of datasets, newest first."""

    datasets: list[DatasetSummaryResponse]
    next: str | None
    """Give it as `after` for the next page; null on the last."""
