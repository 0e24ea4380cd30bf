"""One step of training: as the tutorial writes it, or replayed where that gives the same bits."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn, optim

from ml.data.table import Block
from ml.training.losses import Loss
from ml.training.parts import StreamedPart
from ml.training.recorder import CannotReplayError
from ml.training.replay import Recording, record
from ml.training.updates import Update, fast_update

logger = logging.getLogger(__name__)

WORTH_RECORDING = 100
"""Fewer steps than these are not recorded: a recording costs what it saves in some 20 of them."""

MAX_RECORDINGS = 4
"""Shapes of batches that are recorded; two are usual: a whole batch, and the last of an epoch."""

LBFGS_SCALE = 2.0**30
"""What the loss is multiplied by for L-BFGS in float64.

`torch.optim.LBFGS` learns no curvature from steps with y·s <= 1e-10 (lbfgs.py, torch 2.13), however
small the loss is. Where standardized columns depend on each other (condition number 10,000), every
step along the weak direction is such a step: 50 epochs do not get there; scaled, five do. 1e-10
becomes 1e-19, less than the last bit of a loss of 1. A power of two changes no other bit.
In float32 rounding hides the weak direction anyway, and the range is needed.
"""


class Stepper:
    """Steps ``optimizer`` over ``model``, with ``before_step`` called before every step.

    Only modules that are known to make the same calls at every step are replayed, only after a
    first plain step (which sets up the optimizer's state), and only if replay and autograd agree in
    every bit. All else, and L-BFGS, is stepped as the tutorial does.
    """

    stands_still = False
    """Whether the last step was one of L-BFGS that found no lower loss, or changed no parameter:
    then its next step would begin with the same numbers, and so do the same."""

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        optimizer: optim.Optimizer,
        expected_steps: int,
        before_step: Callable[[], None] | None = None,
        clip_grad_norm: float | None = None,
    ) -> None:
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        self._before_step = before_step
        self._clip_grad_norm = clip_grad_norm
        # See `RegressionModel`; of any other module it is not known.
        known = bool(getattr(model, "same_calls_at_every_step", False))
        self._may_replay = known and expected_steps >= WORTH_RECORDING
        self._has_stepped = False
        self._update: Update | None = None
        self._recordings: dict[object, Recording | None] = {}

    def step(self, x_BF: torch.Tensor, y_BT: torch.Tensor) -> torch.Tensor:
        """Make one step over a batch; the loss before it, detached."""
        recording = self._recording(x_BF, y_BT, rows_stay=False)
        if recording is None:
            return self._plain_step(lambda: ((x_BF, y_BT),), len(x_BF))
        return self._replay(recording, x_BF, y_BT, 1)

    def steps(self, x_NF: torch.Tensor, y_NT: torch.Tensor, count: int) -> torch.Tensor:
        """Make ``count`` steps over rows that stay, always these; the loss before the last."""
        for done in range(count):
            recording = self._recording(x_NF, y_NT, rows_stay=True)
            if recording is not None:
                return self._replay(recording, x_NF, y_NT, count - done)
            loss = self._plain_step(lambda: ((x_NF, y_NT),), len(x_NF))
        return loss

    def streamed_steps(self, part: StreamedPart, count: int) -> torch.Tensor:
        """As `steps`, over rows that are read block by block: their gradients add up to that of the
        mean over all rows."""
        for _ in range(count):
            loss = self._plain_step(part.blocks, len(part))
        return loss

    def _plain_step(self, blocks: Callable[[], Iterable[Block]], rows: int) -> torch.Tensor:
        self._has_stepped = True
        if self._before_step is not None:
            self._before_step()
        if isinstance(self._optimizer, optim.LBFGS):
            return self._lbfgs_step(self._optimizer, blocks, rows)
        loss = self._backward(blocks, rows)
        if self._clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._clip_grad_norm)
        self._optimizer.step()
        return loss

    def _backward(
        self, blocks: Callable[[], Iterable[Block]], rows: int, scale: float = 1.0
    ) -> torch.Tensor:
        """Gradients of ``scale`` times the mean loss over all ``rows``; the loss, detached."""
        whole: torch.Tensor | None = None
        for x_BF, y_BT in blocks():
            loss = self._loss(self._model(x_BF), y_BT)
            if len(x_BF) != rows:
                loss = loss * (len(x_BF) / rows)
            if whole is None:
                self._optimizer.zero_grad()
            torch.autograd.backward(loss if scale == 1 else loss * scale)
            whole = loss.detach() if whole is None else whole + loss.detach()
        assert whole is not None
        return whole

    def _lbfgs_step(
        self, optimizer: optim.LBFGS, blocks: Callable[[], Iterable[Block]], rows: int
    ) -> torch.Tensor:
        parameters = list(self._model.parameters())
        before = [parameter.detach().clone() for parameter in parameters]
        scale = LBFGS_SCALE if parameters[0].dtype == torch.float64 else 1.0
        losses = []

        def closure() -> torch.Tensor:
            losses.append(self._backward(blocks, rows, scale))
            return losses[-1] * scale

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        pairs = zip(parameters, before, strict=True)
        unchanged = all(torch.equal(now, then) for now, then in pairs)
        # Next to the optimum a bias of 1e-18 may swing for ever, which no loss can see.
        self.stands_still = unchanged or bool(min(losses) >= losses[0])
        # It asks for the loss several times a step; the first answer is the one before it.
        return losses[0]

    def _replay(
        self, recording: Recording, x_BF: torch.Tensor, y_BT: torch.Tensor, count: int
    ) -> torch.Tensor:
        update, gradients, before_step = self._update, recording.gradients, self._before_step
        assert update is not None
        # Cheaper than no_grad by a tenth: no version counters.
        with torch.inference_mode():
            for _ in range(count - 1):
                if before_step is not None:
                    before_step()
                gradients(x_BF, y_BT)
                update.step()
            if before_step is not None:
                before_step()
            loss = recording.loss_and_gradients(x_BF, y_BT)
            update.step()
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
            self._update = fast_update(self._optimizer, self._clip_grad_norm)
            if self._update is None:
                self._may_replay = False
                return None
        slots = self._update.gradients
        try:
            with self._nothing_changed():
                recording = record(self._model, self._loss, x_BF, y_BT, rows_stay, slots)
        except CannotReplayError as error:
            logger.info("steps are not replayed: %s", error)
            return None
        if not self._agrees(recording, slots, x_BF, y_BT):
            logger.warning("steps are not replayed: replay and autograd differ")
            return None
        return recording

    def _agrees(
        self,
        recording: Recording,
        slots: list[torch.Tensor],
        x_BF: torch.Tensor,
        y_BT: torch.Tensor,
    ) -> bool:
        """Whether both functions of a recording give the bits of autograd."""
        with self._nothing_changed():
            loss = self._loss(self._model(x_BF), y_BT)
            wanted = torch.autograd.grad(loss, list(self._model.parameters()))
        for run in (recording.loss_and_gradients, recording.gradients):
            for slot in slots:
                slot.fill_(math.nan)  # What is not written must not pass.
            with self._nothing_changed(), torch.inference_mode():
                returned = run(x_BF, y_BT)
            if returned is not None and not _same_bits(returned, loss.detach()):
                return False
            if not all(_same_bits(*pair) for pair in zip(slots, wanted, strict=True)):
                return False
        return True

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
    bits = torch.int64 if one.dtype == torch.float64 else torch.int32
    return torch.equal(one.view(bits), other.view(bits))
