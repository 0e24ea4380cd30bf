"""The table at the end of `make bench` tells reached from missed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.aims import Aim, aims, serving

RACE: dict[str, Any] = {
    "uvicorn": {"per_second": {"64": [100, 100, 200]}, "p50_us": {"1": [80, 80, 80]}},
    "fastapi": {"per_second": {"64": [10, 10, 10]}, "p50_us": {"1": [300, 300, 300]}},
    "refit": {
        "per_second": {"64": [250, 300, 300], "1": [9, 9, 9]},
        "p50_us": {"1": [60, 80, 90]},
    },
}


@pytest.mark.parametrize(
    ("aim", "is_reached"),
    [
        (Aim("", 2.0, least=2), True),
        (Aim("", 1.99, least=2), False),
        (Aim("", 1.2, most=1.2), True),
        (Aim("", 1.21, most=1.2), False),
        # As it is printed.
        (Aim("", 1.204, most=1.2), True),
        (Aim("", 1.206, most=1.2), False),
    ],
)
def test_what_is_reached(aim: Aim, is_reached: bool) -> None:
    assert aim.is_reached is is_reached
    assert ("missed" in aim.line()) is not is_reached


def test_ratios_are_medians_of_those_in_the_same_round() -> None:
    measured = [round(aim.measured, 2) for aim in serving({"race": RACE})]
    assert measured == [2.5, 30.0, 1.0]


def test_what_was_not_measured_is_left_out() -> None:
    assert list(serving({})) == []
    assert list(serving({"race": {"uvicorn": RACE["uvicorn"]}})) == []


def test_the_files_of_a_folder_are_read_and_a_missed_aim_fails(tmp_path: Path) -> None:
    seconds = {"plain loop": 7.0, "Refit": 1.0}
    (tmp_path / "train.json").write_text(json.dumps({"the tutorial's line": seconds}))
    (tmp_path / "slow.json").write_text(json.dumps({"slow": 10_000, "ratio": 1.5}))
    assert [aim.is_reached for aim in aims(tmp_path)] == [True, True]
    command = [sys.executable, "-m", "benchmarks.aims", str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 0
    (tmp_path / "slow.json").write_text(json.dumps({"slow": 10_000, "ratio": 2.5}))
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "slow clients: times alone | at most 2 | 2.50 | **missed** |" in done.stdout
