"""The rows of a CSV file one by one, with the line that each begins at: slow, and strict.

polars reads the file; this reads its first rows, to see what it holds, and, where polars gives up,
the rows up to the one at fault. It keeps to RFC 4180, with LF or CRLF, in bounded memory.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ml.datasets.cells import BLANKS
from ml.errors import BadFileError

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Of one line, and of one cell: whoever has longer ones forgot a quotation mark."""

_BLOCK_BYTES = 256 * 1024
"""Fits the cache of a core, which the bytes of a block are looked at in several times."""

BOM = b"\xef\xbb\xbf"


class Lines:
    """The physical lines of a file as text that ends in LF."""

    def __init__(self, file: IO[bytes], number: int = 0) -> None:
        self._file = file
        self.number = number
        """The line given last, counted from 1: as many lines come before the first given here."""
        self.quotes = 0
        """Quotation marks given since the caller last set it to 0."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE_BYTES + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if self.number == 1:
            line = line.removeprefix(BOM)
        self.quotes += line.count(b'"')
        return decode_line(line, self.number)


def decode_line(line: bytes, number: int) -> str:
    """The line as text, its end as LF.

    Raises:
        BadFileError: it is not UTF-8, holds NUL, or is longer than `MAX_LINE_BYTES`.
    """
    if len(line) > MAX_LINE_BYTES:
        most = MAX_LINE_BYTES // 2**20
        raise BadFileError(f"line {number}: longer than {most} MiB", number)
    if b"\0" in line:
        message = f"line {number}: a NUL byte, which no text has: save the file as UTF-8"
        raise BadFileError(message, number)
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        message = (
            f"line {number}: byte {error.start + 1} of the line is not UTF-8: "
            "save the file as UTF-8 (it may be Latin-1 or Windows-1252)"
        )
        raise BadFileError(message, number) from error
    return text[:-2] + "\n" if text.endswith("\r\n") else text


def records(
    file: IO[bytes], delimiter: str, lines_before: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """The line that each row begins at, and its cells; the header is the first. Lines without any
    character are left out.

    Raises:
        BadFileError: a line is not UTF-8 text, or quotation marks do not pair as they must.
    """
    csv.field_size_limit(MAX_LINE_BYTES)
    lines = Lines(file, lines_before)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        begins = lines.number + 1
        lines.quotes = 0
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise _broken(error, begins, lines.number) from error
        if lines.quotes % 2:
            raise BadFileError(
                f"line {begins}: a quotation mark inside a cell that does not begin with one: "
                "put the cell in quotation marks and write this one twice",
                begins,
            )
        if cells:
            yield begins, cells


def blocks(source: Path) -> Iterator[bytes]:
    """The file in blocks that end where a row does; what stands behind the last line feed comes
    last."""
    rest = b""
    with source.open("rb", buffering=0) as file:
        while read := file.read(_BLOCK_BYTES):
            block = rest + read
            end = block.rfind(b"\n") + 1
            # An odd number of marks: this line feed is part of a cell.
            while end and block.count(b'"', 0, end) % 2:
                end = block.rfind(b"\n", 0, end - 1) + 1
            rest = block[end:]
            if end:
                yield block[:end]
            elif len(rest) > MAX_LINE_BYTES:
                break
    if rest:
        yield rest


def is_empty(cells: list[str]) -> bool:
    """Whether no cell holds more than blanks."""
    return not any(cell.strip(BLANKS) for cell in cells)


def _broken(error: csv.Error, begins: int, line: int) -> BadFileError:
    reason = str(error)
    if "expected after" in reason:
        message = (
            f"line {line}: text after the closing quotation mark of a cell: "
            "a quotation mark inside a cell is written twice"
        )
        return BadFileError(message, line)
    if "new-line character" in reason:
        message = f"line {line}: a carriage return inside the line: end lines with LF or CRLF"
        return BadFileError(message, line)
    message = (
        f"line {begins}: a quotation mark in the row that begins here is never closed: "
        "a quotation mark inside a cell is written twice"
    )
    return BadFileError(message, begins)


def holds(source: Path, byte: bytes) -> bool:
    """Whether the byte is anywhere in the file."""
    with source.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            if byte in block:
                return True
    return False


def ends_in_empty_line(source: Path) -> bool:
    """Whether the last line of the file holds nothing but blanks, or there are several ends."""
    with source.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 4096))
        last = file.read()
    lines = last.removesuffix(b"\n").split(b"\n")
    return not lines[-1].strip()


def has_bad_end(source: Path, delimiter: str, width: int) -> bool:
    """Whether the file ends without a line feed in a row that cannot be read as ``width`` cells.

    Of such a row polars takes marks that do not pair, and leaves out an empty cell too many.
    """
    with source.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() == b"\n":
            return False
    *_, rest = blocks(source)
    try:
        text = rest.decode()
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error):
        return True
    return any(len(cells) != width and not is_empty(cells) for cells in rows)
