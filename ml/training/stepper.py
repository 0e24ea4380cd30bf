"""One step of training: as the tutorial writes it, or replayed where that gives the same bits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn, optim

from ml.models.architecture import RegressionModel
from ml.training.losses import Loss
from ml.training.replay import CannotReplayError, Recording, record
from ml.training.updates import Update, fast_update

logger = logging.getLogger(__name__)

WORTH_RECORDING = 100
"""Fewer steps than these are not recorded: a recording costs what it saves in some 20 of them."""

MAX_RECORDINGS = 4
"""Shapes of batches that are recorded; two are usual: a whole batch, and the last of an epoch."""


class Stepper:
    """Steps ``optimizer`` over ``model``.

    Only modules that are known to make the same calls at every step are replayed, only after a
    first plain step (which sets up the optimizer's state), and only if replay and autograd agree in
    every bit. All else, and L-BFGS, is stepped as the tutorial does.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, optimizer: optim.Optimizer, expected_steps: int
    ) -> None:
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        known = isinstance(model, RegressionModel) and model.same_calls_at_every_step
        self._may_replay = known and expected_steps >= WORTH_RECORDING
        self._has_stepped = False
        self._update: Update | None = None
        self._recordings: dict[object, Recording | None] = {}

    def step(self, x_BF: torch.Tensor, y_BT: torch.Tensor) -> torch.Tensor:
        """Make one step over a batch; the loss before it, detached."""
        recording = self._recording(x_BF, y_BT, rows_stay=False)
        if recording is None:
            return self._plain_step(x_BF, y_BT)
        return self._replay(recording, x_BF, y_BT, 1)

    def steps(self, x_NF: torch.Tensor, y_NT: torch.Tensor, count: int) -> torch.Tensor:
        """Make ``count`` steps over rows that stay, always these; the loss before the last."""
        for done in range(count):
            recording = self._recording(x_NF, y_NT, rows_stay=True)
            if recording is not None:
                return self._replay(recording, x_NF, y_NT, count - done)
            loss = self._plain_step(x_NF, y_NT)
        return loss

    def _plain_step(self, x_BF: torch.Tensor, y_BT: torch.Tensor) -> torch.Tensor:
        self._has_stepped = True
        closure = partial(self._backward, x_BF, y_BT)
        if isinstance(self._optimizer, optim.LBFGS):
            # It asks for the loss several times a step; the first answer is the one before it.
            first_loss: torch.Tensor = self._optimizer.step(closure)  # type: ignore[no-untyped-call]
            return first_loss.detach()
        loss = closure()
        self._optimizer.step()
        return loss.detach()

    def _backward(self, x_BF: torch.Tensor, y_BT: torch.Tensor) -> torch.Tensor:
        loss = self._loss(self._model(x_BF), y_BT)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        return loss

    def _replay(
        self, recording: Recording, x_BF: torch.Tensor, y_BT: torch.Tensor, count: int
    ) -> torch.Tensor:
        update, gradients = self._update, recording.gradients
        assert update is not None
        # Cheaper than no_grad by a tenth: no version counters.
        with torch.inference_mode():
            for _ in range(count - 1):
                update(gradients(x_BF, y_BT))
            loss, *by_parameter = recording.loss_and_gradients(x_BF, y_BT)
            update(by_parameter)
        return loss

    def _recording(
        self, x_BF: torch.Tensor, y_BT: torch.Tensor, rows_stay: bool
    ) -> Recording | None:
        """The replay for batches of this shape, made at its first use; None where there is none."""
        if not self._may_replay or not self._has_stepped:
            return None
        key = (x_BF.shape, rows_stay)
        if key not in self._recordings:
            if len(self._recordings) == MAX_RECORDINGS:
                return None
            self._recordings[key] = self._record(x_BF, y_BT, rows_stay)
        return self._recordings[key]

    def _record(self, x_BF: torch.Tensor, y_BT: torch.Tensor, rows_stay: bool) -> Recording | None:
        if self._update is None:
            self._update = fast_update(self._optimizer)
            if self._update is None:
                self._may_replay = False
                return None
        try:
            with self._nothing_changed():
                recording = record(self._model, self._loss, x_BF, y_BT, rows_stay)
            with self._nothing_changed():
                loss = self._loss(self._model(x_BF), y_BT)
                parameters = list(self._model.parameters())
                wanted = [loss.detach(), *torch.autograd.grad(loss, parameters)]
            with self._nothing_changed(), torch.inference_mode():
                got = recording.loss_and_gradients(x_BF, y_BT)
            with self._nothing_changed(), torch.inference_mode():
                again = recording.gradients(x_BF, y_BT)
        except CannotReplayError as error:
            logger.info("steps are not replayed: %s", error)
            return None
        pairs = zip([*wanted, *wanted[1:]], [*got, *again], strict=True)
        if not all(_same_bits(one, other) for one, other in pairs):
            logger.warning("steps are not replayed: replay and autograd differ")
            return None
        return recording

    @contextmanager
    def _nothing_changed(self) -> Iterator[None]:
        """Undo what a forward pass does to buffers (running means) and to the random numbers."""
        buffers = list(self._model.buffers())
        kept = [buffer.clone() for buffer in buffers]
        devices = [self._device.index or 0] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            yield
        with torch.no_grad():
            for buffer, before in zip(buffers, kept, strict=True):
                buffer.copy_(before)

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters()).device


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.view(torch.int32), other.view(torch.int32))
