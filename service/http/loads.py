"""How many connections each web worker has, in memory that all of them share.

Workers that accept from one socket leave the spreading to luck: on a busy machine, the one that
happens to run takes dozens before the next wakes. So one that has more than another lets it go
first.
"""

from __future__ import annotations

import mmap
import os
from array import array

from service.observability.cells import make_file

ABSENT = -1
"""In the place of a worker that does not run, or has not come so far."""

_ITEM = array("i").itemsize


class Loads:
    """A number for each slot. A worker writes its own only; the parent that of a dead one."""

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, 0)
        self._counts = memoryview(self._memory).cast("i")

    def set(self, slot: int, count: int) -> None:
        """Say how many connections the worker in ``slot`` has."""
        self._counts[slot] = count

    def leads(self, slot: int) -> bool:
        """Whether that worker has so many more than another that it should wait a moment."""
        mine = self._counts[slot]
        others = [count for count in self._counts if count != ABSENT]
        return mine > min(others, default=0) + 2 + mine // 8


def share_loads(slots: int) -> int:
    """A file descriptor of memory for so many workers, none of which is there yet."""
    fd = make_file("refit-loads")
    os.write(fd, array("i", [ABSENT] * slots).tobytes())
    return fd
