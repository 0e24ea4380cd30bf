"""What the allocator does with memory that large requests leave behind."""

from __future__ import annotations

import numpy as np

KEPT_BYTES = 32 * 1024 * 1024
"""Four million values and their answers."""


def keep_freed_memory() -> None:
    """Have up to `KEPT_BYTES` of what a large request has freed kept for the next.

    glibc asks the kernel for each block above a threshold, and gives memory back above another,
    twice as large. Both follow the largest block so far that was freed (mallopt(3), "dynamic mmap
    threshold"), so that it is chance whether a request of 1,000,000 values meets 1,900 page faults,
    3 ms of 11, or none. This frees one block, which nothing was written to: it takes no memory.
    Other allocators are not impressed.
    """
    np.empty(KEPT_BYTES // 2, np.uint8)
