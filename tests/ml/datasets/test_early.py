"""What is written is on its way to disk before the end, and nothing depends on that."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from ml.datasets import early
from ml.datasets.early import started_early
from tests.ml.datasets.reading import read

Call = tuple[int, int, int]
needs_hints = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="no such hints here")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Begin, length and kind of each hint; a step is 1,000 bytes."""
    found: list[Call] = []
    monkeypatch.setattr(early, "STEP_BYTES", 1_000)
    monkeypatch.setattr(os, "posix_fadvise", lambda _, *call: found.append(call), raising=False)
    return found


def until(calls: list[Call], count: int) -> None:
    for _ in range(2_000):
        if len(calls) >= count:
            return
        time.sleep(0.005)
    raise AssertionError(calls)


@needs_hints
def test_each_step_begins_where_the_last_one_ended(tmp_path: Path, calls: list[Call]) -> None:
    path = tmp_path / "rows"
    with started_early(path), path.open("wb", buffering=0) as file:
        file.write(bytes(1_500))
        until(calls, 1)
        file.write(bytes(2_500))
        until(calls, 2)
        file.write(bytes(10))
    hint = os.POSIX_FADV_DONTNEED
    assert calls == [(0, 1_500, hint), (1_500, 2_500, hint)]


@needs_hints
def test_a_file_that_never_comes_is_no_fault(tmp_path: Path, calls: list[Call]) -> None:
    with started_early(tmp_path / "none"):
        pass
    assert calls == []


@needs_hints
def test_rows_are_kept_where_no_hint_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(*call: object) -> None:
        asked.append(call)
        raise OSError(errno.EINVAL, "no hints for such files")

    monkeypatch.setattr(early, "STEP_BYTES", 1)
    monkeypatch.setattr(early, "_PAUSE", 0)
    monkeypatch.setattr(os, "posix_fadvise", refuse)
    _, rows = read(tmp_path, "a,b\n" + "1,2\n" * 200_000)
    assert len(rows) == 200_000
    assert asked


def test_rows_are_kept_where_there_are_no_hints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    assert read(tmp_path, "a,b\n1,2\n")[1] == [(1.0, 2.0)]
