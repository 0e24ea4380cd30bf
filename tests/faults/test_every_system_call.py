"""A publication that is killed, or whose disk fails, at each of its system calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import victims
from tests.faults.counting import LONG, Count
from tests.faults.laying import complaints_about, complaints_about_datasets, lay_copy, lay_empty
from tests.faults.tracing import (
    FILES,
    WRITES,
    Work,
    calls_of,
    failing_at,
    killed_at,
    needs_strace,
    traced,
)

pytestmark = [pytest.mark.faults, needs_strace]

long_only = pytest.mark.skipif(not LONG, reason="in the long run only: make faults")


@pytest.fixture
def empty(fast_path: Path) -> Path:
    """A data folder into which nothing was ever published."""
    return lay_empty(fast_path / "empty")


def kill_everywhere(
    work: Work,
    start: Path,
    there: list[int],
    room: Path,
    killed: Count,
    only: tuple[str, ...] = ("all",),
) -> None:
    """Kill ``work`` at each call that it makes; ``there`` are the versions before."""
    calls = ",".join(only)
    for call, place in calls_of(room / "log", calls, work, lay_copy(start, room / "data")):
        data = lay_copy(start, room / "data")
        ending = traced(work, data, options=killed_at(call, place))
        said = complaints_about(data, [*there, *ending.acknowledged])
        if ending.exit_code != -9:
            said.append(f"was not killed: {ending}")
        killed.add(f"{call} {place}", said)


def fail_everywhere(work: Work, start: Path, error: str, room: Path, failing: Count) -> None:
    """Let each call that reaches for files fail in its turn."""
    for call, place in calls_of(room / "log", FILES, work, lay_copy(start, room / "data")):
        data = lay_copy(start, room / "data")
        ending = traced(work, data, options=failing_at(call, place, error))
        said = complaints_about(data, [1, *ending.acknowledged])
        if ending.exit_code != 0:
            said.append(f"ended badly: {ending}")
        if not ending.acknowledged and not ending.refused and call != "write":
            # The answer itself goes by `write`.
            said.append("neither acknowledged nor refused")
        failing.add(f"{call} {place}", said)


def test_a_publication_killed_at_any_call_is_there_or_not(
    base: Path, fast_path: Path, count: Callable[..., Count]
) -> None:
    killed = count("kill -9 at every system call of a publication", exhaustive=True)
    kill_everywhere(victims.publish, base, [1], fast_path, killed)
    killed.require_none(at_least=100)


@long_only
def test_the_first_publication_killed_at_any_call_is_there_or_not(
    empty: Path, fast_path: Path, count: Callable[..., Count]
) -> None:
    killed = count("kill -9 at every system call of the first publication", exhaustive=True)
    kill_everywhere(victims.publish, empty, [], fast_path, killed)
    killed.require_none(at_least=100)


@pytest.mark.parametrize("error", ["EIO", pytest.param("ENOSPC", marks=long_only)])
def test_a_publication_whose_disk_fails_at_any_call_is_refused_or_done(
    base: Path, fast_path: Path, error: str, count: Callable[..., Count]
) -> None:
    failing = count(
        f"{error} from every system call of a publication that reaches for files", exhaustive=True
    )
    fail_everywhere(victims.publish, base, error, fast_path, failing)
    failing.require_none(at_least=80)


def test_a_dataset_killed_at_any_call_is_there_or_not(
    base: Path, fast_path: Path, count: Callable[..., Count]
) -> None:
    kind = "system call" if LONG else "write"
    killed = count(f"kill -9 at every {kind} of the publication of a dataset", exhaustive=True)
    work, data = victims.publish_dataset, fast_path / "data"
    calls = "all" if LONG else WRITES
    for call, place in calls_of(fast_path / "log", calls, work, lay_copy(base, data)):
        ending = traced(work, lay_copy(base, data), options=killed_at(call, place))
        said = complaints_about_datasets(data, ending.acknowledged)
        again = traced(work, data, options=["-o", "/dev/null", "-e", "trace=none"])
        if again.acknowledged != (victims.DATASET,):
            said.append(f"does not work any more: {again}")
        killed.add(f"{call} {place}", said + complaints_about_datasets(data, again.acknowledged))
    killed.require_none(at_least=30)


# ---- the oracle is no yes-man ----


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (victims.register_first, "version 2 does not load"),
        (victims.say_too_early, "version 2 was acknowledged and is lost"),
    ],
)
def test_the_oracle_notices_a_planted_fault(
    work: Work, said: str, base: Path, fast_path: Path
) -> None:
    planted = Count("planted")
    kill_everywhere(work, base, [1], fast_path, planted, only=("mkdir", "rename", "fdatasync"))
    assert planted.failed
    assert any(said in complaint for complaint in planted.complaints), planted.complaints
