"""Memory of large requests is kept for the next."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Arrays as 1,000,000 values need them: a body, a copy of it, an answer.
CODE = """
import resource
import numpy as np
from service.serving.heap import keep_freed_memory

keep_freed_memory()

def request():
    one = [np.ones(1_000_000, np.float32) for _ in range(3)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

request()
before = faults()
for _ in range(10):
    request()
print((faults() - before) // 10)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_large_requests_after_the_first_meet_no_page_faults() -> None:
    command = [sys.executable, "-c", CODE]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    # Three arrays of 4 MB have 2,930 pages.
    assert int(told.stdout) < 300
