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

from ml.spec.training import ConstantSpec, EarlyStoppingSpec, PlateauSpec, ScheduleSpec
from ml.training.losses import Loss, check_finite
from ml.training.parts import AnyPart, Part
from ml.training.place import Place
from ml.training.schedules import Plateau, step_schedule
from ml.training.state import (
    State,
    load_model_state,
    load_optimizer_state,
    load_random_state,
    model_state,
    optimizer_state,
    random_state,
    size_of,
)
from ml.training.stepper import Stepper
from ml.training.stopping import EarlyStopper

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
    _place: Place = field(init=False)

    def __post_init__(self) -> None:
        budget, size, schedule = self.budget, self.budget.batch_size, self.budget.schedule
        self._place = Place()
        self._steps_per_epoch = 1 if size is None else math.ceil(len(self.train) / size)
        self._shuffler = torch.Generator().manual_seed(budget.shuffle_seed)
        self._stopper = EarlyStopper(budget.early_stopping) if budget.early_stopping else None
        self._plateau = (
            Plateau(schedule, self.optimizer) if isinstance(schedule, PlateauSpec) else None
        )
        self._schedule = step_schedule(
            schedule, self.optimizer, budget.epochs, self._steps_per_epoch
        )

    def __iter__(self) -> Iterator[Progress]:
        place, stopper, plateau = self._place, self._stopper, self._plateau
        stepper = self._make_stepper()
        # What may change the course, or end it, after any epoch.
        watches = stopper or plateau or isinstance(self.optimizer, optim.LBFGS)
        self._last_report = self.clock()
        while place.epoch < self.budget.epochs and not place.stop:
            self.model.train()
            if self.budget.batch_size is None:
                last = place.epoch if watches else self._next_due(place.epoch)
                train_loss = yield from self._full_epochs(stepper, last)
            else:
                train_loss = yield from self._batched_epoch(stepper)
            epoch = place.epoch - 1
            self.epochs_run = place.epoch
            place.stop = self.converged = stepper.stands_still
            if stopper or plateau:
                loss = self._watched_loss(train_loss)
                if plateau:
                    plateau.see(loss)
                if stopper:
                    place.stop |= stopper.see(epoch, loss, self.model)
            if epoch == self._next_due(epoch) or place.stop:
                yield Progress(place.epoch, self._point(epoch, train_loss))
                self._last_report = self.clock()
            elif self._is_time():
                check_finite(float(train_loss), "train loss", epoch)  # CPU-GPU sync point
                yield Progress(place.epoch)
                self._last_report = self.clock()
        if stopper is not None:
            self.best_epoch = stopper.restore(self.model)
        self.model.eval()

    def state(self) -> State:
        """All that `load_state` needs to go on from here, copied; for between two steps: before
        the iteration, or at any `Progress`."""
        return {
            "model": model_state(self.model),
            "optimizer": optimizer_state(self.optimizer),
            "random": random_state(self._device),
            "place": self._place.state(self._shuffler),
            "epochs_run": self.epochs_run,
            "converged": self.converged,
            "schedule": self._schedule.step if self._schedule else None,
            "plateau": self._plateau.state() if self._plateau else None,
            "stopper": self._stopper.state() if self._stopper else None,
        }

    def state_bytes(self) -> int:
        """Bytes of the tensors in `state` that grow with the model; nothing is copied."""
        best = self._stopper.bytes() if self._stopper else 0
        kept = [dict(self.model.named_parameters()), dict(self.model.named_buffers())]
        return best + size_of(kept) + size_of(list(self.optimizer.state.values()))

    def load_state(self, state: State) -> None:
        """Go on from where `state` was taken; to be called before the iteration.

        Raises:
            CheckpointError: it is of another model.
        """
        load_model_state(self.model, state["model"])
        load_optimizer_state(self.optimizer, state["optimizer"])
        self._place.load_state(state["place"], self._shuffler, self._device)
        self.epochs_run, self.converged = state["epochs_run"], state["converged"]
        if self._schedule:
            self._schedule.step = state["schedule"]
        if self._plateau:
            self._plateau.load_state(state["plateau"])
        if self._stopper:
            self._stopper.load_state(state["stopper"])
        load_random_state(state["random"], self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _make_stepper(self) -> Stepper:
        return Stepper(
            self.model,
            self.loss,
            self.optimizer,
            expected_steps=self.budget.epochs * self._steps_per_epoch,
            before_step=self._schedule.before_step if self._schedule else None,
            clip_grad_norm=self.budget.clip_grad_norm,
        )

    def _next_due(self, epoch: int) -> int:
        """The first epoch from ``epoch`` on at whose end a point of the curve is due."""
        every = self.budget.evaluate_every
        return min(math.ceil(epoch / every) * every, self.budget.epochs - 1)

    def _is_time(self) -> bool:
        return self.clock() - self._last_report >= REPORT_SECONDS

    def _full_epochs(self, stepper: Stepper, last: int) -> Generator[Progress, None, torch.Tensor]:
        """Epochs of one step each up to ``last``; the loss before the last step.

        Several steps go in one stride, as many as fit well between two looks at the clock.
        """
        place, stride = self._place, 1
        while True:
            count = min(stride, last + 1 - place.epoch)
            began = self.clock()
            if isinstance(self.train, Part):
                loss = stepper.steps(self.train.x_NF, self.train.y_NT, count)
            else:
                loss = stepper.streamed_steps(self.train, count)
            place.epoch += count
            if place.epoch > last:
                return loss
            if self.clock() - began < REPORT_SECONDS / 8:
                stride *= 2
            if self._is_time():
                check_finite(float(loss), "train loss", place.epoch - 1)  # CPU-GPU sync point
                yield Progress(place.epoch)
                self._last_report = self.clock()

    def _batched_epoch(self, stepper: Stepper) -> Generator[Progress, None, torch.Tensor]:
        """One epoch in shuffled batches; the mean over all rows of the loss before each step."""
        size, place = self.budget.batch_size, self._place
        assert size is not None
        place.order = self._shuffler.get_state()
        passed = 0
        for x_NF, y_NT in self.train.shuffled(self._shuffler, size):
            batches = zip(torch.split(x_NF, size), torch.split(y_NT, size), strict=True)
            for x_BF, y_BT in batches:
                passed += 1
                if passed <= place.batches:
                    continue  # Made before the state was taken that this goes on from.
                place.summed_loss += stepper.step(x_BF, y_BT) * len(x_BF)
                place.batches = passed
                if self._is_time():
                    yield Progress(place.epoch)
                    self._last_report = self.clock()
        return place.end_epoch() / len(self.train)

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
