"""Gradients that are clipped: torch's own arithmetic, plain and replayed, to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn, optim

from ml.models.build import build_model
from ml.spec.model import MlpSpec
from ml.training.fit import fit
from ml.training.loop import Budget, Loop
from ml.training.parts import Part
from ml.training.stepper import WORTH_RECORDING
from tests.ml.making import spec
from tests.ml.stepping import (
    MODELS,
    OPTIMIZERS,
    Recorded,
    assert_same_bits,
    plainly,
    rows,
    state_of,
)


@pytest.mark.parametrize("model_name", MODELS)
@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
# Always shortened; sometimes; never, which still multiplies by 1.
@pytest.mark.parametrize("clip", [0.01, 1.0, 1e6])
def test_replayed_steps_clip_with_the_bits_of_the_tutorials_step(
    model_name: str, optimizer_name: str, clip: float
) -> None:
    model_spec, features = MODELS[model_name]
    x_NF, y_NT = rows(features, 40)
    batches = [*zip(torch.split(x_NF, 16), torch.split(y_NT, 16), strict=True)] * 4
    ends = []
    for replay in (False, True):
        torch.manual_seed(3)
        model = build_model(model_spec, features, 1)
        optimizer = OPTIMIZERS[optimizer_name](model.parameters())
        if replay:
            model.train()
            stepper = Recorded(model, nn.MSELoss(), optimizer, WORTH_RECORDING, clip_grad_norm=clip)
            losses = [stepper.step(x_BF, y_BT).clone() for x_BF, y_BT in batches]
            assert stepper.replayed == len(batches) - 1
        else:
            losses = plainly(model, nn.MSELoss(), optimizer, batches, clip)
        ends.append([*losses, *state_of(model, optimizer)])
    assert_same_bits(*ends)


@pytest.mark.parametrize("hidden", [(64, 64), (37, 129), (1000,)])
def test_wide_layers_are_clipped_with_the_same_bits(hidden: tuple[int, ...]) -> None:
    # A norm over many numbers is summed in several lanes and parts.
    x_NF, y_NT = rows(16, 50)
    ends = []
    for replay in (False, True):
        torch.manual_seed(3)
        model = build_model(MlpSpec(hidden=hidden), 16, 1)
        optimizer = OPTIMIZERS["adam"](model.parameters())
        model.train()
        if replay:
            stepper = Recorded(model, nn.MSELoss(), optimizer, WORTH_RECORDING, clip_grad_norm=0.1)
            stepper.steps(x_NF, y_NT, 20)
            assert stepper.replayed
        else:
            plainly(model, nn.MSELoss(), optimizer, [(x_NF, y_NT)] * 20, 0.1)
        ends.append(state_of(model, optimizer))
    assert_same_bits(*ends)


def test_a_training_clips_as_the_tutorials_loop_with_torchs_function() -> None:
    fitted = fit(spec(clip_grad_norm=0.05, epochs=150, evaluate_every=1))
    torch.manual_seed(42)
    model = nn.Linear(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    x_N1 = torch.arange(0, 1, 0.02)[:40, None]
    losses = plainly(model, nn.L1Loss(), optimizer, [(x_N1, 0.7 * x_N1 + 0.3)] * 150, 0.05)
    assert [point.train_loss for point in fitted.curve] == [loss.item() for loss in losses]


@pytest.mark.parametrize("epochs", [3, WORTH_RECORDING])
def test_no_step_is_longer_than_asked(epochs: int) -> None:
    # Plain SGD moves by the learning rate times the gradient; 1000 is far from the optimum.
    model = build_model(MlpSpec(hidden=(3,)), 2, 1)
    x_NF = torch.ones(4, 2)
    before = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    nothing = Part(x_NF[:0], x_NF[:0, :1])
    train = Part(x_NF, torch.full((4, 1), 1000.0))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    budget = Budget(epochs, 1000, None, None, 0, clip_grad_norm=0.5)
    list(Loop(model, nn.MSELoss(), optimizer, train, nothing, nothing, budget))
    after = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    moved = float((after - before).norm())
    assert 0.3 * epochs * 0.05 < moved <= epochs * 0.05 * 1.0001
