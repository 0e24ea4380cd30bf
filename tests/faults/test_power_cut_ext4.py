"""Power cuts of a real ext4, whose drive loses, tears or keeps what it was not told to flush.

The same processes and oracles as in `test_power_cut.py` and `test_power_cut_trainings.py`; there
the file system is a model.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import checkpointing, power_ext4, victims
from tests.faults.checkpointing import Oracle, lay_claimed
from tests.faults.counting import SEED, Count, pick
from tests.faults.drives import NoDriveError, lay_image, mounted, record
from tests.faults.laying import lay_empty
from tests.faults.power import SECTOR
from tests.faults.power_ext4 import Drives, start_anew
from tests.faults.test_power_cut import about_dataset, about_versions
from tests.faults.tracing import Work

pytestmark = pytest.mark.faults

CUTS = pick(30, 1000, "EXT4_CUTS")

Cutting = Callable[..., None]


@pytest.fixture
def cut_the_power(fast_path: Path) -> Cutting:
    """`power_ext4.cut_the_power` where there can be such drives, else the test is skipped."""
    room = fast_path / "drives"
    room.mkdir()

    def cut(work: Work, start: Path, *args: object) -> None:
        try:
            power_ext4.cut_the_power(work, start, room, *args)  # type: ignore[arg-type]
        except NoDriveError as error:
            pytest.skip(f"no drive whose power can be cut: {error}")

    return cut


def test_what_was_acknowledged_outlives_a_power_cut(
    base: Path, cut_the_power: Cutting, count: Callable[..., Count]
) -> None:
    cut = count("power cut of a real ext4 during two publications")
    cut_the_power(victims.publish_twice, base, cut, CUTS, about_versions(1))
    cut.require_none(CUTS)


def test_the_first_version_outlives_a_power_cut(
    fast_path: Path, cut_the_power: Cutting, count: Callable[..., Count]
) -> None:
    cut = count("power cut of a real ext4 during the first publication")
    empty = lay_empty(fast_path / "empty")
    cut_the_power(victims.publish_twice, empty, cut, CUTS // 2, about_versions(0))
    cut.require_none(CUTS // 2)


def test_a_dataset_outlives_a_power_cut(
    base: Path, cut_the_power: Cutting, count: Callable[..., Count]
) -> None:
    cut = count("power cut of a real ext4 during the publication of the first dataset")
    cut_the_power(victims.publish_dataset, base, cut, CUTS // 2, about_dataset)
    cut.require_none(CUTS // 2)


def test_a_training_outlives_a_power_cut(
    fast_path: Path, cut_the_power: Cutting, count: Callable[..., Count]
) -> None:
    cut = count("power cut of a real ext4 during a training that writes checkpoints")
    start = lay_claimed(fast_path / "start")
    oracle = Oracle(start, fast_path / "undisturbed")
    cut_the_power(checkpointing.train, start, cut, CUTS // 5, oracle.complaints)
    cut.require_none(CUTS // 5)


@pytest.mark.parametrize("by_kernel", [True, False])
def test_a_torn_superblock_is_mended_by_its_copy(
    by_kernel: bool, base: Path, fast_path: Path
) -> None:
    try:
        image = lay_image(base, fast_path)
        recording = record(victims.publish_twice, image, fast_path)
    except NoDriveError as error:
        pytest.skip(f"no drive whose power can be cut: {error}")
    drives = Drives(image, recording, random.Random(SEED))
    after = fast_path / "after.ext4"
    _, said = drives.lay(drives.places - 1, after)
    with after.open("r+b") as file:
        # Its second sector; the first begins at 1024. The names are in the journal only.
        file.seek(1024 + SECTOR)
        file.write(bytes(SECTOR))
    assert start_anew(after, by_kernel) == []
    with mounted(after, fast_path / "disk") as disk:
        assert about_versions(1)(disk / "data", said, True) == []
    assert said == 2


# ---- the oracle is no yes-man ----


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (victims.publish_without_fsync, "does not load"),
        (victims.publish_with_normal, "was acknowledged and is lost"),
    ],
)
def test_the_oracle_notices_a_planted_fault(
    work: Work, said: str, base: Path, cut_the_power: Cutting
) -> None:
    planted = Count("planted")
    cut_the_power(work, base, planted, 10, about_versions(1))
    assert any(said in complaint for complaint in planted.complaints), planted.complaints
