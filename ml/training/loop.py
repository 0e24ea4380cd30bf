"""The only train/test loop.

It is the tutorial's: forward, loss, zero_grad, backward, step; then, where a point of the curve is
due, evaluation in inference mode. The train loss of a point is the one *before* that epoch's step,
the test loss the one *after* it. Evaluating only where a point is due changes no bit of the result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn, optim

from ml.errors import DivergedError
from ml.spec.training import EarlyStoppingSpec
from ml.training.losses import Loss

REPORT_SECONDS = 0.2
"""Longest silence between two `Progress`, as far as a single step allows; a cancel is seen then."""


@dataclass(frozen=True)
class Point:
    """One point of the learning curve; losses in the units that the model is trained in."""

    epoch: int
    train_loss: float
    validation_loss: float | None
    test_loss: float | None


@dataclass(frozen=True)
class Progress:
    """How far the loop is; ``epochs_done`` counts whole epochs. ``point`` where one was due."""

    epochs_done: int
    point: Point | None = None


@dataclass(frozen=True)
class Part:
    """Rows on the device, in the units that the model is trained in, float32."""

    x_NF: torch.Tensor
    y_NT: torch.Tensor

    def __len__(self) -> int:
        return len(self.x_NF)


@dataclass(frozen=True)
class Budget:
    """How long, how often, and in which portions."""

    epochs: int
    evaluate_every: int
    batch_size: int | None
    early_stopping: EarlyStoppingSpec | None
    shuffle_seed: int


@dataclass
class Loop:
    """Trains ``model`` in place; iterate over it to turn the crank.

    Raises, while iterated:
        DivergedError: a loss is no longer finite.
    """

    model: nn.Module
    loss: Loss
    optimizer: optim.Optimizer
    train: Part
    validation: Part
    test: Part
    budget: Budget
    clock: Callable[[], float] = time.monotonic
    best_epoch: int | None = field(default=None, init=False)

    def __iter__(self) -> Iterator[Progress]:
        budget = self.budget
        shuffler = torch.Generator().manual_seed(budget.shuffle_seed)
        stopper = EarlyStopper(budget.early_stopping) if budget.early_stopping else None
        last_report = self.clock()
        for epoch in range(budget.epochs):
            self.model.train()
            summed_loss = torch.zeros((), device=self.train.x_NF.device)
            for rows in self._batches(shuffler):
                batch_loss = self._step(rows)
                if rows is None:
                    break
                summed_loss += batch_loss * len(rows)
                if self.clock() - last_report >= REPORT_SECONDS:
                    yield Progress(epoch)
                    last_report = self.clock()
            # The mean over all rows; dividing by N where one batch holds them all would cost bits.
            train_loss = batch_loss if rows is None else summed_loss / len(self.train)

            stop = False
            if stopper is not None:
                stop = stopper.see(epoch, self._watched_loss(), self.model)
            is_last = stop or epoch == budget.epochs - 1
            if epoch % budget.evaluate_every == 0 or is_last:
                yield Progress(epoch + 1, self._point(epoch, train_loss))
                last_report = self.clock()
            elif self.clock() - last_report >= REPORT_SECONDS:
                check_finite(float(train_loss), "train loss", epoch)  # CPU-GPU sync point
                yield Progress(epoch + 1)
                last_report = self.clock()
            if stop:
                break
        if stopper is not None:
            self.best_epoch = stopper.restore(self.model)
        self.model.eval()

    def _batches(self, shuffler: torch.Generator) -> Iterator[torch.Tensor | None]:
        """Row numbers of each step, shuffled anew; None stands for every row in its order."""
        if self.budget.batch_size is None:
            yield None
            return
        order_N = torch.randperm(len(self.train), generator=shuffler)
        yield from torch.split(order_N.to(self.train.x_NF.device), self.budget.batch_size)

    def _step(self, rows: torch.Tensor | None) -> torch.Tensor:
        """One step of the optimizer; the loss before it, detached."""
        x_BF = self.train.x_NF if rows is None else self.train.x_NF[rows]
        y_BT = self.train.y_NT if rows is None else self.train.y_NT[rows]
        if isinstance(self.optimizer, optim.LBFGS):
            # It asks for the loss several times a step; the first answer is the one before it.
            closure = partial(self._backward, x_BF, y_BT)
            first_loss: torch.Tensor = self.optimizer.step(closure)  # type: ignore[no-untyped-call]
            return first_loss.detach()
        loss = self._backward(x_BF, y_BT)
        self.optimizer.step()
        return loss.detach()

    def _backward(self, x_BF: torch.Tensor, y_BT: torch.Tensor) -> torch.Tensor:
        loss = self.loss(self.model(x_BF), y_BT)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        return loss

    def _point(self, epoch: int, train_loss: torch.Tensor) -> Point:
        point = Point(
            epoch,
            float(train_loss),  # CPU-GPU sync point
            self.loss_of(self.validation),
            self.loss_of(self.test),
        )
        check_finite(point.train_loss, "train loss", epoch)
        check_finite(point.validation_loss, "validation loss", epoch)
        check_finite(point.test_loss, "test loss", epoch)
        return point

    def loss_of(self, part: Part) -> float | None:
        """The loss over ``part`` in evaluation mode; None where it has no rows."""
        if len(part) == 0:
            return None
        self.model.eval()
        with torch.inference_mode():
            return float(self.loss(self.model(part.x_NF), part.y_NT))

    def _watched_loss(self) -> float:
        watched = self.loss_of(self.validation if len(self.validation) else self.test)
        return math.inf if watched is None else watched


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


def check_finite(loss: float | None, name: str, epoch: int) -> None:
    """Refuse a loss that is no number any more.

    Raises:
        DivergedError: it is not finite.
    """
    if loss is not None and not math.isfinite(loss):
        raise DivergedError(f"the {name} is {loss} at epoch {epoch}")
