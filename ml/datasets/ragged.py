"""Whether a row of a CSV file ends early: polars fills such rows with nulls, without a word.

Looked for only where it can be: where cells of the last column are missing. It has been read by
then, so that quotation marks pair and no row has too many cells.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from ml.datasets.records import blocks, is_empty

_THREADS = 2

_PIECE_BYTES = 256 * 1024
"""Fits the cache of a core, with what is made of it."""


def has_short_row(source: Path, delimiter: str, width: int, first_line: int, rows: int) -> bool:
    """Whether a row that is not empty has fewer than ``width`` cells.

    ``first_line`` is the line that the first row after the header begins at, from 1, and ``rows``
    are as many as were read from there on, empty ones among them.
    """
    if _separators(source, ord(delimiter), first_line) == (width - 1) * rows:
        return False
    look = partial(_has_short_row, separator=ord(delimiter), width=width)
    pending: deque[Future[bool]] = deque()
    with ThreadPoolExecutor(_THREADS) as threads:
        for block in _blocks_from(source, first_line):
            pending.append(threads.submit(look, block))
            if len(pending) > 4 * _THREADS and pending.popleft().result():
                return True
        return any(result.result() for result in pending)


def _blocks_from(source: Path, first_line: int) -> Iterator[bytes]:
    """The blocks of the file without the lines before that one: nobody has counted their cells."""
    left = first_line - 1
    for block in blocks(source):
        ends = block.count(b"\n") if left else 0
        begin = 0
        for _ in range(min(left, ends)):
            begin = block.index(b"\n", begin) + 1
        left -= min(left, ends)
        yield block[begin:]


def _separators(source: Path, separator: int, first_line: int) -> int | None:
    """How many there are from that line on, at the speed of memory; None where a quotation mark is
    among them. Without one, all separate: no row has too many, so that where there are as many as
    all rows must have, none has too few."""
    size = source.stat().st_size
    with source.open("rb") as file:
        for _ in range(first_line - 1):
            file.readline()
        begin = file.tell()
    share = -(-(size - begin) // _THREADS)
    places = range(begin, size, max(share, 1))
    count = partial(_count, source, separator=separator)
    with ThreadPoolExecutor(_THREADS) as threads:
        counts = list(threads.map(count, places, [min(p + share, size) for p in places]))
    known = [found for found in counts if found is not None]
    return sum(known) if len(known) == len(counts) else None


def _count(source: Path, begin: int, end: int, *, separator: int) -> int | None:
    """Separators between two places of the file; None where there is a quotation mark."""
    piece = bytearray(_PIECE_BYTES)
    bytes_P = np.frombuffer(piece, np.uint8)
    separators = 0
    with source.open("rb", buffering=0) as file:
        file.seek(begin)
        while begin < end and (found := file.readinto(memoryview(piece)[: end - begin])):
            # What an earlier reading left behind is no matter: there was none in it.
            if b'"' in piece:
                return None
            separators += int(np.count_nonzero(bytes_P[:found] == separator))
            begin += found
    return separators


def _has_short_row(block: bytes, separator: int, width: int) -> bool:
    if not block.endswith(b"\n"):
        block += b"\n"
    bytes_N = np.frombuffer(block, np.uint8)
    is_mark_N = bytes_N == separator
    is_end_N = bytes_N == ord("\n")
    if b'"' not in block:
        # No row has too many, so that in sum none has too few.
        if np.count_nonzero(is_mark_N) == (width - 1) * np.count_nonzero(is_end_N):
            return False
    elif block.count(b'"') % 2:
        return True
    else:
        _clear_quoted(bytes_N, is_mark_N, is_end_N)
    ends_R = np.flatnonzero(is_end_N)
    is_mark_N |= is_end_N
    marks_R = np.diff(np.flatnonzero(is_end_N[is_mark_N]), prepend=-1) - 1
    for row in np.flatnonzero(marks_R != width - 1):
        begin = ends_R[row - 1] + 1 if row else 0
        line = block[begin : ends_R[row]].decode(errors="replace")
        try:
            cells = next(csv.reader([line], delimiter=chr(separator)), [])
        except csv.Error:  # A carriage return: whether it is a cell or a line, nobody can say.
            return True
        if len(cells) < width and not is_empty(cells):
            return True
    return False


def _clear_quoted(bytes_N: np.ndarray, *masks: np.ndarray) -> None:
    """Unset what lies between a quotation mark and the next, in each of the masks."""
    quotes = np.flatnonzero(bytes_N == ord('"'))
    for mask in masks:
        found = np.flatnonzero(mask)
        # Of each find, the quotation marks before it: an odd number, and it is inside a cell.
        inside = found[np.searchsorted(quotes, found) % 2 == 1]
        mask[inside] = False
