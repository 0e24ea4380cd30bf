"""The tables of losses and optimizers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from ml.spec.training import LossName, OptimizerSpec
from ml.training.losses import build_loss
from ml.training.optimizers import build_optimizer


@pytest.mark.parametrize(
    ("asked", "kind", "wanted"),
    [
        ({"kind": "sgd"}, torch.optim.SGD, {"lr": 0.01, "momentum": 0, "weight_decay": 0}),
        (
            {"kind": "sgd", "lr": 0.5, "momentum": 0.9, "weight_decay": 0.1},
            torch.optim.SGD,
            {"lr": 0.5, "momentum": 0.9, "weight_decay": 0.1},
        ),
        (
            {"kind": "adam", "lr": 0.02, "weight_decay": 0.3},
            torch.optim.Adam,
            {"lr": 0.02, "weight_decay": 0.3},
        ),
        ({"kind": "adamw"}, torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.01}),
        (
            {"kind": "adamw", "lr": 0.02, "weight_decay": 0.3},
            torch.optim.AdamW,
            {"lr": 0.02, "weight_decay": 0.3},
        ),
        ({"kind": "lbfgs"}, torch.optim.LBFGS, {"lr": 1, "line_search_fn": "strong_wolfe"}),
    ],
)
def test_the_optimizer_is_torchs_with_the_numbers_asked_for(
    asked: dict[str, Any], kind: type[torch.optim.Optimizer], wanted: dict[str, Any]
) -> None:
    spec = TypeAdapter(OptimizerSpec).validate_python(asked)
    optimizer = build_optimizer(spec, nn.Linear(1, 1).parameters())
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert {name: group[name] for name in wanted} == wanted
    assert len(group["params"]) == 2


@pytest.mark.parametrize(
    ("name", "wanted"),
    # Errors 0.5 and -3: |e|, e², and Huber's e²/2 up to 1, |e| - 1/2 beyond; the mean of two.
    [("l1", 1.75), ("mse", 4.625), ("huber", (0.125 + 2.5) / 2)],
)
def test_losses_by_hand(name: LossName, wanted: float) -> None:
    loss = build_loss(name)(torch.tensor([[1.5], [2.0]]), torch.tensor([[1.0], [5.0]]))
    assert loss.item() == wanted
