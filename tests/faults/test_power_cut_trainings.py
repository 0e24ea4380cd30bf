"""Power cuts while a training writes checkpoints: the next attempt comes to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.jobs.child import run_job
from tests.faults import checkpointing
from tests.faults.checkpointing import Oracle, Run, lay_claimed, run_and_trust
from tests.faults.counting import Count, pick
from tests.faults.power import cut_the_power
from tests.faults.tracing import needs_strace

pytestmark = [pytest.mark.faults, needs_strace]

CUTS = pick(200, 5000, "CUTS") // 5
"""Fewer than of publications: after each one a training runs."""


@pytest.fixture
def start(fast_path: Path) -> Path:
    return lay_claimed(fast_path / "start")


def test_a_training_outlives_a_power_cut(
    start: Path, fast_path: Path, count: Callable[..., Count]
) -> None:
    cut = count("power cut during a training that writes checkpoints")
    oracle = Oracle(start, fast_path / "undisturbed")
    cut_the_power(checkpointing.train, start, fast_path, cut, CUTS, oracle.complaints)
    cut.require_none(CUTS)
    assert oracle.resumed > CUTS // 4, "hardly any had a checkpoint to go on from"


def test_checkpoints_that_a_power_cut_tore_are_passed_over(
    start: Path, fast_path: Path, count: Callable[..., Count]
) -> None:
    torn = count("power cut during a training whose checkpoints no fsync protects")
    oracle = Oracle(start, fast_path / "undisturbed")

    def complaints(data: Path, said: int, repeat: bool) -> list[str]:
        # On such a disk no checkpoint is promised, and the same bits are.
        return oracle.complaints(data, 0, repeat)

    work = checkpointing.train_without_fsync
    cut_the_power(work, start, fast_path, torn, CUTS, complaints)
    torn.require_none(CUTS)
    assert oracle.torn > CUTS // 10, "hardly any was torn"


# ---- the oracle is no yes-man ----


@pytest.mark.parametrize(
    ("run", "times", "said"),
    [(run_job, 20, "was acknowledged"), (run_and_trust, 80, "came to another artifact")],
)
def test_the_oracle_notices_a_planted_fault(
    run: Run, times: int, said: str, start: Path, fast_path: Path
) -> None:
    planted = Count("planted")
    oracle = Oracle(start, fast_path / "undisturbed", run)
    work = checkpointing.train_without_fsync
    cut_the_power(work, start, fast_path, planted, times, oracle.complaints, ["nicked"])
    assert any(said in complaint for complaint in planted.complaints), planted.complaints
