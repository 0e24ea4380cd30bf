"""Forward and backward pass of one step, recorded once and replayed as straight-line ATen calls.

For small models the time of a step is not the arithmetic but the machinery around it: modules,
autograd's graph, the checks of the optimizer, memory that is fetched and given back. A recording
holds the ATen calls that forward and backward come down to (`recorder`). They are written out as
one Python function (`writer`). Calls and order are those of the plain step, and so are the bits.

Axes: B rows of one batch, F features, T targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ml.training.losses import Loss
from ml.training.recorder import CannotReplayError, Recorder
from ml.training.writer import Writer


@dataclass(frozen=True)
class Recording:
    """Two functions of ``x_BF`` and ``y_BT``, to be called in inference mode.

    Both put the gradients where `record` was told to. They share the memory they work in.
    """

    gradients: Callable[[torch.Tensor, torch.Tensor], None]
    loss_and_gradients: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """It returns the loss before the step."""


def record(
    model: nn.Module,
    loss: Loss,
    x_BF: torch.Tensor,
    y_BT: torch.Tensor,
    rows_stay: bool,
    gradients: Sequence[torch.Tensor],
) -> Recording:
    """What autograd would give, for batches of the shape of ``x_BF`` and ``y_BT``.

    ``rows_stay`` promises that it is always given these very tensors. ``gradients`` says where a
    gradient for each parameter goes: contiguous tensors of their shapes. Parameters and buffers of
    ``model`` are read where they are at each call, so they must be updated in place. Recording runs
    a forward pass, with what that does to buffers and random numbers.

    Raises:
        CannotReplayError: the step reads a number out of a tensor, leaves a parameter as it is, or
            is not what it seems.
    """
    parameters = list(model.parameters())
    if not all(parameter.requires_grad for parameter in parameters):
        raise CannotReplayError("a parameter is frozen")
    state = [*(parameter.detach() for parameter in parameters), *model.buffers()]
    recorder = Recorder(state, x_BF, y_BT)
    with recorder:
        leaves = [data.requires_grad_() for data in recorder.given[: len(parameters)]]
        names = [name for name, _ in model.named_parameters()]
        pred_BT = torch.func.functional_call(
            model, dict(zip(names, leaves, strict=True)), (x_BF,), strict=False
        )
        value = loss(pred_BT, y_BT)
        found = torch.autograd.grad(value, leaves, allow_unused=True)
    # Optimizers pass over a parameter without a gradient; a replayed update would not.
    by_parameter = [recorder.find(gradient) for gradient in found if gradient is not None]
    if len(by_parameter) < len(parameters):
        raise CannotReplayError("a parameter has no part in the loss")
    # Clipping would shorten it twice, as torch does where `.grad` of both is one tensor.
    if len({gradient.memory for gradient in by_parameter}) < len(by_parameter):
        raise CannotReplayError("two parameters share one gradient")
    before = recorder.find(value)
    return Recording(
        Writer(recorder, rows_stay).function(None, by_parameter, gradients),
        Writer(recorder, rows_stay).function(before, by_parameter, gradients),
    )
