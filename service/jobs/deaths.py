"""How a training process ended, as the error of its job."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from service.entities import JobError

TRY_AGAIN = 75
"""Exit code of a training process that the database left alone; EX_TEMPFAIL of <sysexits.h>."""

OUT_OF_MEMORY = JobError(
    "out_of_memory",
    "its process was killed as the memory ran out: use fewer rows or a smaller model",
)

_CGROUPS = Path("/sys/fs/cgroup")


def count_memory_kills(proc: Path = Path("/proc"), cgroups: Path = _CGROUPS) -> int | None:
    """How many processes the kernel has killed for memory: in our own group where it says, else on
    the whole machine; None where it does not tell. What counts is whether the number grows."""
    for file in (*_group_files(proc, cgroups), proc / "vmstat"):
        found = _number_after("oom_kill", file)
        if found is not None:
            return found
    return None


def _group_files(proc: Path, cgroups: Path) -> list[Path]:
    """Those of our own group, which counts its own kills only, then those of the root: in a
    container the own group is mounted there."""
    files = []
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        # "0::/some/group" is of version 2, "4:cpu,memory:/some/group" of version 1.
        _, controllers, group = line.split(":", 2)
        if not controllers:
            files.append(cgroups / group.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            files.append(cgroups / "memory" / group.lstrip("/") / "memory.oom_control")
    return [*files, cgroups / "memory.events", cgroups / "memory" / "memory.oom_control"]


def _number_after(word: str, file: Path) -> int | None:
    try:
        for line in file.read_text().splitlines():
            name, _, number = line.partition(" ")
            if name == word:
                return int(number)
    except (OSError, ValueError):
        return None
    return None


class Coroner:
    """Tells a kill for want of memory from any other; make it before the process starts."""

    def __init__(self, count: Callable[[], int | None] = count_memory_kills) -> None:
        self._count = count
        self._before = count()

    def why(self, status: int) -> JobError | None:
        """The error of a process with that wait status; None where it ended well."""
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return None
        if code > 0:
            return JobError("crashed", f"its process exited with code {code}")
        if code == -signal.SIGKILL and self._memory_ran_out():
            return OUT_OF_MEMORY
        return JobError("crashed", f"its process was killed by {_name(-code)}")

    def _memory_ran_out(self) -> bool:
        now = self._count()
        return now is not None and self._before is not None and now > self._before


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
