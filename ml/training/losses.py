"""The table of losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ml.spec.training import LossName

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_LOSSES: dict[LossName, Callable[[], Loss]] = {
    "l1": nn.L1Loss,
    "mse": nn.MSELoss,
    "huber": nn.HuberLoss,
}


def build_loss(name: LossName) -> Loss:
    """A function of ``pred_NT`` and ``y_NT`` that gives the mean loss as a scalar."""
    return _LOSSES[name]()
