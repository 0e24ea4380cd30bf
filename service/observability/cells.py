"""Numbers that the processes of one tree share: float64 cells in one piece of memory.

A web worker has a *slot* of cells that it alone writes, with plain stores and no lock; whoever
reads adds up the slots. The memory belongs to the tree: it outlives a worker, and the next one in
the same slot goes on from its numbers.

Labelled numbers lie in a `Table`: rows by name. Which row has which name is the same in all slots,
so a row is the same cells of every slot.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

CELL_BYTES = 8
NAME_CELLS = 14
"""A name has at most 112 bytes of UTF-8."""

_GENERATION, _USED_AT, _NAME = 0, 1, 2
_ENTRY = _NAME + NAME_CELLS
"""Cells of the directory for one row: how often it changed, when it was last used, its name."""

OTHER = "other"
"""The name of row 0, for all that has no row of its own."""

REST_SECONDS = 60.0
"""A row that nobody keeps is given to another name once it was not used for so long: more than a
request takes."""

LOCK_SECONDS = 0.1
"""Rows are given out in microseconds; whoever takes longer is stopped, and is not waited for."""


@dataclass(frozen=True)
class Shape:
    """Rows by name, of so many cells each; ``kept_at`` is the cell by which a slot keeps a row from
    being given to another name, None where rows are for ever."""

    rows: int
    width: int
    kept_at: int | None = None


class Memory:
    """The cells of a tree: those of the tree itself, and those of each slot.

    Made once by the parent; the file descriptor ``fd`` is what other processes open it by.
    """

    def __init__(self, fd: int, slots: int, tree_cells: int, own: int, shapes: list[Shape]) -> None:
        self.fd = fd
        self.slots = slots
        self.own = own
        directories = sum(shape.rows * _ENTRY for shape in shapes)
        self.per_slot = own + sum(shape.rows * shape.width for shape in shapes)
        self.first_slot = tree_cells + directories
        size = (self.first_slot + slots * self.per_slot) * CELL_BYTES
        if os.fstat(fd).st_size == 0:
            os.ftruncate(fd, size)
        self.cells = memoryview(mmap.mmap(fd, size)).cast("d")
        self.tables: list[Table] = []
        directory, cell = tree_cells, own
        for shape in shapes:
            self.tables.append(Table(self, shape, directory, cell))
            directory += shape.rows * _ENTRY
            cell += shape.rows * shape.width

    def close(self) -> None:
        """Let go of the file; the cells can still be read and written."""
        os.close(self.fd)

    def slot(self, slot: int) -> int:
        """The index of the first cell of a slot."""
        return self.first_slot + slot * self.per_slot

    def sums(self, cell: int, count: int) -> list[float]:
        """``count`` cells from ``cell`` of a slot on, added up over all slots."""
        starts = [self.slot(slot) + cell for slot in range(self.slots)]
        columns = zip(*(self.cells[start : start + count] for start in starts), strict=True)
        return [sum(column) for column in columns]


class Table:
    """Rows by name. Claim rows from one thread of a process only; read from any."""

    def __init__(self, memory: Memory, shape: Shape, directory: int, cell: int) -> None:
        self._memory = memory
        self._cells = memory.cells
        self._directory = directory
        self._cell = cell
        self.shape = shape

    def claim(self, name: str) -> tuple[int, float]:
        """The row of that name, given to it now if it had none, and its generation.

        Row 0 where there is no room or the name is too long.
        """
        encoded = name.encode()
        row: int | None = 0
        if name != OTHER and len(encoded) <= NAME_CELLS * CELL_BYTES:
            row = self._find(encoded)
        row = self._give(encoded) if row is None else row
        return row, self._cells[self._entry(row) + _GENERATION]

    def cell(self, row: int) -> int:
        """Where in a slot the cells of a row begin."""
        return self._cell + row * self.shape.width

    def generation_at(self, row: int) -> int:
        """The index of the cell that changes when the row is given to another name."""
        return self._entry(row) + _GENERATION

    def used_at(self, row: int) -> int:
        """The index of the cell that tells when the row was used, by the machine's steady clock."""
        return self._entry(row) + _USED_AT

    def read(self) -> Iterator[tuple[str, list[float]]]:
        """Each name with its cells added up over the slots."""
        for row in range(self.shape.rows):
            seen = self._read(row)
            if seen is not None:
                yield seen

    def find(self, name: str) -> list[float] | None:
        """The cells of that name, added up over the slots; None where it has no row."""
        row = self._find(name.encode())
        seen = None if row is None else self._read(row)
        return seen[1] if seen is not None and seen[0] == name else None

    def greatest(self, name: str, offset: int) -> float:
        """The greatest number that any slot has in a cell of that name's row; 0 without a row."""
        row = self._find(name.encode())
        if row is None:
            return 0.0
        cell = self.cell(row) + offset
        return max(
            self._cells[self._memory.slot(slot) + cell] for slot in range(self._memory.slots)
        )

    def _read(self, row: int) -> tuple[str, list[float]] | None:
        at = self._entry(row)
        while True:
            before = self._cells[at]
            if row and (before == 0 or before % 2):
                return None
            name = OTHER if row == 0 else self._name(row).decode()
            sums = self._memory.sums(self.cell(row), self.shape.width)
            if self._cells[at] == before:
                return name, sums

    def _entry(self, row: int) -> int:
        return self._directory + row * _ENTRY

    def _name(self, row: int) -> bytes:
        at = self._entry(row) + _NAME
        return self._cells[at : at + NAME_CELLS].tobytes().rstrip(b"\0")

    def _find(self, name: bytes) -> int | None:
        for row in range(1, self.shape.rows):
            generation = self._cells[self._entry(row)]
            if generation and generation % 2 == 0 and self._name(row) == name:
                return row
        return None

    def _give(self, name: bytes) -> int:
        if not self._lock():
            return 0
        try:
            found = self._find(name)
            if found is not None:
                return found
            row = self._vacant()
            if row:
                self._write(row, name)
            return row
        finally:
            fcntl.lockf(self._memory.fd, fcntl.LOCK_UN)

    def _lock(self) -> bool:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                # Of the process, not of the open file, which forked processes share; it ends with
                # the process.
                fcntl.lockf(self._memory.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.000_1)
            else:
                return True

    def _vacant(self) -> int:
        """A row that nobody has, else the one not used for longest that nobody keeps, else 0."""
        entries = [self._cells[self._entry(row)] for row in range(self.shape.rows)]
        for row, generation in enumerate(entries):
            # Odd: whoever was giving it out has died over it.
            if row and (generation == 0 or generation % 2):
                return row
        kept_at = self.shape.kept_at
        if kept_at is None:
            return 0
        ago = time.monotonic() - REST_SECONDS
        idle = [
            (self._cells[self.used_at(row)], row)
            for row in range(1, self.shape.rows)
            if self._cells[self.used_at(row)] < ago
            and not self._memory.sums(self.cell(row) + kept_at, 1)[0]
        ]
        return min(idle, default=(0.0, 0))[1]

    def _write(self, row: int, name: bytes) -> None:
        at = self._entry(row)
        generation = self._cells[at] // 2 * 2
        self._cells[at] = generation + 1
        for slot in range(self._memory.slots):
            first = self._memory.slot(slot) + self.cell(row)
            self._cells[first : first + self.shape.width] = memoryview(
                bytes(self.shape.width * CELL_BYTES)
            ).cast("d")
        padded = memoryview(name.ljust(NAME_CELLS * CELL_BYTES, b"\0")).cast("d")
        self._cells[at + _NAME : at + _ENTRY] = padded
        self._cells[at + _USED_AT] = time.monotonic()
        self._cells[at] = generation + 2


def make_file(name: str = "refit-metrics") -> int:
    """A file in no folder, for memory that processes share; its descriptor. ``name`` is what the
    system's own tools call it."""
    if sys.platform == "linux":
        # Of memory only: nothing of it is ever written to a disk.
        return os.memfd_create(name)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
