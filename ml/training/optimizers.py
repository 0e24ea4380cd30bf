"""The table of optimizers."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn, optim

from ml.spec.training import AdamSpec, AdamWSpec, LbfgsSpec, SgdSpec


def build_optimizer(
    spec: SgdSpec | AdamSpec | AdamWSpec | LbfgsSpec, parameters: Iterable[nn.Parameter]
) -> optim.Optimizer:
    """The optimizer of ``spec`` over ``parameters``."""
    match spec:
        case SgdSpec():
            return optim.SGD(
                parameters, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay
            )
        case AdamSpec():
            return optim.Adam(parameters, lr=spec.lr, weight_decay=spec.weight_decay)
        case AdamWSpec():
            return optim.AdamW(parameters, lr=spec.lr, weight_decay=spec.weight_decay)
        case LbfgsSpec():
            # Tolerances 0: they are absolute, and would mean another thing for every unit of x and
            # y. The loop ends where a step finds nothing lower (`Stepper.stands_still`).
            return optim.LBFGS(
                parameters,
                lr=spec.lr,
                tolerance_grad=0,
                tolerance_change=0,
                line_search_fn="strong_wolfe",
            )
