"""Notes the ATen calls that a step comes down to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class CannotReplayError(Exception):
    """The step does something that straight-line calls cannot repeat."""


@dataclass(eq=False)
class Value:
    """A tensor of the recording: given, or the result of a call."""

    name: str
    tensor: torch.Tensor
    call: Call | None = None

    @property
    def memory(self) -> int:
        """Equal for values that are views of one another."""
        return self.tensor.untyped_storage().data_ptr()

    @property
    def place(self) -> object:
        """The memory that it is a view of, and how."""
        tensor = self.tensor
        return (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)


@dataclass(eq=False)
class Call:
    """One ATen call; tensors among its arguments are `Value`."""

    target: Any
    arguments: Sequence[Any]
    keywords: Mapping[str, Any]
    results: list[Value]
    returns_one: bool

    @property
    def mutates(self) -> bool:
        return bool(self.target._schema.is_mutable)

    @property
    def is_random(self) -> bool:
        return torch.Tag.nondeterministic_seeded in self.target.tags

    @property
    def is_pointwise(self) -> bool:
        return torch.Tag.pointwise in self.target.tags

    def sources(self) -> list[Value]:
        """The tensors among its arguments, in their order."""
        found: list[Value] = []
        _each_value([*self.arguments, *self.keywords.values()], found.append)
        return found

    @property
    def is_view(self) -> bool:
        """Whether its one result lies in the memory of an argument."""
        if not self.returns_one or self.mutates:
            return False
        return any(source.memory == self.results[0].memory for source in self.sources())


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs every ATen call and notes it. Keeps each tensor alive, so addresses stay unique."""

    def __init__(
        self, state: Sequence[torch.Tensor], x_BF: torch.Tensor, y_BT: torch.Tensor
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.given = [*state, x_BF, y_BT]
        self.values: list[Value] = []
        self.calls: list[Call] = []
        self._by_id: dict[int, Value] = {}
        self._by_place: dict[object, Value] = {}
        for index, tensor in enumerate(self.given):
            self._add(tensor, f"given{index}", None)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        keywords = kwargs or {}
        call = Call(func, self._values_in(args), self._values_in(keywords), [], True)
        out = func(*args, **keywords)
        call.returns_one = isinstance(out, torch.Tensor)
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if not isinstance(tensor, torch.Tensor):
                raise CannotReplayError(f"{func} gives no tensor")
            call.results.append(self._add(tensor, f"v{len(self.values)}", call))
        if not call.results:
            raise CannotReplayError(f"{func} gives nothing")
        self.calls.append(call)
        return out

    def find(self, tensor: torch.Tensor) -> Value:
        """The value that a tensor is.

        Autograd hands saved results back as other objects with the same memory.

        Raises:
            CannotReplayError: it was made before the recording began.
        """
        value = self._by_id.get(id(tensor)) or self._by_place.get(Value("", tensor).place)
        if value is None:
            raise CannotReplayError("a tensor comes from outside the step")
        return value

    def _add(self, tensor: torch.Tensor, name: str, call: Call | None) -> Value:
        value = Value(name, tensor, call)
        self.values.append(value)
        self._by_id[id(tensor)] = value
        self._by_place[value.place] = value
        return value

    def _values_in(self, part: Any) -> Any:
        if isinstance(part, torch.Tensor):
            return self.find(part)
        if isinstance(part, list | tuple):
            return [self._values_in(item) for item in part]
        if isinstance(part, dict):
            return {key: self._values_in(item) for key, item in part.items()}
        return part


def _each_value(part: Any, visit: Callable[[Value], None]) -> None:
    if isinstance(part, Value):
        visit(part)
    elif isinstance(part, list | tuple):
        for item in part:
            _each_value(item, visit)
