"""The tutorial's own code, kept apart from `ml` on purpose: the reference it is compared with.

Nothing here is shared with the library: two classes, one line, one loop, as the tutorial writes
them, with the variable names of the tutorial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

LossFn = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class LinearRegressionModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(1, dtype=torch.float), requires_grad=True)
        self.bias = nn.Parameter(torch.randn(1, dtype=torch.float), requires_grad=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weights * x + self.bias


class LinearRegressionModelV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear_layer = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.linear_layer(x)
        return y


CLASSES: dict[str, type[nn.Module]] = {
    "parameters": LinearRegressionModel,
    "linear": LinearRegressionModelV2,
}


@dataclass
class Data:
    """The line, split 80/20."""

    weight: float = 0.7
    bias: float = 0.3
    start: float = 0
    end: float = 1
    step: float = 0.02

    def __post_init__(self) -> None:
        X = torch.arange(self.start, self.end, self.step).unsqueeze(dim=1)
        y = self.weight * X + self.bias
        train_split = int(0.8 * len(X))
        self.X_train, self.y_train = X[:train_split], y[:train_split]
        self.X_test, self.y_test = X[train_split:], y[train_split:]


@dataclass
class Trained:
    """What the tutorial prints and keeps."""

    model: nn.Module
    y_preds: torch.Tensor
    train_loss_values: list[float] = field(default_factory=list)
    test_loss_values: list[float] = field(default_factory=list)


def train(
    model_class: Callable[[], nn.Module],
    data: Data,
    loss_fn: LossFn,
    make_optimizer: MakeOptimizer,
    epochs: int,
    seed: int = 42,
) -> Trained:
    """The tutorial's training/testing loop; both losses of every epoch are kept."""
    torch.manual_seed(seed)
    model = model_class()
    optimizer = make_optimizer(model.parameters())
    trained = Trained(model, torch.empty(0))

    torch.manual_seed(seed)
    for _epoch in range(epochs):
        model.train()
        loss = _step(model, data, loss_fn, optimizer)

        model.eval()
        with torch.inference_mode():
            test_pred = model(data.X_test)
            test_loss = loss_fn(test_pred, data.y_test.type(torch.float))
        trained.train_loss_values.append(loss.item())
        trained.test_loss_values.append(test_loss.item())

    model.eval()
    with torch.inference_mode():
        trained.y_preds = model(data.X_test)
    return trained


def _step(
    model: nn.Module, data: Data, loss_fn: LossFn, optimizer: torch.optim.Optimizer
) -> torch.Tensor:
    if isinstance(optimizer, torch.optim.LBFGS):
        # torch's documented way with L-BFGS: a closure that clears, computes and returns the loss.
        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = loss_fn(model(data.X_train), data.y_train)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        first_loss: torch.Tensor = optimizer.step(closure)  # type: ignore[no-untyped-call]
        return first_loss
    y_pred = model(data.X_train)
    loss = loss_fn(y_pred, data.y_train)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss


def load(model_class: type[nn.Module], path: Path) -> nn.Module:
    """A new instance with the state_dict of ``path``, loaded as a user of torch would."""
    loaded_model = model_class()
    loaded_model.load_state_dict(torch.load(path, weights_only=True))
    loaded_model.eval()
    return loaded_model
