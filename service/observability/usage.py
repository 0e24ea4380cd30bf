"""What the processes of the tree use, as the system tells it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from service.observability import layout
from service.observability.layout import Shared


@dataclass(frozen=True)
class Usage:
    """What one process uses. CPU times are in seconds; ``children`` is of those that ended and
    were waited for, with theirs."""

    cpu: float
    children: float
    memory_bytes: int
    open_fds: int | None
    """None where the system does not tell, as of a process of another user."""
    started_at: float


@dataclass(frozen=True)
class TreeUsage:
    """What the tree uses; CPU times in seconds."""

    processes: dict[str, Usage]
    """Those that live long: `parent`, `supervisor`, `web-0`, …"""
    training_cpu: float
    """Of all trainings of this supervisor, also of those that have ended."""
    training_memory_bytes: int
    cpu: float
    """Of all processes, also of those that have ended."""


def read_usage(shared: Shared) -> TreeUsage:
    """Look at every process of the tree. One that ends meanwhile is left out."""
    named = {"parent": int(shared.cells[layout.PARENT_PID]), "supervisor": shared.supervisor_pid}
    named |= {f"web-{slot}": pid for slot, pid in shared.worker_pids().items()}
    seen, trainings = {}, []
    for name, pid in named.items():
        usage = _read(pid) if pid else None
        if usage is not None:
            seen[name] = usage
    if shared.supervisor_pid:
        trainings = _read_children(shared.supervisor_pid)
    training_cpu = sum(usage.cpu + usage.children for usage in trainings)
    supervisor = seen.get("supervisor")
    if supervisor is not None:
        training_cpu += supervisor.children
        if shared.cells[layout.TRAINING_SINCE] != supervisor.started_at:
            shared.cells[layout.TRAINING_SINCE] = supervisor.started_at
            shared.cells[layout.TRAINING_CPU] = 0.0
    total = sum(usage.cpu + usage.children for usage in (*seen.values(), *trainings))
    return TreeUsage(
        processes=seen,
        training_cpu=_not_less(shared, layout.TRAINING_CPU, training_cpu),
        training_memory_bytes=sum(usage.memory_bytes for usage in trainings),
        cpu=_not_less(shared, layout.TREE_CPU, total),
    )


def _not_less(shared: Shared, cell: int, value: float) -> float:
    """The value, or the larger one that was told before: who ended between two looks of ours is
    in neither, and a counter that falls counts as one that began anew."""
    shared.cells[cell] = value = max(value, shared.cells[cell])
    return value


def _read(pid: int) -> Usage | None:
    try:
        return _usage(psutil.Process(pid))
    except psutil.Error:
        return None


def _read_children(pid: int) -> list[Usage]:
    try:
        children: Iterable[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    usages = (_read(child.pid) for child in children)
    return [usage for usage in usages if usage is not None]


def _usage(process: psutil.Process) -> Usage:
    with process.oneshot():
        times = process.cpu_times()
        try:
            open_fds = process.num_fds()
        except (psutil.AccessDenied, psutil.ZombieProcess):
            open_fds = None
        return Usage(
            cpu=times.user + times.system,
            children=getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0),
            memory_bytes=process.memory_info().rss,
            open_fds=open_fds,
            started_at=process.create_time(),
        )
