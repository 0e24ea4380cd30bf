"""The first cell of a CSV file that cannot be used: a look at every row up to it."""

from __future__ import annotations

import io
import re
from pathlib import Path

from ml.datasets.cells import fault_in
from ml.datasets.inference import ColumnPlan
from ml.datasets.layout import Layout, is_row
from ml.datasets.options import Decimal
from ml.datasets.profile import ColumnType
from ml.datasets.records import blocks, records
from ml.errors import BadFileError

_MEANT = {
    "number": "a number",
    "integer": "a number",
    "boolean": "true or false",
    "date": "a date such as 2024-01-31",
}

_PLAIN_NUMBER = r"[+-]?[0-9]{1,15}(?:POINT[0-9]{0,15})?"
_PLAIN: dict[ColumnType, str] = {
    "number": _PLAIN_NUMBER,
    "integer": _PLAIN_NUMBER,
    "boolean": "true|false|True|False|TRUE|FALSE",
    "date": "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])",
}
"""Cells that are good without a closer look."""


def find_fault(source: Path, layout: Layout) -> BadFileError:
    """What is wrong with the first bad row, by line and column.

    Where this finds none, and polars did, the file as a whole is refused.
    """
    try:
        _check_blocks(source, layout)
    except BadFileError as error:
        return error
    return BadFileError("the file cannot be read as CSV: see that quotation marks and cells pair")


def _check_blocks(source: Path, layout: Layout) -> None:
    plain = _plain_rows(layout)
    lines_before = 0
    for block in blocks(source):
        # Nearly every block is plain, and seen to be in a tenth of the time that its rows take.
        if not plain.fullmatch(block) or not _is_utf8(block):
            _check_rows(block, layout, lines_before)
        lines_before += block.count(b"\n")


def _check_rows(block: bytes, layout: Layout, lines_before: int) -> None:
    checked = [(i, column) for i, column in enumerate(layout.columns) if column.type != "text"]
    for line, cells in records(io.BytesIO(block), layout.delimiter, lines_before):
        if line < layout.first_line or not is_row(line, cells, len(layout.columns)):
            continue
        for place, column in checked:
            _check_cell(line, cells[place], column, layout.decimal)


def _check_cell(line: int, cell: str, column: ColumnPlan, decimal: Decimal) -> None:
    found = fault_in(cell, column.type, decimal)
    if found is not None:
        message = (
            f"line {line}, column {column.name!r}: expected {_MEANT[column.type]}, "
            f"found {found}; name the column in text to read it as text"
        )
        raise BadFileError(message, line, column.name)


def _plain_rows(layout: Layout) -> re.Pattern[bytes]:
    """Rows without quotation marks, of cells that are good without a closer look.

    Nothing in it gives back what it took (``*+``, ``(?>``): the time is linear, and no memory is
    held for a way back.
    """
    delimiter = re.escape(layout.delimiter)
    point = re.escape("," if layout.decimal == "comma" else ".")
    text = f'[^{delimiter}"\\r\\n\\0]*+'
    cells = [
        f"(?>{_PLAIN[column.type].replace('POINT', point)})?" if column.type != "text" else text
        for column in layout.columns
    ]
    return re.compile(f"(?>{delimiter.join(cells)}\\r?\\n)*+".encode())


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True
