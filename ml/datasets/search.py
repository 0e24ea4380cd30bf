"""The first cell of a CSV file that cannot be used: a slow look at every row up to it."""

from __future__ import annotations

from pathlib import Path

from ml.datasets.cells import fault_in
from ml.datasets.layout import Layout, is_row
from ml.datasets.records import records
from ml.errors import BadFileError

_MEANT = {
    "number": "a number",
    "integer": "a number",
    "boolean": "true or false",
    "date": "a date such as 2024-01-31",
}


def find_fault(source: Path, layout: Layout) -> BadFileError:
    """What is wrong with the first bad row, by line and column.

    Where this finds none, and polars did, the file as a whole is refused.
    """
    try:
        _check_rows(source, layout)
    except BadFileError as error:
        return error
    return BadFileError("the file cannot be read as CSV: see that quotation marks and cells pair")


def _check_rows(source: Path, layout: Layout) -> None:
    checked = [(i, column) for i, column in enumerate(layout.columns) if column.type != "text"]
    for line, cells in records(source, layout.delimiter):
        if line < layout.first_line or not is_row(line, cells, len(layout.columns)):
            continue
        for place, column in checked:
            found = fault_in(cells[place], column.type, layout.decimal)
            if found is None:
                continue
            message = (
                f"line {line}, column {column.name!r}: expected {_MEANT[column.type]}, "
                f"found {found}; name the column in text to read it as text"
            )
            raise BadFileError(message, line, column.name)
