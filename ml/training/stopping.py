"""Early stopping: the best parameters seen, and when to stop."""

from __future__ import annotations

import math

import torch
from torch import nn

from ml.spec.training import EarlyStoppingSpec
from ml.training.losses import check_finite
from ml.training.state import State, copied, size_of


class EarlyStopper:
    """Keeps the best parameters seen and says when to stop (Prechelt, Early Stopping, 1998, UP)."""

    def __init__(self, spec: EarlyStoppingSpec) -> None:
        self._spec = spec
        self._best_loss = math.inf
        self._best_epoch = 0
        self._best_state: dict[str, torch.Tensor] = {}

    def see(self, epoch: int, loss: float, model: nn.Module) -> bool:
        """Note the loss of ``epoch``; True when the patience is spent.

        Raises:
            DivergedError: the loss is not finite.
        """
        check_finite(loss, "watched loss", epoch)
        if loss < self._best_loss - self._spec.min_delta or not self._best_state:
            self._best_loss, self._best_epoch = loss, epoch
            self._best_state = {key: value.clone() for key, value in model.state_dict().items()}
        return epoch - self._best_epoch >= self._spec.patience

    def restore(self, model: nn.Module) -> int:
        """Put the best parameters back; the epoch they are from."""
        model.load_state_dict(self._best_state)
        return self._best_epoch

    def bytes(self) -> int:
        """Of the parameters that it keeps."""
        return size_of(self._best_state)

    def state(self) -> State:
        """What `load_state` needs to go on from here."""
        return {
            "best_loss": self._best_loss,
            "best_epoch": self._best_epoch,
            "best_state": copied(self._best_state),
        }

    def load_state(self, state: State) -> None:
        """Go on from where `state` was taken."""
        self._best_loss, self._best_epoch = state["best_loss"], state["best_epoch"]
        self._best_state = copied(state["best_state"])
