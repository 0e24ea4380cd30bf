"""Where a training is between two steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ml.training.state import State, copied


@dataclass
class Place:
    """The step that comes next, and what the epoch it is in has come to."""

    epoch: int = 0
    """The epoch of the next step."""
    batches: int = 0
    """Batches of it that were made."""
    summed_loss: torch.Tensor | float = 0.0
    """Of the rows of those batches, each before its step."""
    order: torch.Tensor | None = None
    """The shuffler's state when the epoch began, from which its batches follow."""
    stop: bool = False
    """Whether there is no next step."""

    def end_epoch(self) -> torch.Tensor:
        """Go to the start of the next epoch; the summed loss of the one that ended."""
        summed_loss = self.summed_loss
        assert isinstance(summed_loss, torch.Tensor)
        self.epoch, self.batches, self.summed_loss = self.epoch + 1, 0, 0.0
        return summed_loss

    def state(self, shuffler: torch.Generator) -> State:
        """What `load_state` needs to come here."""
        return {
            "epoch": self.epoch,
            "batches": self.batches,
            "summed_loss": copied(self.summed_loss),
            "order": copied(self.order) if self.batches else shuffler.get_state(),
            "stop": self.stop,
        }

    def load_state(self, state: State, shuffler: torch.Generator, device: torch.device) -> None:
        """Come to where `state` was taken: the epoch is shuffled once more, and ``batches`` of it
        are passed over."""
        self.epoch, self.batches, self.stop = state["epoch"], state["batches"], state["stop"]
        summed_loss = copied(state["summed_loss"])
        is_number = not isinstance(summed_loss, torch.Tensor)
        self.summed_loss = summed_loss if is_number else summed_loss.to(device)
        shuffler.set_state(state["order"])
