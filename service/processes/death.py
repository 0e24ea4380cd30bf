"""A child does not outlive its parent, and some die before others."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

_FIRST = 500
"""As if the process had half of the memory beside what it has, when the kernel looks for one to
kill (`man 5 proc_pid_oom_score_adj`)."""


def die_with(parent_pid: int) -> None:
    """From now on this process is killed when ``parent_pid``, its parent, ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch, args=(parent_pid,), daemon=True).start()
    if os.getppid() != parent_pid:
        # It ended before the line above took hold.
        os._exit(1)


def die_first() -> None:
    """Where memory runs out, let the kernel kill this process rather than another; on Linux, as
    far as it may be asked."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST))


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
