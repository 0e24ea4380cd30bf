"""Whether a row of a CSV file ends early: polars fills such rows with nulls, without a word.

Looked for only where it can be: where cells of the last column are missing. It has been read by
then, so that quotation marks pair and no row has too many cells.
"""

from __future__ import annotations

import csv
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from os import SEEK_END
from pathlib import Path

import numpy as np

from ml.datasets.records import blocks, is_empty

_THREADS = 2


def has_short_row(source: Path, delimiter: str, width: int) -> bool:
    """Whether a row that is not empty has fewer than ``width`` cells."""
    look = partial(_has_short_row, separator=ord(delimiter), width=width)
    pending: deque[Future[bool]] = deque()
    with ThreadPoolExecutor(_THREADS) as threads:
        for block in blocks(source):
            pending.append(threads.submit(look, block))
            if len(pending) > 4 * _THREADS and pending.popleft().result():
                return True
        return any(result.result() for result in pending)


def has_bad_end(source: Path, delimiter: str, width: int) -> bool:
    """Whether the file ends without a line feed in a row that cannot be read as ``width`` cells.

    Of such a row polars takes marks that do not pair, and leaves out an empty cell too many.
    """
    with source.open("rb") as file:
        file.seek(-1, SEEK_END)
        if file.read() == b"\n":
            return False
    *_, rest = blocks(source)
    try:
        text = rest.decode()
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error):
        return True
    return any(len(cells) != width and not is_empty(cells) for cells in rows)


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
