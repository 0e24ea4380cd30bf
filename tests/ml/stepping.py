"""What can be trained and how, and the tutorial's step to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn, optim

from ml.spec.model import LinearSpec, MlpSpec, ParametersSpec
from ml.training.stepper import Stepper

Make = Callable[[Iterable[nn.Parameter]], optim.Optimizer]

OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda p: optim.SGD(p, lr=0.01),
    "sgd_momentum_decay": lambda p: optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.02),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adam_decay": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.02),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.02),
}
LOSSES: dict[str, nn.Module] = {"l1": nn.L1Loss(), "mse": nn.MSELoss(), "huber": nn.HuberLoss()}
MODELS: dict[str, tuple[ParametersSpec | LinearSpec | MlpSpec, int]] = {
    "parameters": (ParametersSpec(), 1),
    "linear": (LinearSpec(), 5),
    "mlp": (MlpSpec(hidden=(8, 4)), 5),
    "mlp_tanh": (MlpSpec(hidden=(6,), activation="tanh"), 5),
    "mlp_gelu": (MlpSpec(hidden=(6,), activation="gelu"), 5),
    "mlp_silu": (MlpSpec(hidden=(6,), activation="silu"), 5),
    "mlp_sigmoid": (MlpSpec(hidden=(6,), activation="sigmoid"), 5),
    "mlp_dropout_norm": (MlpSpec(hidden=(8, 8), dropout=0.3, batch_norm=True), 5),
}


def rows(features: int, count: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    x_NF = torch.randn(count, features, generator=generator)
    return x_NF, x_NF.sum(dim=1, keepdim=True) + 0.1 * torch.randn(count, 1, generator=generator)


class Recorded(Stepper):
    """A stepper that counts the steps it replays."""

    replayed = 0

    def _replay(self, *given: object) -> torch.Tensor:
        self.replayed += 1
        return super()._replay(*given)  # type: ignore[arg-type]


def plainly(
    model: nn.Module,
    loss: nn.Module,
    optimizer: optim.Optimizer,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    clip: float | None = None,
) -> list[torch.Tensor]:
    """The tutorial's steps, with the gradients clipped where ``clip`` is given."""
    losses = []
    for x_BF, y_BT in batches:
        model.train()
        value = loss(model(x_BF), y_BT)
        optimizer.zero_grad()
        value.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses.append(value.detach())
    return losses


def state_of(model: nn.Module, optimizer: optim.Optimizer) -> list[torch.Tensor]:
    """Parameters, buffers, the optimizer's state, and the random numbers' place."""
    in_optimizer = [
        value
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    ]
    return [*model.state_dict().values(), *in_optimizer, torch.get_rng_state()]


def assert_same_bits(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b), (a, b)
