"""Learning rates that change while training: the sequences of `torch.optim.lr_scheduler`.

They write ``lr`` into the optimizer's group, which is read at every step, a replayed one as well;
an optimizer without a schedule is not touched. Cosine and one cycle are functions of the number
of the step, so nothing but that number has to be kept to go on with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import optim

from ml.spec.training import (
    ConstantSpec,
    CosineSpec,
    OneCycleSpec,
    PlateauSpec,
    ScheduleSpec,
)
from ml.training.state import State

RateOf = Callable[[int], float]
"""The learning rate of a step; the first is step 0."""

# What torch takes where nothing is said (torch/optim/lr_scheduler.py, 2.13): OneCycleLR …
PART_RISING = 0.3
PEAK_TO_FIRST = 25.0
FIRST_TO_LAST = 1e4
# … and ReduceLROnPlateau.
THRESHOLD = 1e-4
SMALLEST_CHANGE = 1e-8


class StepSchedule:
    """Writes the learning rate of each step just before it."""

    def __init__(self, optimizer: optim.Optimizer, rate_of: RateOf) -> None:
        # Not its group: loading a state makes another.
        self._optimizer = optimizer
        self._rate_of = rate_of
        self.step = 0
        """The number of the step that comes next."""

    def before_step(self) -> None:
        """Set the rate for the step that is about to be made."""
        self._optimizer.param_groups[0]["lr"] = self._rate_of(self.step)
        self.step += 1


class Plateau:
    """`ReduceLROnPlateau`: lowers the learning rate once a loss has not fallen for a while."""

    def __init__(self, spec: PlateauSpec, optimizer: optim.Optimizer) -> None:
        self._spec = spec
        self._optimizer = optimizer
        self._best = math.inf
        self._epochs_without_gain = 0

    def see(self, loss: float) -> None:
        """Note the loss after an epoch; where the patience is spent, the next has a lower rate."""
        if loss < self._best * (1 - THRESHOLD):
            self._best, self._epochs_without_gain = loss, 0
        else:
            self._epochs_without_gain += 1
        if self._epochs_without_gain > self._spec.patience:
            self._epochs_without_gain = 0
            group = self._optimizer.param_groups[0]
            lower = max(group["lr"] * self._spec.factor, self._spec.min_lr)
            if group["lr"] - lower > SMALLEST_CHANGE:
                group["lr"] = lower

    def state(self) -> State:
        """What `load_state` needs to go on from here; the learning rate is the optimizer's."""
        return {"best": self._best, "epochs_without_gain": self._epochs_without_gain}

    def load_state(self, state: State) -> None:
        """Go on from where `state` was taken."""
        self._best = state["best"]
        self._epochs_without_gain = state["epochs_without_gain"]


def step_schedule(
    spec: ScheduleSpec, optimizer: optim.Optimizer, epochs: int, steps_per_epoch: int
) -> StepSchedule | None:
    """The schedule of ``spec`` for a training that long; None where steps do not decide."""
    # Not the group's: that one may be a schedule's already.
    lr = optimizer.defaults["lr"]
    match spec:
        case ConstantSpec() | PlateauSpec():
            return None
        case CosineSpec():
            by_epoch = cosine(lr, spec.final_lr, epochs)
            return StepSchedule(optimizer, lambda step: by_epoch(step // steps_per_epoch))
        case OneCycleSpec():
            peak = lr if spec.max_lr is None else spec.max_lr
            return StepSchedule(optimizer, one_cycle(peak, epochs * steps_per_epoch))


def cosine(first_lr: float, final_lr: float, epochs: int) -> RateOf:
    """Half a cosine over epochs 0 to ``epochs`` (Loshchilov, Hutter, SGDR, 2017, eq. 5).

    `CosineAnnealingLR` with ``T_max = epochs``, stepped once an epoch as torch shows it; with all
    rows in one batch an epoch is a step.
    """
    return lambda epoch: _between(first_lr, final_lr, epoch / epochs)


def one_cycle(peak_lr: float, steps: int) -> RateOf:
    """Up to ``peak_lr`` and down again within ``steps`` steps (Smith, Topin, 1708.07120).

    `OneCycleLR` with torch's defaults, but the momentum is not cycled: it would belong to SGD with
    momentum alone, and a momentum that was asked for is kept.
    """
    first_lr = peak_lr / PEAK_TO_FIRST
    last_lr = first_lr / FIRST_TO_LAST
    top = PART_RISING * steps - 1

    def rate_of(step: int) -> float:
        if step <= top:
            return _between(first_lr, peak_lr, step / top)
        return _between(peak_lr, last_lr, (step - top) / (steps - 1 - top))

    return rate_of


def _between(start: float, end: float, part: float) -> float:
    """From ``start`` (part 0) along half a cosine to ``end`` (part 1)."""
    return end + (start - end) / 2 * (math.cos(math.pi * part) + 1)
