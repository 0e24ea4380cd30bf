"""Forward and backward pass of one step, recorded once and replayed as straight-line ATen calls.

For small models the time of a step is not the arithmetic but the machinery around it: modules,
autograd's graph, the checks of the optimizer. A recording holds the ATen calls that forward and
backward come down to. They are written out as one Python function, without what is the same at
every step: views of parameters, which are updated in place; constants; what depends only on rows
that stay. Calls and order are those of the plain step, and so are the bits.

Axes: B rows of one batch, F features, T targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ml.training.losses import Loss

Replay = Callable[[torch.Tensor, torch.Tensor], list[torch.Tensor]]

_aten = torch.ops.aten

_SAME_WHATEVER_THE_VALUES = frozenset(
    {_aten.ones_like.default, _aten.zeros_like.default, _aten.full_like.default}
)

_MAY_HAND_ON = frozenset(
    {_aten.detach.default, _aten.alias.default, _aten.view.default, _aten.expand.default}
)

_HAS_FAST_BINDING = frozenset(
    {
        *("abs", "add", "addmm", "cos", "div", "exp", "log", "mean", "mm", "mul", "neg", "pow"),
        *("relu", "rsqrt", "sgn", "sigmoid", "sign", "sin", "sqrt", "sub", "sum", "t", "tanh"),
    }
)
"""For these `torch.name` takes the same arguments as the overload and parses them in less time."""


@dataclass(frozen=True)
class Recording:
    """Two functions of ``x_BF`` and ``y_BT``, to be called in inference mode."""

    gradients: Replay
    """A gradient for each parameter."""
    loss_and_gradients: Replay
    """The loss before the step, then a gradient for each parameter."""


class CannotReplayError(Exception):
    """The step does something that straight-line calls cannot repeat."""


def record(
    model: nn.Module, loss: Loss, x_BF: torch.Tensor, y_BT: torch.Tensor, rows_stay: bool
) -> Recording:
    """What autograd would give, for batches of the shape of ``x_BF`` and ``y_BT``.

    ``rows_stay`` promises that it is always given these very tensors. Parameters and buffers of
    ``model`` are read where they are at each call, so they must be updated in place. Recording runs
    a forward pass, with what that does to buffers and random numbers.

    Raises:
        CannotReplayError: the step reads a number out of a tensor, or is not what it seems.
    """
    parameters = list(model.parameters())
    state = [*(parameter.detach() for parameter in parameters), *model.buffers()]
    recorder = _Recorder(state, x_BF, y_BT)
    with recorder:
        leaves = [data.requires_grad_() for data in recorder.given[: len(parameters)]]
        names = [name for name, _ in model.named_parameters()]
        pred_BT = torch.func.functional_call(
            model, dict(zip(names, leaves, strict=True)), (x_BF,), strict=False
        )
        value = loss(pred_BT, y_BT)
        results = [value, *torch.autograd.grad(value, leaves)]
    wanted = [recorder.find(result) for result in results]
    return Recording(
        _Writer(recorder, rows_stay).function(wanted[1:]),
        _Writer(recorder, rows_stay).function(wanted),
    )


@dataclass(eq=False)
class _Value:
    """A tensor of the recording: given, or the result of a call."""

    name: str
    tensor: torch.Tensor
    call: _Call | None = None


@dataclass(eq=False)
class _Call:
    """One ATen call; tensors among its arguments are `_Value`."""

    target: Any
    arguments: Sequence[Any]
    keywords: Mapping[str, Any]
    results: list[_Value]
    returns_one: bool

    @property
    def mutates(self) -> bool:
        return bool(self.target._schema.is_mutable)

    @property
    def is_view(self) -> bool:
        infos = [argument.alias_info for argument in self.target._schema.arguments]
        return any(info is not None and not info.is_write for info in infos)

    @property
    def is_random(self) -> bool:
        return torch.Tag.nondeterministic_seeded in self.target.tags

    def sources(self) -> list[_Value]:
        found: list[_Value] = []
        _each_value([*self.arguments, *self.keywords.values()], found.append)
        return found


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs every ATen call and notes it. Keeps each tensor alive, so addresses stay unique."""

    def __init__(
        self, state: Sequence[torch.Tensor], x_BF: torch.Tensor, y_BT: torch.Tensor
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.given = [*state, x_BF, y_BT]
        self.values: list[_Value] = []
        self.calls: list[_Call] = []
        self._by_id: dict[int, _Value] = {}
        self._by_place: dict[object, _Value] = {}
        for index, tensor in enumerate(self.given):
            self._add(tensor, f"given{index}", None)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        keywords = kwargs or {}
        call = _Call(func, self._values_in(args), self._values_in(keywords), [], True)
        out = func(*args, **keywords)
        call.returns_one = isinstance(out, torch.Tensor)
        for tensor in [out] if call.returns_one else out if isinstance(out, tuple) else [None]:
            if not isinstance(tensor, torch.Tensor):
                raise CannotReplayError(f"{func} gives no tensor")
            call.results.append(self._add(tensor, f"v{len(self.values)}", call))
        self.calls.append(call)
        return out

    def find(self, tensor: torch.Tensor) -> _Value:
        """The value that a tensor is.

        Autograd hands saved results back as other objects with the same memory.
        """
        value = self._by_id.get(id(tensor)) or self._by_place.get(_place(tensor))
        if value is None:
            raise CannotReplayError("a tensor comes from outside the step")
        return value

    def _add(self, tensor: torch.Tensor, name: str, call: _Call | None) -> _Value:
        value = _Value(name, tensor, call)
        self.values.append(value)
        self._by_id[id(tensor)] = value
        self._by_place[_place(tensor)] = value
        return value

    def _values_in(self, part: Any) -> Any:
        if isinstance(part, torch.Tensor):
            return self.find(part)
        if isinstance(part, list | tuple):
            return [self._values_in(item) for item in part]
        if isinstance(part, dict):
            return {key: self._values_in(item) for key, item in part.items()}
        return part


class _Writer:
    """Writes a recording out as a Python function of x_BF and y_BT."""

    def __init__(self, recorder: _Recorder, rows_stay: bool) -> None:
        self._recorder = recorder
        given = recorder.values[: len(recorder.given)]
        self._rows = given[-2:]
        self._known = set(given) if rows_stay else set(given[:-2])
        """Values whose tensor is the same memory at every step."""
        self._fixed = set(self._rows) if rows_stay else set()
        """Those of them that hold the same numbers too."""
        self._same_as: dict[_Value, _Value] = {}
        self._names: dict[str, Any] = {}
        self._lines: list[str] = []
        self._mutated = {call.sources()[0] for call in recorder.calls if call.mutates}

    def function(self, results: list[_Value]) -> Replay:
        for call in self._needed(results):
            if not self._hands_on(call) and not self._is_known(call):
                self._write(call)
        self._lines.append(f"    return {self._text(results)}")
        rows = [f"_{row.name}" if row in self._known else row.name for row in self._rows]
        # Defaults of parameters are local names, which are found faster than global ones.
        heads = ", ".join([*rows, *(f"{name}={name}" for name in self._names)])
        text = "\n".join([f"def replay({heads}):", *self._lines])
        names = dict(self._names)
        exec(compile(text, "<replayed step>", "exec"), names)  # noqa: S102
        function: Replay = names["replay"]
        return function

    def _needed(self, results: list[_Value]) -> list[_Call]:
        """The calls whose results are used, and those that change what stays (running means)."""
        wanted, needed = set(results), []
        for call in reversed(self._recorder.calls):
            if call.mutates or any(result in wanted for result in call.results):
                needed.append(call)
                wanted.update(call.sources())
        return needed[::-1]

    def _hands_on(self, call: _Call) -> bool:
        """Whether a call only hands on a tensor: a detach, the transpose of a transpose, …"""
        if not call.returns_one or not call.arguments or not isinstance(call.arguments[0], _Value):
            return False
        source = self._same_as.get(call.arguments[0], call.arguments[0])
        result = call.results[0]
        if call.target is _aten.t.default and source.call is not None:
            if source.call.target is not _aten.t.default:
                return False
            source = source.call.arguments[0]
            source = self._same_as.get(source, source)
        elif call.target not in _MAY_HAND_ON or _place(result.tensor) != _place(source.tensor):
            return False
        self._same_as[result] = source
        return True

    def _is_known(self, call: _Call) -> bool:
        """Whether a call gives the same at every step; what it gave is then used ever after."""
        if call.mutates or call.is_random or not call.returns_one:
            return False
        result = call.results[0]
        sources = [self._same_as.get(source, source) for source in call.sources()]
        constant = call.target in _SAME_WHATEVER_THE_VALUES
        fixed = constant or (bool(sources) and all(source in self._fixed for source in sources))
        view = call.is_view and all(source in self._known for source in sources)
        if result in self._mutated or not (fixed or view):
            return False
        self._known.add(result)
        if fixed:
            self._fixed.add(result)
        return True

    def _write(self, call: _Call) -> None:
        name = f"call{len(self._lines)}"
        self._names[name] = _fastest(call.target)
        arguments = [self._text(argument) for argument in call.arguments]
        arguments += [f"{key}={self._text(value)}" for key, value in call.keywords.items()]
        results = ", ".join(result.name for result in call.results)
        comma = "" if call.returns_one else ","
        self._lines.append(f"    {results}{comma} = {name}({', '.join(arguments)})")

    def _text(self, value: Any) -> str:
        if isinstance(value, _Value):
            value = self._same_as.get(value, value)
            if value in self._known:
                self._names[value.name] = value.tensor
            return str(value.name)
        if isinstance(value, list | tuple):
            return f"[{', '.join(self._text(item) for item in value)}]"
        if value is None or isinstance(value, int | float | bool):
            return repr(value)
        name = f"constant{len(self._names)}"
        self._names[name] = value
        return name


def _place(tensor: torch.Tensor) -> object:
    """The memory that a tensor is a view of, and how."""
    return (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)


def _fastest(target: Any) -> Callable[..., Any]:
    name = target._schema.name.removeprefix("aten::")
    if name in _HAS_FAST_BINDING:
        function: Callable[..., Any] = getattr(torch, name)
        return function
    call: Callable[..., Any] = target._op
    return call


def _each_value(part: Any, visit: Callable[[_Value], None]) -> None:
    if isinstance(part, _Value):
        visit(part)
    elif isinstance(part, list | tuple):
        for item in part:
            _each_value(item, visit)
