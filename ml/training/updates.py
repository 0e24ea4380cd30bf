"""The updates of SGD, Adam and AdamW, without the machinery around them.

The same arithmetic in the same order as torch.optim's own single-tensor functions
(`torch/optim/sgd.py`, `adam.py`, torch 2.13), so the bits are the same. What belongs to all
parameters lies in one row of memory, of which `parameter.data` and the optimizer's state become
views: one call moves all of them. State and learning rate stay where torch.optim keeps them: an
optimizer may be stepped by either, in any order, and schedules and checkpoints work as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import optim

ALIGNED_BYTES = 64
"""Where torch's allocator lets a tensor begin. BLAS may sum in another order where one begins
elsewhere (oneMKL developer guide, Obtaining Numerically Reproducible Results)."""


Step = Callable[[], None]


@dataclass(frozen=True)
class Update:
    """One step of an optimizer by gradients that lie ready."""

    gradients: list[torch.Tensor]
    """Where the gradient of each parameter has to be put."""
    step: Step
    """Moves the parameters. To be called in inference mode; the gradients are used up."""


@dataclass(frozen=True)
class _Row:
    """Tensors of one dtype side by side in one row of memory."""

    whole: torch.Tensor
    parts: list[torch.Tensor]

    @classmethod
    def of(cls, tensors: Sequence[torch.Tensor]) -> _Row:
        """A row with the values of ``tensors``; between them it is 0."""
        first = tensors[0]
        step = ALIGNED_BYTES // first.element_size()
        sizes = [-(-tensor.numel() // step) * step for tensor in tensors]
        whole = torch.zeros(sum(sizes), dtype=first.dtype, device=first.device)
        parts = []
        for room, tensor in zip(torch.split(whole, sizes), tensors, strict=True):
            parts.append(room[: tensor.numel()].view(tensor.shape))
            parts[-1].copy_(tensor)
        return cls(whole, parts)

    def like(self) -> _Row:
        """Another row for as many numbers, all 0."""
        return _Row.of([torch.zeros_like(part) for part in self.parts])

    def pieces(self) -> list[torch.Tensor]:
        """The row as a whole, or its parts on a machine where that would change bits."""
        one = _place_does_not_matter(self.whole.dtype, self.whole.device)
        return [self.whole] if one else self.parts


def fast_update(optimizer: optim.Optimizer, clip_grad_norm: float | None = None) -> Update | None:
    """The update of ``optimizer``, which must have made a step already; None for other kinds.

    With ``clip_grad_norm`` the gradients are shortened first. From then on the parameters lie in
    other memory: their `data` is another tensor.
    """
    if len(optimizer.param_groups) != 1:
        return None
    group = optimizer.param_groups[0]
    if group.get("maximize") or group.get("amsgrad") or group.get("nesterov"):
        return None
    make: Callable[[dict[str, Any], _Row, _Row, dict[str, _Row]], Step]
    if type(optimizer) is optim.SGD and group["dampening"] == 0:
        make, names = _sgd, ["momentum_buffer"] if group["momentum"] else []
    elif type(optimizer) in (optim.Adam, optim.AdamW):
        make, names = _adam, ["exp_avg", "exp_avg_sq", "step"]
    else:
        return None
    states = [optimizer.state[parameter] for parameter in group["params"]]
    passed_over = any(state.get(name) is None for state in states for name in names)
    if passed_over or not _may_lie_in_a_row(group["params"]):
        return None
    rows = {name: _Row.of([state[name] for state in states]) for name in names}
    for name, row in rows.items():
        for state, part in zip(states, row.parts, strict=True):
            state[name] = part
    parameters = _Row.of([parameter.detach() for parameter in group["params"]])
    for parameter, part in zip(group["params"], parameters.parts, strict=True):
        parameter.data = part
    gradients = parameters.like()
    step = make(group, parameters, gradients, rows)
    if clip_grad_norm is not None:
        step = _clipped(step, gradients, clip_grad_norm)
    return Update(gradients.parts, step)


def _sgd(group: dict[str, Any], parameters: _Row, gradients: _Row, state: dict[str, _Row]) -> Step:
    momentum, weight_decay = group["momentum"], group["weight_decay"]
    buffers = state.get("momentum_buffer", gradients)
    pieces = [*zip(parameters.pieces(), gradients.pieces(), buffers.pieces(), strict=True)]

    def step() -> None:
        lr = group["lr"]
        for parameter, gradient, buffer in pieces:
            if weight_decay:
                gradient.add_(parameter, alpha=weight_decay)
            if momentum:
                buffer.mul_(momentum).add_(gradient)
            parameter.add_(buffer, alpha=-lr)

    return step


def _adam(group: dict[str, Any], parameters: _Row, gradients: _Row, state: dict[str, _Row]) -> Step:
    counters, first_counter = state["step"].whole, state["step"].parts[0]
    rows = (parameters, gradients, state["exp_avg"], state["exp_avg_sq"], parameters.like())
    pieces = [*zip(*(row.pieces() for row in rows), strict=True)]
    beta1, beta2 = group["betas"]
    epsilon, weight_decay = group["eps"], group["weight_decay"]
    decoupled = group["decoupled_weight_decay"]

    def step() -> None:
        counters.add_(1)
        count = first_counter.item()
        lr = group["lr"]
        rate, correction = lr / (1 - beta1**count), (1 - beta2**count) ** 0.5
        for parameter, gradient, mean, square, root in pieces:
            if weight_decay and decoupled:
                parameter.mul_(1 - lr * weight_decay)
            elif weight_decay:
                gradient.add_(parameter, alpha=weight_decay)
            mean.lerp_(gradient, 1 - beta1)
            square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            torch.sqrt(square, out=root).div_(correction).add_(epsilon)
            parameter.addcdiv_(mean, root, value=-rate)

    return step


def _clipped(step: Step, gradients: _Row, max_norm: float) -> Step:
    """``step`` with gradients shortened first, all of them by one factor.

    The calls of `torch.nn.utils.clip_grad_norm_` (torch 2.13) in their order; it finds the norm of
    each gradient, then the norm of these norms.
    """

    def clip_and_step() -> None:
        norms = torch.stack(torch._foreach_norm(gradients.parts, 2.0))
        factor = max_norm / (torch.linalg.vector_norm(norms, 2.0) + 1e-6)
        gradients.whole.mul_(torch.clamp(factor, max=1.0))
        step()

    return clip_and_step


def _may_lie_in_a_row(parameters: Sequence[torch.Tensor]) -> bool:
    """Whether they are of one kind, without gaps, and none lies in the memory of another."""
    kinds = {(parameter.dtype, parameter.device) for parameter in parameters}
    spans = sorted((p.data_ptr(), p.data_ptr() + p.numel() * p.element_size()) for p in parameters)
    apart = all(end <= start for (_, end), (start, _) in pairwise(spans))
    return len(kinds) == 1 and apart and all(p.is_contiguous() for p in parameters)


@cache
def _place_does_not_matter(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a number's bits are the same wherever it lies in the tensor that is worked on.

    Loops over vectors leave a rest that is done number by number, by other instructions. Wherever
    torch was looked at they round alike; where they do not, parameters are updated one by one.
    """
    random = torch.Generator().manual_seed(0)
    a_N, b_N = torch.randn(2, 101, generator=random, dtype=dtype).to(device)
    parts = zip(torch.split(a_N, 5), torch.split(b_N, 5), strict=True)
    in_parts = torch.cat([_every_operation(a, b) for a, b in parts], dim=1)
    return torch.equal(_every_operation(a_N, b_N), in_parts)


def _every_operation(a_N: torch.Tensor, b_N: torch.Tensor) -> torch.Tensor:
    positive_N = a_N.abs() + 0.1
    results = [
        a_N.lerp(b_N, 0.1),
        a_N * 0.999,
        a_N.addcmul(b_N, b_N, value=0.001),
        positive_N.sqrt(),
        positive_N / 0.3,
        positive_N + 1e-8,
        a_N.addcdiv(b_N, positive_N, value=-0.03),
        a_N.add(b_N, alpha=-0.03),
    ]
    return torch.stack(results)
