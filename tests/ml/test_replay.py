"""Replayed steps have the bits of autograd and torch.optim, for everything that can be trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn, optim

from ml.models.architecture import RegressionModel
from ml.models.build import build_model
from ml.spec.model import LinearSpec, MlpSpec
from ml.training import stepper as stepper_module
from ml.training.recorder import CannotReplayError
from ml.training.replay import record
from ml.training.stepper import WORTH_RECORDING, Stepper
from ml.training.updates import fast_update
from tests.ml.stepping import (
    LOSSES,
    MODELS,
    OPTIMIZERS,
    Recorded,
    assert_same_bits,
    plainly,
    rows,
    state_of,
)


@pytest.mark.parametrize("model_name", MODELS)
@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
def test_batches_replayed_have_the_bits_of_the_tutorials_step(
    model_name: str, loss_name: str, optimizer_name: str
) -> None:
    spec, features = MODELS[model_name]
    x_NF, y_NT = rows(features, 40)
    # A smaller batch at the end of each epoch, so that two shapes are recorded.
    batches = [*zip(torch.split(x_NF, 16), torch.split(y_NT, 16), strict=True)] * 4
    ends = []
    for replay in (False, True):
        torch.manual_seed(3)
        model = build_model(spec, features, 1)
        optimizer = OPTIMIZERS[optimizer_name](model.parameters())
        loss = LOSSES[loss_name]
        if replay:
            model.train()
            stepper = Recorded(model, loss, optimizer, WORTH_RECORDING)
            losses = [stepper.step(x_BF, y_BT).clone() for x_BF, y_BT in batches]
            assert stepper.replayed == len(batches) - 1
        else:
            losses = plainly(model, loss, optimizer, batches)
        ends.append([*losses, *state_of(model, optimizer)])
    assert_same_bits(*ends)


@pytest.mark.parametrize("model_name", MODELS)
def test_many_steps_over_rows_that_stay_have_the_bits_of_the_tutorials_loop(
    model_name: str,
) -> None:
    spec, features = MODELS[model_name]
    x_NF, y_NT = rows(features)
    ends = []
    for replay in (False, True):
        torch.manual_seed(3)
        model = build_model(spec, features, 1)
        optimizer = OPTIMIZERS["sgd_momentum_decay"](model.parameters())
        if replay:
            model.train()
            stepper = Stepper(model, nn.L1Loss(), optimizer, WORTH_RECORDING)
            losses = [stepper.steps(x_NF, y_NT, count).clone() for count in (1, 5, 20, 14)]
        else:
            every = plainly(model, nn.L1Loss(), optimizer, [(x_NF, y_NT)] * 40)
            losses = [every[index] for index in (0, 5, 25, 39)]
        ends.append([*losses, *state_of(model, optimizer)])
    assert_same_bits(*ends)


@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
def test_float64_is_replayed_as_well(optimizer_name: str) -> None:
    x_NF, y_NT = (part.double() for part in rows(5))
    ends = []
    for replay in (False, True):
        torch.manual_seed(3)
        model = build_model(MlpSpec(hidden=(8, 4)), 5, 1).double()
        optimizer = OPTIMIZERS[optimizer_name](model.parameters())
        if replay:
            model.train()
            stepper = Recorded(model, nn.MSELoss(), optimizer, WORTH_RECORDING)
            stepper.steps(x_NF, y_NT, 20)
            assert stepper.replayed
        else:
            plainly(model, nn.MSELoss(), optimizer, [(x_NF, y_NT)] * 20)
        ends.append(state_of(model, optimizer))
    assert ends[0][0].dtype == torch.float64
    assert_same_bits(*ends)


def test_a_learning_rate_that_a_schedule_changes_is_followed() -> None:
    x_NF, y_NT = rows(5)
    ends = []
    for replay in (False, True):
        torch.manual_seed(3)
        model = build_model(LinearSpec(), 5, 1)
        optimizer = optim.Adam(model.parameters(), lr=0.1)
        schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
        stepper = Stepper(model, nn.MSELoss(), optimizer, WORTH_RECORDING)
        for _ in range(30):
            if replay:
                stepper.steps(x_NF, y_NT, 1)
                # What torch's schedules look at to warn of a wrong order.
                optimizer.zero_grad()
            else:
                plainly(model, nn.MSELoss(), optimizer, [(x_NF, y_NT)])
            schedule.step()
        ends.append(state_of(model, optimizer))
    assert_same_bits(*ends)


def test_plain_and_replayed_steps_may_alternate() -> None:
    x_NF, y_NT = rows(5)
    ends = []
    for replay in (False, True):
        torch.manual_seed(3)
        model = build_model(MlpSpec(hidden=(4,)), 5, 1)
        optimizer = OPTIMIZERS["adamw"](model.parameters())
        stepper = Stepper(model, nn.MSELoss(), optimizer, WORTH_RECORDING)
        for turn in range(12):
            if replay and turn % 3:
                stepper.step(x_NF, y_NT)
            else:
                plainly(model, nn.MSELoss(), optimizer, [(x_NF, y_NT)])
        ends.append(state_of(model, optimizer)[:-2])
    assert_same_bits(*ends)


class ReadsANumber(RegressionModel):
    """Reads a number out of a tensor, which a recording would repeat for ever."""

    same_calls_at_every_step = True

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 1)

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        y_BT: torch.Tensor = self.layer(x_BF) * float(x_BF.abs().max())
        return y_BT

    @staticmethod
    def in_raw_units(state: dict[str, torch.Tensor], scaling: object) -> dict[str, torch.Tensor]:
        return state


class ChangesItsMind(ReadsANumber):
    """Says that its calls are always the same, and they are not."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        self.turn += 1
        y_BT: torch.Tensor = self.layer(x_BF) * self.turn
        return y_BT


@pytest.mark.parametrize("make", [ReadsANumber, ChangesItsMind])
def test_a_model_whose_recording_would_lie_is_stepped_plainly(
    make: Callable[[], RegressionModel],
) -> None:
    x_NF, y_NT = rows(5)
    model = make()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    stepper = Recorded(model, nn.MSELoss(), optimizer, WORTH_RECORDING)
    for _ in range(5):
        stepper.step(x_NF, y_NT)
    assert stepper.replayed == 0


def test_recording_a_model_that_reads_a_number_is_refused() -> None:
    x_NF, y_NT = rows(5)
    model = ReadsANumber()
    with pytest.raises(CannotReplayError):
        record(model, nn.MSELoss(), x_NF, y_NT, False, list(model.parameters()))


def test_what_is_not_known_to_repeat_itself_or_too_short_is_stepped_plainly() -> None:
    x_NF, y_NT = rows(5)
    unknown: nn.Module = nn.Linear(5, 1)
    for model, expected in ((unknown, 10**6), (build_model(LinearSpec(), 5, 1), 10)):
        stepper = Recorded(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), expected)
        for _ in range(5):
            stepper.step(x_NF, y_NT)
        assert stepper.replayed == 0


def test_optimizers_that_are_not_written_out_have_no_fast_update() -> None:
    layer = nn.Linear(2, 1)
    others: list[optim.Optimizer] = [
        optim.RMSprop(layer.parameters()),
        optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, nesterov=True),
        optim.Adam(layer.parameters(), amsgrad=True),
        optim.SGD(layer.parameters(), lr=0.1, maximize=True),
        optim.LBFGS(layer.parameters()),
    ]
    groups: list[dict[str, Any]] = [{"params": [layer.weight]}, {"params": [layer.bias]}]
    others.append(optim.SGD(groups, lr=0.1))
    assert [fast_update(optimizer) for optimizer in others] == [None] * len(others)


def test_only_some_shapes_are_recorded() -> None:
    model = build_model(LinearSpec(), 5, 1)
    stepper = Recorded(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01), WORTH_RECORDING)
    for count in range(1, 12):
        stepper.step(*rows(5, count))
    assert stepper.replayed == stepper_module.MAX_RECORDINGS
