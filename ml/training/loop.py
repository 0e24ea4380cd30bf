"""The only train/test loop.

It is the tutorial's: forward, loss, zero_grad, backward, step (`stepper`); then, where a point of
the curve is due, evaluation in inference mode. The train loss of a point is the one *before* that
epoch's step, the test loss the one *after* it. Evaluating only where a point is due changes no bit
of the result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import torch
from torch import nn, optim

from ml.errors import DivergedError
from ml.spec.training import ConstantSpec, EarlyStoppingSpec, PlateauSpec, ScheduleSpec
from ml.training.losses import Loss
from ml.training.parts import AnyPart, Part
from ml.training.schedules import Plateau, step_schedule
from ml.training.stepper import Stepper

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
class Budget:
    """How long, how often, and in which portions."""

    epochs: int
    evaluate_every: int
    batch_size: int | None
    early_stopping: EarlyStoppingSpec | None
    shuffle_seed: int
    schedule: ScheduleSpec = field(default_factory=ConstantSpec)
    clip_grad_norm: float | None = None


@dataclass
class Loop:
    """Trains ``model`` in place; iterate over it to turn the crank.

    Raises, while iterated:
        DivergedError: a loss is no longer finite.
    """

    model: nn.Module
    loss: Loss
    optimizer: optim.Optimizer
    train: AnyPart
    validation: AnyPart
    test: AnyPart
    budget: Budget
    clock: Callable[[], float] = time.monotonic
    best_epoch: int | None = field(default=None, init=False)
    """The epoch whose parameters early stopping put back."""
    epochs_run: int = field(default=0, init=False)
    """Whole epochs that were made; fewer than asked for where it ended early."""
    converged: bool = field(default=False, init=False)
    """Whether it ended because a whole step of L-BFGS found nothing lower."""
    _last_report: float = field(default=0.0, init=False)

    def __iter__(self) -> Iterator[Progress]:
        budget, schedule = self.budget, self.budget.schedule
        stepper = self._make_stepper()
        shuffler = torch.Generator().manual_seed(budget.shuffle_seed)
        stopper = EarlyStopper(budget.early_stopping) if budget.early_stopping else None
        plateau = Plateau(schedule, self.optimizer) if isinstance(schedule, PlateauSpec) else None
        # What may change the course, or end it, after any epoch.
        watches = stopper or plateau or isinstance(self.optimizer, optim.LBFGS)
        self._last_report = self.clock()
        epoch, stop = 0, False
        while epoch < budget.epochs and not stop:
            self.model.train()
            if budget.batch_size is None:
                last = epoch if watches else self._next_due(epoch)
                train_loss = yield from self._full_epochs(stepper, epoch, last)
                epoch = last
            else:
                train_loss = yield from self._batched_epoch(stepper, epoch, shuffler)
            self.epochs_run = epoch + 1
            stop = self.converged = stepper.stands_still
            if stopper or plateau:
                loss = self._watched_loss(train_loss)
                if plateau:
                    plateau.see(loss)
                if stopper:
                    stop |= stopper.see(epoch, loss, self.model)
            if epoch == self._next_due(epoch) or stop:
                yield Progress(epoch + 1, self._point(epoch, train_loss))
                self._last_report = self.clock()
            elif self._is_time():
                check_finite(float(train_loss), "train loss", epoch)  # CPU-GPU sync point
                yield Progress(epoch + 1)
                self._last_report = self.clock()
            epoch += 1
        if stopper is not None:
            self.best_epoch = stopper.restore(self.model)
        self.model.eval()

    def _make_stepper(self) -> Stepper:
        budget, size = self.budget, self.budget.batch_size
        per_epoch = 1 if size is None else math.ceil(len(self.train) / size)
        schedule = step_schedule(budget.schedule, self.optimizer, budget.epochs, per_epoch)
        return Stepper(
            self.model,
            self.loss,
            self.optimizer,
            expected_steps=budget.epochs * per_epoch,
            before_step=schedule.before_step if schedule else None,
            clip_grad_norm=budget.clip_grad_norm,
        )

    def _next_due(self, epoch: int) -> int:
        """The first epoch from ``epoch`` on at whose end a point of the curve is due."""
        every = self.budget.evaluate_every
        return min(math.ceil(epoch / every) * every, self.budget.epochs - 1)

    def _is_time(self) -> bool:
        return self.clock() - self._last_report >= REPORT_SECONDS

    def _full_epochs(
        self, stepper: Stepper, first: int, last: int
    ) -> Generator[Progress, None, torch.Tensor]:
        """Epochs ``first`` to ``last`` of one step each; the loss before the last step.

        Several steps go in one stride, as many as fit well between two looks at the clock.
        """
        epoch, stride = first, 1
        while True:
            count = min(stride, last + 1 - epoch)
            began = self.clock()
            if isinstance(self.train, Part):
                loss = stepper.steps(self.train.x_NF, self.train.y_NT, count)
            else:
                loss = stepper.streamed_steps(self.train, count)
            epoch += count
            if epoch > last:
                return loss
            if self.clock() - began < REPORT_SECONDS / 8:
                stride *= 2
            if self._is_time():
                check_finite(float(loss), "train loss", epoch - 1)  # CPU-GPU sync point
                yield Progress(epoch)
                self._last_report = self.clock()

    def _batched_epoch(
        self, stepper: Stepper, epoch: int, shuffler: torch.Generator
    ) -> Generator[Progress, None, torch.Tensor]:
        """One epoch in shuffled batches; the mean over all rows of the loss before each step."""
        size = self.budget.batch_size
        assert size is not None
        summed_loss: torch.Tensor | float = 0.0
        for x_NF, y_NT in self.train.shuffled(shuffler, size):
            batches = zip(torch.split(x_NF, size), torch.split(y_NT, size), strict=True)
            for x_BF, y_BT in batches:
                summed_loss += stepper.step(x_BF, y_BT) * len(x_BF)
                if self._is_time():
                    yield Progress(epoch)
                    self._last_report = self.clock()
        assert isinstance(summed_loss, torch.Tensor)
        return summed_loss / len(self.train)

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

    def loss_of(self, part: AnyPart) -> float | None:
        """The loss over ``part`` in evaluation mode; None where it has no rows."""
        if len(part) == 0:
            return None
        self.model.eval()
        with torch.inference_mode():
            return sum(
                float(self.loss(self.model(x_NF), y_NT)) * (len(x_NF) / len(part))
                for x_NF, y_NT in part.blocks()
            )

    def _watched_loss(self, train_loss: torch.Tensor) -> float:
        watched = self.loss_of(self.validation if len(self.validation) else self.test)
        return float(train_loss) if watched is None else watched


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
