"""A training that is killed and goes on from its checkpoint ends with the bits of one that is not.

Every combination is killed at every step: each `Fit` makes one, and the next goes on from its
bytes. Others are killed at random steps, so that what is replayed is in between.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import ml.data.rowfile as rowfile
import ml.training.loop as loop
import ml.training.stepper as stepper
from ml.data.dataset import DatasetFiles
from ml.datasets.ingest import ingest
from ml.datasets.options import ReadOptions
from ml.errors import CheckpointError
from ml.spec.dataset import DATASETS
from ml.spec.training import TrainingSpec
from ml.training.checkpoint import Checkpoint, decode, encode
from ml.training.fit import Fit, Fitted
from ml.training.loop import Budget, Loop
from ml.training.parts import Part
from tests.ml.making import CPU, bundle, points, quick, spec

ROWS = 40

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "parameters": {"kind": "parameters"},
    "linear": {"kind": "linear"},
    "mlp": {"kind": "mlp", "hidden": [6, 5], "dropout": 0.3, "batch_norm": True},
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"kind": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.01},
    "adam": {"kind": "adam", "lr": 0.02},
    "adamw": {"kind": "adamw", "lr": 0.02},
    "lbfgs": {"kind": "lbfgs"},
}
COURSES: dict[str, dict[str, Any]] = {
    "plain": {},
    "early_stopping": {"early_stopping": {"patience": 1}},
    "plateau": {"schedule": {"kind": "plateau", "patience": 0, "factor": 0.5}},
    "one_cycle": {"schedule": {"kind": "one_cycle", "max_lr": 0.1}},
    "cosine": {"schedule": {"kind": "cosine"}},
    "clip": {"clip_grad_norm": 0.5},
}


@pytest.fixture(autouse=True)
def _every_step_is_reported_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(stepper, "WORTH_RECORDING", 1)


class Training:
    """One training, to be made as often as is asked for."""

    def __init__(self, spec: TrainingSpec, kept: Path | None = None, scratch: Path | None = None):
        self.spec = spec
        self._kept, self._scratch = kept, scratch
        self._fits = 0

    def fit(self, resume: Checkpoint | None = None) -> Fit:
        """As a new process would make it, whose random numbers are anywhere."""
        torch.manual_seed(self._fits)
        random.seed(self._fits)
        self._fits += 1
        return Fit(self.spec, CPU, files=self._files(), resume=resume)

    def _files(self) -> DatasetFiles | None:
        if self._kept is None or self._scratch is None:
            return None
        kept = self._kept
        return DatasetFiles(
            lambda _: kept, self._scratch / str(len(list(self._scratch.iterdir()))), 1
        )

    def undisturbed(self) -> Fitted:
        fit = self.fit()
        for _ in fit:
            pass
        return fit.result()

    def killed(self, kills: Iterator[int]) -> Fitted:
        """Killed after as many reports as ``kills`` says, each time, as long as it says so."""
        fit = self.fit()
        while True:
            left = next(kills, None)
            for _ in fit:
                if left is not None:
                    left -= 1
                    if left <= 0:
                        break
            else:
                return fit.result()
            fit = self.fit(decode(encode(fit.checkpoint())))


def always(reports: int) -> Iterator[int]:
    while True:
        yield reports


def assert_same(one: Fitted, other: Fitted) -> None:
    assert one.curve == other.curve
    assert one.metrics == other.metrics
    assert one.best_epoch == other.best_epoch
    assert one.warnings == other.warnings
    assert one.bundle.state.keys() == other.bundle.state.keys()
    for key, values in one.bundle.state.items():
        assert values.numpy().tobytes() == other.bundle.state[key].numpy().tobytes(), key


def small(features: int, **fields: Any) -> TrainingSpec:
    numbers = np.random.default_rng(0)
    x_NF = numbers.normal(size=(ROWS, features))
    y_N = np.sin(x_NF).sum(axis=1) + 0.1 * numbers.normal(size=ROWS)
    fields = {"epochs": 4, "evaluate_every": 2, "split": {"train": 0.7}, **fields}
    return points(x_NF.tolist() if features > 1 else x_NF[:, 0].tolist(), y_N.tolist(), **fields)


def combinations() -> Iterator[Any]:
    for architecture in ARCHITECTURES:
        for optimizer in OPTIMIZERS:
            for course in COURSES:
                for batch_size in (None, 13):
                    if optimizer == "lbfgs" and (
                        batch_size or course not in ("plain", "early_stopping")
                    ):
                        continue
                    name = f"{architecture}-{optimizer}-{course}-{batch_size or 'full'}"
                    yield pytest.param(architecture, optimizer, course, batch_size, id=name)


def asked(architecture: str, optimizer: str, course: str, batch_size: int | None) -> dict[str, Any]:
    return {
        "architecture": ARCHITECTURES[architecture],
        "optimizer": OPTIMIZERS[optimizer],
        "batch_size": batch_size,
        "early_stopping": None,
        **COURSES[course],
    }


@pytest.mark.parametrize(("architecture", "optimizer", "course", "batch_size"), [*combinations()])
def test_killed_at_every_step_it_ends_with_the_same_bits(
    architecture: str, optimizer: str, course: str, batch_size: int | None
) -> None:
    features = 1 if architecture == "parameters" else 3
    training = Training(small(features, **asked(architecture, optimizer, course, batch_size)))
    undisturbed = training.undisturbed()
    assert_same(training.killed(always(1)), undisturbed)
    # Two steps of each life are replayed, one is plain.
    assert_same(training.killed(always(3)), undisturbed)


@quick
@given(
    st.sampled_from([parameter.values for parameter in combinations()]),
    st.lists(st.integers(1, 20), max_size=4),
)
def test_killed_at_any_steps_it_ends_with_the_same_bits(
    combination: tuple[str, str, str, int | None], kills: list[int]
) -> None:
    features = 1 if combination[0] == "parameters" else 3
    training = Training(small(features, **asked(*combination)))
    assert_same(training.killed(iter(kills)), training.undisturbed())


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset that is read from disk, in buckets of 7 rows that are read 5 at a time."""
    monkeypatch.setattr(rowfile, "BUCKET_BYTES", 7 * 4 * 8)
    monkeypatch.setattr(rowfile, "BLOCK_ROWS", 5)
    numbers = np.random.default_rng(0)
    x_NF = numbers.normal(size=(ROWS, 3))
    rows_NW = np.column_stack([x_NF, np.sin(x_NF).sum(axis=1)])
    np.savetxt(tmp_path / "rows.csv", rows_NW, delimiter=",", header="a,b,c,y", comments="")
    folder = tmp_path / "kept"
    folder.mkdir()
    (tmp_path / "scratch").mkdir()
    ingest(tmp_path / "rows.csv", folder, ReadOptions(kind="csv"))
    return folder


@pytest.mark.parametrize(
    ("architecture", "optimizer", "course", "batch_size"),
    [parameter for parameter in combinations() if parameter.values[0] != "parameters"],
)
def test_rows_on_disk_are_passed_over_to_the_same_place(
    kept: Path, architecture: str, optimizer: str, course: str, batch_size: int | None
) -> None:
    profile = ingest(kept.parent / "rows.csv", kept, ReadOptions(kind="csv"))
    fields = asked(architecture, optimizer, course, batch_size)
    if batch_size is None and architecture == "mlp":
        # Blocks as small as these may hold one row.
        fields["architecture"] = {**ARCHITECTURES["mlp"], "batch_norm": False}
    data = {"source": "dataset", "dataset": "0" * 32, "target": "y"}
    streamed = TrainingSpec.model_validate(
        {"data": data, "epochs": 3, "evaluate_every": 1, "split": {"train": 0.7}, **fields},
        context={DATASETS: lambda _: profile},
    )
    training = Training(streamed, kept, kept.parent / "scratch")
    undisturbed = training.undisturbed()
    assert undisturbed.environment.streamed
    assert_same(training.killed(always(2)), undisturbed)


def test_taking_checkpoints_changes_nothing() -> None:
    training = Training(small(3, **asked("mlp", "adam", "early_stopping", 13)))
    fit = training.fit()
    fit.checkpoint()
    for _ in fit:
        fit.checkpoint()
    assert_same(fit.result(), training.undisturbed())


def test_a_checkpoint_may_be_used_twice_and_before_the_first_step() -> None:
    training = Training(small(3, **asked("mlp", "adamw", "one_cycle", 13)))
    undisturbed = training.undisturbed()
    taken = training.fit().checkpoint()
    for _ in range(2):
        fit = training.fit(taken)
        for _ in fit:
            pass
        assert_same(fit.result(), undisturbed)


def test_what_a_training_started_from_is_not_asked_for_again() -> None:
    asked_for = small(3, **asked("linear", "adam", "plain", None))
    start = bundle(asked_for.architecture, features=3)  # type: ignore[arg-type]
    fit = Fit(asked_for, CPU, start)
    next(iter(fit))
    resumed = Fit(asked_for, CPU, resume=fit.checkpoint())
    for each in (fit, resumed):
        for _ in each:
            pass
    assert_same(resumed.result(), fit.result())


@pytest.mark.parametrize(
    ("changed", "what"),
    [({"epochs": 7}, "spec"), ({"seed": 1}, "data|spec"), ({"standardize": False}, "dtype|spec")],
)
def test_a_checkpoint_of_another_training_is_refused(changed: dict[str, Any], what: str) -> None:
    fields = asked("linear", "lbfgs", "plain", None)
    taken = Training(small(3, **fields)).fit().checkpoint()
    with pytest.raises(CheckpointError, match=f"^it is of ({what}) "):
        Training(small(3, **fields, **changed)).fit(taken)


def test_a_state_that_means_something_else_is_refused() -> None:
    training = Training(spec(epochs=3))
    taken = training.fit().checkpoint()
    for state in ({}, {"loop": 3, "curve": []}, {**taken.state, "curve": [(1, 2, 3, 4, 5)]}):
        with pytest.raises(CheckpointError, match="it holds something else"):
            training.fit(Checkpoint(taken.identity, state))


def test_a_checkpoint_of_other_data_or_libraries_is_refused() -> None:
    training = Training(spec(epochs=3))
    taken = training.fit().checkpoint()
    for name in ("data", "torch", "device", "cpu", "threads"):
        other = Checkpoint({**taken.identity, name: "another"}, taken.state)
        with pytest.raises(CheckpointError, match=f"^it is of {name} another, this training of"):
            training.fit(other)


class Remembering(nn.Module):
    """Keeps a number in a buffer that no version keeps, and draws from every source there is."""

    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.register_buffer("count", torch.zeros(()), persistent=False)

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        y_NT: torch.Tensor = self.layer(x_NF)
        if self.training:
            self.count += 1
            y_NT = y_NT + torch.rand(()) + random.random() + np.random.normal() + self.count
        return y_NT


def test_buffers_that_no_version_keeps_and_every_random_number_go_on() -> None:
    def new_loop() -> Loop:
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)
        model = Remembering()
        rows = Part(torch.randn(20, 3), torch.randn(20, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
        budget = Budget(6, 1, 7, None, shuffle_seed=0)
        return Loop(model, nn.MSELoss(), optimizer, rows, rows, rows, budget)

    undisturbed = [progress.point for progress in new_loop() if progress.point]
    points, killed = [], new_loop()
    ended = False
    while not ended:
        ended = True
        for progress in killed:
            points += [progress.point] if progress.point else []
            state = decode(encode(Checkpoint({}, killed.state()))).state
            killed, ended = new_loop(), False
            killed.load_state(state)
            break
    assert points == undisturbed
