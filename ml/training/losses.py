"""The table of losses, and the refusal of one that is no number."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from ml.errors import DivergedError
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


def check_finite(loss: float | None, name: str, epoch: int) -> None:
    """Refuse a loss that is no number any more.

    Raises:
        DivergedError: it is not finite.
    """
    if loss is not None and not math.isfinite(loss):
        raise DivergedError(f"the {name} is {loss} at epoch {epoch}")
