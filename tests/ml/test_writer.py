"""Recordings of unusual steps: memory is used again, and nothing is overwritten too soon."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ml.models.build import build_model
from ml.spec.model import MlpSpec
from ml.training.overloads import by_out, in_place
from ml.training.recorder import CannotReplayError
from ml.training.replay import record
from ml.training.stepper import WORTH_RECORDING
from tests.ml.stepping import OPTIMIZERS, Recorded, assert_same_bits, plainly, rows, state_of

_aten = torch.ops.aten


class Repeats(nn.Module):
    """Says of itself that every step makes the same calls."""

    same_calls_at_every_step = True

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(5, 6)
        self.outer = nn.Linear(6, 1)


class Residual(Repeats):
    """A value is read again long after it was made."""

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        h_BH = self.inner(x_BF)
        deep_BH = h_BH
        for _ in range(3):
            deep_BH = torch.tanh(deep_BH) + h_BH
        y_BT: torch.Tensor = self.outer(deep_BH * h_BH.relu())
        return y_BT


class SharedLayer(Repeats):
    """A gradient is the sum of two."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(6, 6)

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        h_BH = self.inner(x_BF).sigmoid()
        y_BT: torch.Tensor = self.outer(self.again(self.again(h_BH).relu()))
        return y_BT


class OneGradientForTwo(Repeats):
    """Three parameters with one gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(6))
        self.b = nn.Parameter(torch.zeros(6))
        self.c = nn.Parameter(torch.zeros(2, 3))

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        h_BH = self.inner(x_BF) * (self.a + self.b + self.c.reshape(6))
        y_BT: torch.Tensor = self.outer(h_BH)
        return y_BT


class Views(Repeats):
    """Chunks, transposes, concatenation, and a product of a value with its own transpose."""

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        left_BH, right_BH = self.inner(x_BF).chunk(2, dim=1)
        gram_HH = (left_BH.t() @ right_BH).softmax(dim=0)
        turned_HH = gram_HH * gram_HH.t()
        both_BH = torch.cat([left_BH @ turned_HH, right_BH.flip(1)], dim=1)
        y_BT: torch.Tensor = self.outer(both_BH)
        return y_BT


class ManyFunctions(Repeats):
    """Functions with and without an overload for the result, of one number and of several."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.prelu = nn.PReLU()

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        h_BH = self.norm(self.inner(x_BF))
        h_BH = nn.functional.elu(h_BH) + nn.functional.softplus(h_BH) * 0.5
        h_BH = nn.functional.leaky_relu(h_BH).clamp(-2, 2) - h_BH.exp().log1p()
        h_BH = self.prelu(h_BH) / (1 + h_BH.square()) + h_BH.abs().sqrt().mean(1, keepdim=True)
        h_BH = torch.where(h_BH > 0, h_BH**2, h_BH.sin()).relu()
        y_BT: torch.Tensor = self.outer(nn.functional.silu(h_BH)) - h_BH.amax(1, keepdim=True)
        return y_BT


class Running(Repeats):
    """A buffer that is kept up in place and read after it."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        h_BH = self.inner(x_BF)
        self.mean.mul_(0.9).add_(h_BH.detach().mean(0), alpha=0.1)
        y_BT: torch.Tensor = self.outer((h_BH - self.mean).relu())
        return y_BT


@pytest.mark.parametrize("make", [Residual, SharedLayer, Views, ManyFunctions, Running])
@pytest.mark.parametrize("optimizer_name", ["sgd_momentum_decay", "adam"])
@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("rows_stay", [False, True])
def test_unusual_modules_are_replayed_with_the_same_bits(
    make: Callable[[], Repeats], optimizer_name: str, clip: float | None, rows_stay: bool
) -> None:
    x_NF, y_NT = rows(5, 48)
    batches = [*zip(torch.split(x_NF, 12), torch.split(y_NT, 12), strict=True)] * 3
    ends = []
    for replay in (False, True):
        torch.manual_seed(3)
        model = make().train()
        optimizer = OPTIMIZERS[optimizer_name](model.parameters())
        stepper = Recorded(model, nn.MSELoss(), optimizer, WORTH_RECORDING, clip_grad_norm=clip)
        if not replay:
            plain = [(x_NF, y_NT)] * 12 if rows_stay else batches
            losses = plainly(model, nn.MSELoss(), optimizer, plain, clip)[-1:]
        elif rows_stay:
            losses = [stepper.steps(x_NF, y_NT, 12)]
        else:
            losses = [stepper.step(x_BF, y_BT) for x_BF, y_BT in batches][-1:]
        assert bool(stepper.replayed) == replay
        ends.append([*losses, *state_of(model, optimizer)])
    assert_same_bits(*ends)


def test_parameters_that_share_one_gradient_are_stepped_plainly() -> None:
    # `.grad` of both may be one tensor then, and torch's clipping shortens that twice.
    x_NF, y_NT = rows(5)
    model = OneGradientForTwo()
    slots = [torch.zeros_like(parameter) for parameter in model.parameters()]
    with pytest.raises(CannotReplayError, match="share one gradient"):
        record(model, nn.MSELoss(), x_NF, y_NT, False, slots)


def test_a_replayed_step_fetches_no_memory_but_for_the_loss() -> None:
    model = build_model(MlpSpec(hidden=(64, 64)), 16, 1)
    x_NF, y_NT = rows(16, 256)
    slots = [torch.zeros_like(parameter) for parameter in model.parameters()]
    recording = record(model, nn.MSELoss(), x_NF, y_NT, False, slots)
    with (
        torch.inference_mode(),
        torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        ) as profile,
    ):
        recording.gradients(x_NF, y_NT)
    fetched = sum(max(event.self_cpu_memory_usage, 0) for event in profile.key_averages())
    # One layer's output takes 65,536 bytes.
    assert fetched < 4096


def test_the_loss_of_a_step_stays_after_the_next() -> None:
    model = build_model(MlpSpec(hidden=(4,)), 5, 1)
    stepper = Recorded(model, nn.MSELoss(), OPTIMIZERS["sgd"](model.parameters()), WORTH_RECORDING)
    losses = [stepper.step(*rows(5)) for _ in range(6)]
    assert len({float(loss) for loss in losses}) == 6


def test_ways_that_would_copy_are_not_taken() -> None:
    relu = by_out(_aten.relu.default)
    assert relu is None  # torch has one, which is generated: relu, then a copy
    overwriting = in_place(_aten.relu.default)
    assert overwriting is not None
    assert overwriting.target is _aten.relu_.default
    assert in_place(_aten.mm.default) is None
    way = by_out(_aten.threshold_backward.default)
    assert way is not None
    assert way.out == "grad_input"
