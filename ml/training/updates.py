"""The updates of SGD, Adam and AdamW, without the machinery around them.

The same arithmetic in the same order as torch.optim's own single-tensor functions
(`torch/optim/sgd.py`, `adam.py`, torch 2.13), so the bits are the same. State and learning rate
stay where torch.optim keeps them: an optimizer may be stepped by either, in any order, and
schedules and checkpoints work as ever.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import optim

Update = Callable[[list[torch.Tensor]], None]
"""Takes a gradient for each parameter and moves the parameters."""


def fast_update(optimizer: optim.Optimizer) -> Update | None:
    """The update of ``optimizer``, which must have made a step already; None for other kinds."""
    if len(optimizer.param_groups) != 1:
        return None
    group = optimizer.param_groups[0]
    if group.get("maximize") or group.get("amsgrad") or group.get("nesterov"):
        return None
    if type(optimizer) is optim.SGD and group["dampening"] == 0:
        return _sgd(optimizer)
    if type(optimizer) in (optim.Adam, optim.AdamW):
        return _adam(optimizer)
    return None


def _sgd(optimizer: optim.Optimizer) -> Update:
    group = optimizer.param_groups[0]
    parameters = [parameter.detach() for parameter in group["params"]]
    momentum, weight_decay = group["momentum"], group["weight_decay"]
    buffers = [optimizer.state[p].get("momentum_buffer") for p in group["params"]]

    def update(gradients: list[torch.Tensor]) -> None:
        if weight_decay:
            gradients = [*torch._foreach_add(gradients, parameters, alpha=weight_decay)]
        if momentum:
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_add_(buffers, gradients)
            gradients = buffers
        torch._foreach_add_(parameters, gradients, alpha=-group["lr"])

    return update


def _adam(optimizer: optim.Optimizer) -> Update:
    group = optimizer.param_groups[0]
    parameters = [parameter.detach() for parameter in group["params"]]
    states = [optimizer.state[parameter] for parameter in group["params"]]
    means = [state["exp_avg"] for state in states]
    squares = [state["exp_avg_sq"] for state in states]
    counters = [state["step"] for state in states]
    beta1, beta2 = group["betas"]
    epsilon, weight_decay = group["eps"], group["weight_decay"]
    decoupled = group["decoupled_weight_decay"]

    def update(gradients: list[torch.Tensor]) -> None:
        torch._foreach_add_(counters, 1)
        step = counters[0].item()
        lr = group["lr"]
        if weight_decay and decoupled:
            torch._foreach_mul_(parameters, 1 - lr * weight_decay)
        elif weight_decay:
            gradients = [*torch._foreach_add(gradients, parameters, alpha=weight_decay)]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        roots = [*torch._foreach_sqrt(squares)]
        torch._foreach_div_(roots, (1 - beta2**step) ** 0.5)
        torch._foreach_add_(roots, epsilon)
        torch._foreach_addcdiv_(parameters, means, roots, -(lr / (1 - beta1**step)))

    return update
