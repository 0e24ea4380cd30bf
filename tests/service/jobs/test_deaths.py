"""How a training process ended, as the error of its job."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from service.entities import JobError
from service.jobs.deaths import OUT_OF_MEMORY, Coroner, count_memory_kills


def counting(*numbers: int | None) -> Coroner:
    """It finds these numbers of kills for memory, one after the other."""
    rest = iter(numbers)
    return Coroner(lambda: next(rest))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0, None),
        (1 << 8, JobError("crashed", "its process exited with code 1")),
        (int(signal.SIGSEGV), JobError("crashed", "its process was killed by SIGSEGV")),
        (int(signal.SIGKILL), JobError("crashed", "its process was killed by SIGKILL")),
        (int(signal.SIGSEGV) | 0x80, JobError("crashed", "its process was killed by SIGSEGV")),
        (40, JobError("crashed", "its process was killed by signal 40")),
    ],
)
def test_an_end_is_told_in_words(status: int, error: JobError | None) -> None:
    assert counting(3, 3).why(status) == error


def test_a_kill_while_the_kernel_killed_for_memory_is_told_as_such() -> None:
    assert counting(3, 4).why(int(signal.SIGKILL)) == OUT_OF_MEMORY
    # Another process was meant.
    error = counting(3, 4).why(int(signal.SIGSEGV))
    assert error is not None
    assert error.code == "crashed"


@pytest.mark.parametrize("numbers", [(None, None), (None, 4), (3, None)])
def test_where_the_kernel_does_not_tell_a_kill_is_a_kill(numbers: tuple[int | None, ...]) -> None:
    error = counting(*numbers).why(int(signal.SIGKILL))
    assert error is not None
    assert error.code == "crashed"


def lay(root: Path, **files: str) -> None:
    for name, text in files.items():
        file = root / name.replace("__", "/").replace("_events", ".events")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_kills_are_counted_in_our_own_group_before_the_whole_machine(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    assert count_memory_kills(proc, groups) is None
    lay(proc, vmstat="pgfault 5\noom_kill 7\n")
    assert count_memory_kills(proc, groups) == 7
    lay(groups, memory_events="oom 9\noom_kill 2\n")
    assert count_memory_kills(proc, groups) == 2
    lay(proc, self__cgroup="0::/service/refit\n")
    lay(groups, service__refit__memory_events="low 0\noom_kill 1\noom_group_kill 0\n")
    assert count_memory_kills(proc, groups) == 1


def test_of_cgroups_of_version_1_our_own_is_asked_first_too(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    # In a container its own group is mounted in place of the root.
    lay(groups, **{"memory/memory.oom_control": "under_oom 0\noom_kill 3\n"})
    lay(proc, self__cgroup="5:cpu,cpuacct:/other\n4:memory:/service/refit\n0::/\n")
    assert count_memory_kills(proc, groups) == 3
    lay(groups, **{"memory/service/refit/memory.oom_control": "under_oom 0\noom_kill 1\n"})
    assert count_memory_kills(proc, groups) == 1


def test_a_file_that_makes_no_sense_is_as_none(tmp_path: Path) -> None:
    lay(tmp_path, vmstat="oom_kill many\n")
    assert count_memory_kills(tmp_path, tmp_path) is None
