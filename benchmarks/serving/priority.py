"""Which core a process runs on, and before whom: figures of a machine that others use as well."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SERVER_CORE = 0
CLIENT_CORE = 1
SERVER_PRIORITY = 10
CLIENT_PRIORITY = 11
"""Of real-time threads, of which the higher runs first: the client is the measuring instrument."""

NICENESS = -10
"""Of what is measured without real-time priority."""


def may_have_priority() -> bool:
    """Whether this process may give real-time priority."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except PermissionError:
        return False
    return True


def threads(pids: list[int]) -> list[int]:
    """Every thread of the processes."""
    found: list[int] = []
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            found += [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    return found


def pin(pids: list[int], core: int) -> None:
    """Keep all threads of the processes, and what they start, on one core."""
    for tid in threads(pids):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(tid, {core})


def give_priority(pids: list[int], priority: int, heirs: bool = True) -> None:
    """Real-time priority for all threads of the processes; 0 takes it away.

    With ``heirs`` what they start has it too, else it has none and is not nice either.
    """
    policy = os.SCHED_FIFO if priority else os.SCHED_OTHER
    if not heirs:
        policy |= os.SCHED_RESET_ON_FORK
    for tid in threads(pids):
        with suppress(ProcessLookupError):
            os.sched_setscheduler(tid, policy, os.sched_param(priority))


@contextmanager
def preferred(pids: list[int], real_time: bool) -> Iterator[None]:
    """Real-time priority for the processes meanwhile, where ``real_time`` says that it may be.

    The kernel leaves a twentieth of each second to others, in one piece of 50 ms: a p99 at full
    load shows that.
    """
    if not real_time:
        yield
        return
    give_priority(pids, SERVER_PRIORITY)
    try:
        yield
    finally:
        give_priority(pids, 0)


def client_command(real_time: bool) -> list[str]:
    """What stands before the command of a client."""
    first = ["chrt", "-f", str(CLIENT_PRIORITY)] if real_time else []
    return [*first, "taskset", "-c", str(CLIENT_CORE)]


def be_nice() -> None:
    """Let this process and what it starts run before others, where that is allowed.

    Everything keeps its place relative to the rest: Refit's trainings are nicer by 19 than it.
    """
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
