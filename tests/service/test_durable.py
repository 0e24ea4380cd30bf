"""A folder that is made is still there after a power cut."""

from __future__ import annotations

from pathlib import Path

import pytest

import service.durable
from service.durable import make_folder


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was waited for, in order."""
    seen: list[Path] = []
    monkeypatch.setattr(service.durable, "sync", seen.append)
    return seen


def test_the_folder_above_each_new_folder_is_synced(tmp_path: Path, synced: list[Path]) -> None:
    make_folder(tmp_path / "data" / "artifacts")
    assert (tmp_path / "data" / "artifacts").is_dir()
    assert synced == [tmp_path, tmp_path / "data"]


def test_a_folder_that_is_there_needs_nothing(tmp_path: Path, synced: list[Path]) -> None:
    make_folder(tmp_path)
    assert synced == []
