"""Counts of all faults, told at the end; nothing of the developer's shell reaches a test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.counting import HEAD, LONG, Count, write_into_page
from tests.faults.laying import lay_base
from tests.faults.trainings import Undisturbed, train_undisturbed

_COUNTS: list[Count] = []


@pytest.fixture
def count() -> Callable[..., Count]:
    """Starts the count of a fault, by the name that the page gives it."""

    def start(fault: str, exhaustive: bool = False) -> Count:
        _COUNTS.append(Count(fault, exhaustive))
        return _COUNTS[-1]

    return start


@pytest.fixture
def fast_path() -> Iterator[Path]:
    """An empty folder in memory where there is one: nothing here cuts the power for real, and an
    fsync of a disk takes most of the time of a trial."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one version, which is the active one."""
    return lay_base(tmp_path_factory.mktemp("base") / "data")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What each training gives where nothing is hurt."""
    return train_undisturbed(tmp_path_factory.mktemp("undisturbed") / "data")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("REFIT_")]:
        monkeypatch.delenv(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tried = [count for count in _COUNTS if count.tried]
    if not tried:
        return
    terminalreporter.section("faults")
    for line in [*HEAD.splitlines(), *(count.line for count in tried)]:
        terminalreporter.line(line)
    if LONG:
        write_into_page(tried)
