"""Who may import whom, seen in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _loaded(*steps: str) -> list[set[str]]:
    """The modules that a fresh process has loaded after each import."""
    lines = [f"import {step}; print(*sys.modules)" for step in steps]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(["import sys", *lines])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_specs_errors_and_the_command_line_load_no_torch() -> None:
    names = ("ml.errors", "ml.spec.base", "ml.spec.data", "ml.spec.model", "ml.spec.training")
    loaded = _loaded(*names, "ml.cli")[-1]  # without torch, --help answers at once
    assert {*names, "ml.cli"} <= loaded
    assert not {"torch", "numpy", "matplotlib"} & loaded


def test_a_process_that_predicts_and_draws_cannot_train() -> None:
    predicts, draws = _loaded("ml.artifact, ml.predictor", "ml.plots")
    assert {"torch", "ml.predictor"} <= predicts
    assert "matplotlib" not in predicts
    assert {"matplotlib", "ml.plots"} <= draws
    # Nothing global, no screen.
    assert not {"matplotlib.pyplot", "tkinter"} & draws
    assert not {name for name in draws if name.startswith("ml.training")}


def test_training_loads_no_matplotlib() -> None:
    (loaded,) = _loaded("ml.training.fit")
    assert "torch" in loaded
    assert "matplotlib" not in loaded
