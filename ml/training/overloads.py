"""By which overload a recorded call is made again: one that takes memory for its result, or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

_HAS_FAST_BINDING = frozenset(
    {
        *("abs", "add", "addmm", "cos", "div", "exp", "log", "mean", "mm", "mul", "neg", "pow"),
        *("relu", "relu_", "rsqrt", "sgn", "sigmoid", "sign", "sin", "sqrt", "sub", "sum", "t"),
        "tanh",
    }
)
"""For these `torch.name` takes the same arguments as the overload and parses them in less time."""


@dataclass(frozen=True)
class Way:
    """How a call is made: by which overload, and which keyword, if any, takes the result."""

    target: Any
    out: str | None = None

    def function(self) -> Callable[..., Any]:
        """What to call; the quickest of those that do the same."""
        name = self.target._schema.name.removeprefix("aten::")
        quick = name in _HAS_FAST_BINDING and self.out in (None, "out")
        function: Callable[..., Any] = getattr(torch, name) if quick else self.target._op
        return function


@cache
def by_out(target: Any) -> Way | None:
    """The overload of ``target`` that writes into memory it is given; None where there is none.

    Those that torch generates are left out: they make a new tensor and copy it.
    """
    wanted = _described(target._schema.arguments)
    packet = target._overloadpacket
    for name in packet.overloads():
        overload = getattr(packet, name)
        arguments = overload._schema.arguments
        if not arguments or torch.Tag.generated in overload.tags:
            continue
        alias = arguments[-1].alias_info
        is_out = arguments[-1].kwarg_only and alias is not None and alias.is_write
        if is_out and _described(arguments[:-1]) == wanted:
            return Way(overload, arguments[-1].name)
    return None


@cache
def in_place(target: Any) -> Way | None:
    """The overload of ``target`` that overwrites its first argument; None where there is none."""
    space, _, name = target._schema.name.partition("::")
    packet = getattr(getattr(torch.ops, space), f"{name}_", None)
    wanted = _described(target._schema.arguments)
    for name in packet.overloads() if packet is not None else ():
        overload = getattr(packet, name)
        if _described(overload._schema.arguments) == wanted:
            return Way(overload)
    return None


def _described(arguments: Sequence[Any]) -> list[tuple[str, str]]:
    return [(argument.name, str(argument.type)) for argument in arguments]
