"""What a file of rows starts with: bytes of another kind of file, and the names of the columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ml.datasets.cells import BLANKS, kind_of
from ml.datasets.options import ReadOptions
from ml.errors import BadFileError

MAX_NAME = 128
"""Characters of a column name; as `ml.spec.base.Name`."""

_UTF16 = "UTF-16 text, which is not read: save the file as UTF-8"
_COMPRESSED = "a compressed file: send it unpacked"
_STARTS = {
    b"\xff\xfe": _UTF16,
    b"\xfe\xff": _UTF16,
    b"\x1f\x8b": _COMPRESSED,
    b"\x28\xb5\x2f\xfd": _COMPRESSED,
    b"x\x01": _COMPRESSED,
    b"x\x9c": _COMPRESSED,
    b"BZh": _COMPRESSED,
    b"\xfd7zXZ": _COMPRESSED,
    b"PK\x03\x04": "a zip archive or an Excel workbook: save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook: save the sheet as CSV",
    b"PAR1": "a Parquet file: send it as such",
    b"ARROW1": "an Arrow file: send it as Parquet",
    b"SQLite format 3": "a SQLite database: export the table as CSV",
    b"%PDF": "a PDF document",
    b"<!DOCTYPE": "an HTML page",
    b"<html": "an HTML page",
}


def check_start(source: Path) -> None:
    """See that the file is text, as far as its first bytes tell.

    Raises:
        BadFileError: it is empty, or of another kind.
    """
    with source.open("rb") as file:
        start = file.read(16)
    if not start:
        raise BadFileError("the file is empty")
    for bytes_, kind in _STARTS.items():
        if start.startswith(bytes_):
            raise BadFileError(f"the file is {kind}")
    # polars unpacks what begins like a zlib stream, and these may begin a text too.
    if start.startswith((b"x^", b"x\xda")):
        message = (
            "the file begins like a compressed (zlib) file: if it is text, "
            "put the name of the first column in quotation marks"
        )
        raise BadFileError(message, 1)


def check_names(names: Sequence[str], options: ReadOptions, line: int | None) -> tuple[str, ...]:
    """The names of the columns without the blanks around them.

    Raises:
        BadFileError: too many; one is blank, too long, has control characters or is there twice; a
            name in ``options.text`` is no column.
    """
    if len(names) > options.max_columns:
        message = f"{len(names):,} columns, where at most {options.max_columns:,} are taken"
        raise BadFileError(message, line)
    found: dict[str, int] = {}
    for place, given in enumerate(names, 1):
        name = given.strip()
        _check_name(name, place, line)
        if name in found:
            message = f"columns {found[name]} and {place} have the same name, {name!r}"
            raise BadFileError(message, line, name)
        found[name] = place
    for name in options.text:
        if name not in found:
            message = f"text names the column {name[:MAX_NAME]!r}, which the file does not have"
            raise BadFileError(message)
    return tuple(found)


def check_header(cells: Sequence[str], line: int) -> None:
    """See that the first row is one of names.

    Raises:
        BadFileError: every cell of it is a number or nothing: the rows begin without a header.
    """
    kinds = {kind_of(cell) for cell in cells}
    if kinds <= {"integer", "number", "missing"} and kinds & {"integer", "number"}:
        message = (
            f"line {line}: the first row holds numbers, where the names of the columns must stand: "
            "add a header"
        )
        raise BadFileError(message, line)


def _check_name(name: str, place: int, line: int | None) -> None:
    if not name.strip(BLANKS):
        raise BadFileError(f"column {place} has no name", line)
    if len(name) > MAX_NAME:
        message = f"the name of column {place} has {len(name)} characters, at most {MAX_NAME}"
        raise BadFileError(message, line)
    # Cc: control characters; Cs: halves of surrogate pairs, which JSON can smuggle in.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise BadFileError(f"the name of column {place} holds a control character", line)
