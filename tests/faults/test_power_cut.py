"""Power cuts: what nobody waited for is there, gone or torn; what was acknowledged is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import victims
from tests.faults.counting import Count, pick
from tests.faults.laying import (
    complaints_about,
    complaints_about_datasets,
    lay_empty,
)
from tests.faults.power import cut_the_power
from tests.faults.tracing import Work, needs_strace

pytestmark = [pytest.mark.faults, needs_strace]

CUTS = pick(200, 5000, "CUTS")


def about_versions(there: int) -> Callable[[Path, int, bool], list[str]]:
    """The oracle of publications on top of so many versions."""

    def complaints(data: Path, said: int, repeat: bool) -> list[str]:
        return complaints_about(data, range(1, there + said + 1), repeat)

    return complaints


def about_dataset(data: Path, said: int, repeat: bool) -> list[str]:
    return complaints_about_datasets(data, [victims.DATASET] * said)


def test_what_was_acknowledged_outlives_a_power_cut(
    base: Path, fast_path: Path, count: Callable[..., Count]
) -> None:
    cut = count("power cut during two publications")
    cut_the_power(victims.publish_twice, base, fast_path, cut, CUTS, about_versions(1))
    cut.require_none(CUTS)


def test_the_first_version_outlives_a_power_cut(
    fast_path: Path, count: Callable[..., Count]
) -> None:
    cut = count("power cut during the first publication")
    empty = lay_empty(fast_path / "empty")
    cut_the_power(victims.publish_twice, empty, fast_path, cut, CUTS // 2, about_versions(0))
    cut.require_none(CUTS // 2)


def test_a_dataset_outlives_a_power_cut(
    base: Path, fast_path: Path, count: Callable[..., Count]
) -> None:
    cut = count("power cut during the publication of the first dataset")
    cut_the_power(victims.publish_dataset, base, fast_path, cut, CUTS // 2, about_dataset)
    cut.require_none(CUTS // 2)


# ---- the oracle is no yes-man ----


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (victims.publish_without_fsync, "does not load"),
        (victims.publish_with_normal, "was acknowledged and is lost"),
    ],
)
def test_the_oracle_notices_a_planted_fault(
    work: Work, said: str, base: Path, fast_path: Path
) -> None:
    planted = Count("planted")
    cut_the_power(work, base, fast_path, planted, 100, about_versions(1))
    assert any(said in complaint for complaint in planted.complaints), planted.complaints
