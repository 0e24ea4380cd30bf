"""Checkpoints on disk: the newest two, whole or not there; and when the next one is due."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from service.jobs.checkpoints import EXPECTED_BYTES_PER_SECOND, SHARE, Checkpoints, Pace, sweep
from tests.service.making import PowerCutError


def contents(checkpoints: Checkpoints) -> list[bytes]:
    return [content for _, content in checkpoints.newest_first()]


# ---- on disk ----


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "all" / "job")
    assert (contents(checkpoints), checkpoints.exist) == ([], False)
    for number in range(12):
        checkpoints.write(b"%d" % number)
        wanted = [b"%d" % number, b"%d" % (number - 1)]
        assert contents(checkpoints) == wanted[: number + 1]
    # Another process goes on counting.
    Checkpoints(tmp_path / "all" / "job").write(b"newest")
    assert contents(checkpoints) == [b"newest", b"11"]
    checkpoints.delete()
    assert (contents(checkpoints), checkpoints.exist) == ([], False)
    checkpoints.delete()


def test_whether_an_attempt_advanced_is_told_by_the_names(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "job")
    assert not checkpoints.advanced_by(1)
    checkpoints.write(b"one", 1)
    checkpoints.write(b"two", 12)
    checkpoints.write(b"three")
    assert [checkpoints.advanced_by(fence) for fence in (1, 2, 12)] == [False, False, True]
    assert contents(checkpoints) == [b"three", b"two"]
    assert sorted(path.name for path in (tmp_path / "job").iterdir()) == [
        "000000002-12",
        "000000003",
    ]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_checkpoint_that_a_power_cut_ends_leaves_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    checkpoints = Checkpoints(tmp_path / "job")
    checkpoints.write(b"one")
    checkpoints.write(b"two")

    def cut(*given: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(os if call == "fsync" else Path, call, cut)
        with pytest.raises(PowerCutError):
            checkpoints.write(b"three")
    assert contents(checkpoints) == [b"two", b"one"]
    checkpoints.write(b"four")
    assert contents(checkpoints) == [b"four", b"two"]
    assert len(list((tmp_path / "job").iterdir())) == 2, "what was left unfinished is gone"


def test_a_full_disk_leaves_those_before_it_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path / "job")
    checkpoints.write(b"one")

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            checkpoints.write(b"two")
    assert contents(checkpoints) == [b"one"]
    assert len(list((tmp_path / "job").iterdir())) == 1


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "job")
    checkpoints.write(b"one")
    (tmp_path / "job" / "000000002").mkdir()
    assert contents(checkpoints) == [b"one"]


def test_the_checkpoints_of_jobs_that_are_over_are_swept(tmp_path: Path) -> None:
    sweep(tmp_path / "none", lambda name: True)
    for name in ("ended", "running"):
        Checkpoints(tmp_path / name).write(b"one")
    sweep(tmp_path, lambda name: name == "ended")
    assert [path.name for path in tmp_path.iterdir()] == ["running"]


# ---- when ----


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def due_after(pace: Pace, clock: Clock, size: int = 0) -> float:
    """Seconds until the next one is due, found by asking ten times a second."""
    began = clock.now
    while not pace.is_due(lambda: size):
        clock.now += 0.1
    return clock.now - began


def test_nothing_is_asked_of_a_training_that_ends_before_the_first() -> None:
    clock = Clock()
    pace = Pace(5.0, clock)
    clock.now += 4.9

    def never() -> int:
        raise AssertionError("it was asked for its size")

    assert not pace.is_due(never)


PROMISED_SHARE = 0.02


@pytest.mark.parametrize("cost", [0.0, 0.01, 0.3, 10.0])
def test_checkpoints_take_less_than_is_promised_though_some_take_twice_as_long(
    cost: float,
) -> None:
    clock = Clock()
    pace = Pace(5.0, clock)
    began, saving = clock.now, 0.0

    def save() -> None:
        clock.now += cost

    def save_slowly() -> None:
        clock.now += 2 * cost

    for number in range(20):
        assert due_after(pace, clock, int(cost * EXPECTED_BYTES_PER_SECOND)) > 4.9
        saving += pace.spend(save if number % 3 else save_slowly)
        assert saving <= PROMISED_SHARE * (clock.now - began)


def test_what_could_not_be_saved_has_taken_its_time_as_well() -> None:
    clock = Clock()
    pace = Pace(5.0, clock)

    def fail() -> None:
        clock.now += 1
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        pace.spend(fail)
    assert due_after(pace, clock) == pytest.approx(1 / SHARE, abs=0.2)
