"""The solved exercises: the script runs, says what its page says, and is the tutorial's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from tests.ml import tutorial

ROOT = Path(__file__).parents[2]
EXERCISES = ROOT / "docs" / "exercises"


@dataclass(frozen=True)
class Run:
    lines: list[str]
    folder: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The script as a process of its own, on the CPU."""
    folder = tmp_path_factory.mktemp("exercises") / "models"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXERCISES / "solution.py"), str(folder)],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return Run(done.stdout.splitlines(), folder)


@pytest.fixture(scope="module")
def plain() -> tutorial.Trained:
    """The exercise, solved word for word as the tutorial teaches."""
    return tutorial.train(
        tutorial.LinearRegressionModelV2,
        tutorial.Data(weight=0.3, bias=0.9, step=0.01),
        nn.L1Loss(),
        lambda params: torch.optim.SGD(params, lr=0.01),
        epochs=300,
    )


def _numbers(lines: list[str]) -> list[float]:
    return [float(number) for line in lines for number in re.findall(r"\d+(?:\.\d+)?", line)]


def _words(lines: list[str]) -> list[str]:
    return [re.sub(r"\d+(?:\.\d+)?", "#", line) for line in lines]


def test_the_page_shows_the_real_output(run: Run) -> None:
    page = (EXERCISES / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    shown = [line for block in blocks for line in block.splitlines()]
    assert _words(shown) == _words(run.lines)
    # Another CPU may round the last decimals otherwise.
    assert _numbers(shown) == pytest.approx(_numbers(run.lines), abs=1e-4)


def test_at_least_100_points_are_split_80_to_20(run: Run) -> None:
    points, train, test = _numbers(run.lines[1:2])
    assert points >= 100
    assert (train, test) == (0.8 * points, 0.2 * points)


def test_every_20th_of_300_epochs_is_printed_with_the_tutorials_losses(
    run: Run, plain: tutorial.Trained
) -> None:
    printed = [line for line in run.lines if line.startswith("Epoch")]
    assert printed == [
        f"Epoch: {epoch} | Train loss: {plain.train_loss_values[epoch]:.8f} "
        f"| Test loss: {plain.test_loss_values[epoch]:.8f}"
        for epoch in range(0, 300, 20)
    ]


def test_the_saved_model_is_the_tutorials_to_the_last_bit(
    run: Run, plain: tutorial.Trained
) -> None:
    path = run.folder / "exercise_model.pth"
    loaded = tutorial.load(tutorial.LinearRegressionModelV2, path)
    for key, values in plain.model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], values)
    with torch.inference_mode():
        preds = loaded(tutorial.Data(weight=0.3, bias=0.9, step=0.01).X_test)
    assert torch.equal(preds, plain.y_preds)
    assert run.lines[-1] == f"Equal predictions: {len(preds)} of {len(preds)}"


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("exercise_split.svg", {"Training data", "Testing data"}),
        ("exercise_predictions.svg", {"Training data", "Testing data", "Predictions"}),
        ("exercise_curves.svg", {"Train loss", "Test loss"}),
    ],
)
def test_the_pictures_show_what_they_should(run: Run, name: str, labels: set[str]) -> None:
    page = ElementTree.parse(run.folder / name).getroot()
    texts = {"".join(element.itertext()).strip() for element in page.iter()}
    known = {"Training data", "Testing data", "Predictions", "Train loss", "Test loss"}
    assert texts & known == labels
