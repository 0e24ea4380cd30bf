"""Writes a recording out as one Python function of straight-line ATen calls.

What is the same at every step is left out: views of memory that stays, constants, what depends
only on rows that stay. A call that can write into given memory is given that of an earlier step's
result, so a step allocates next to nothing; a result whose last reader works number by number is
overwritten by it. Memory is all that is chosen here: the calls, their order and their numbers are
those of the recording.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from ml.training.overloads import Way, by_out, in_place
from ml.training.recorder import Call, Recorder, Value

_aten = torch.ops.aten

_SAME_WHATEVER_THE_VALUES = frozenset(
    {_aten.ones_like.default, _aten.zeros_like.default, _aten.full_like.default}
)

_MAY_HAND_ON = frozenset(
    {_aten.detach.default, _aten.alias.default, _aten.view.default, _aten.expand.default}
)


class Writer:
    """Writes one function of x_BF and y_BT, for the loss or the gradients of a recording."""

    def __init__(self, recorder: Recorder, rows_stay: bool) -> None:
        self._recorder = recorder
        given = recorder.values[: len(recorder.given)]
        self._rows = given[-2:]
        self._stays = {value: value.tensor for value in (given if rows_stay else given[:-2])}
        """Values that lie where the tensor does at every step."""
        self._fixed = set(self._rows) if rows_stay else set()
        """Those of them that hold the same numbers too."""
        self._same_as: dict[Value, Value] = {}
        self._names: dict[str, Any] = {}
        self._lines: list[str] = []
        self._spare: dict[object, list[torch.Tensor]] = defaultdict(list)
        """Memory that nobody will read again in this step, by its shape and kind."""
        self._lent: dict[int, torch.Tensor] = {}
        """What is lent out, by the memory that it stands in for."""

    def function(
        self, loss: Value | None, gradients: Sequence[Value], slots: Sequence[torch.Tensor]
    ) -> Callable[[torch.Tensor, torch.Tensor], Any]:
        """A function that puts ``gradients`` into ``slots``, and returns ``loss`` if there is one.

        The loss is a new tensor at every step.
        """
        self._sort_out()
        results = [self._origin(value) for value in gradients]
        returned = [] if loss is None else [self._origin(loss)]
        calls = self._needed([*results, *returned])
        pinned = {value.memory for value in [*self._stays, *returned]}
        direct = self._direct(calls, results, slots, pinned)
        pinned |= {value.memory for value in results}
        last_use = {source.memory: i for i, call in enumerate(calls) for source in self._of(call)}
        with torch.no_grad():
            for index, call in enumerate(calls):
                dying = {memory for memory, last in last_use.items() if last == index} - pinned
                self._write(call, dying, direct, pinned)
                for memory in dying & self._lent.keys():
                    spare = self._lent.pop(memory)
                    self._spare[_kind(spare)].append(spare)
        for value, slot in zip(results, slots, strict=True):
            if slot.data_ptr() not in {place.data_ptr() for place in direct.values()}:
                self._lines.append(f"    {self._name('copy', slot.copy_)}({self._text(value)})")
        self._lines.append(f"    return {self._text(returned[0]) if returned else None}")
        return self._compiled()

    def _compiled(self) -> Callable[[torch.Tensor, torch.Tensor], Any]:
        rows = [f"_{row.name}" if row in self._stays else row.name for row in self._rows]
        # Defaults of parameters are local names, which are found faster than global ones.
        heads = ", ".join([*rows, *(f"{name}={name}" for name in self._names)])
        text = "\n".join([f"def replay({heads}):", *self._lines])
        names = dict(self._names)
        exec(compile(text, "<replayed step>", "exec"), names)  # noqa: S102
        function: Callable[[torch.Tensor, torch.Tensor], Any] = names["replay"]
        return function

    def _sort_out(self) -> None:
        """Find what is handed on and what holds the same numbers at every step."""
        mutated = {value.memory for call in self._recorder.calls for value in _written_to(call)}
        for call in self._recorder.calls:
            if self._hands_on(call) or call.mutates or call.is_random or not call.returns_one:
                continue
            result, sources = call.results[0], self._of(call)
            constant = call.target in _SAME_WHATEVER_THE_VALUES
            fixed = constant or (bool(sources) and all(source in self._fixed for source in sources))
            if fixed and result.memory not in mutated:
                self._fixed.add(result)
                self._stays[result] = result.tensor

    def _hands_on(self, call: Call) -> bool:
        """Whether a call only hands on a tensor: a detach, the transpose of a transpose, …"""
        if not call.returns_one or not call.arguments or not isinstance(call.arguments[0], Value):
            return False
        source = self._origin(call.arguments[0])
        result = call.results[0]
        if call.target is _aten.t.default and source.call is not None:
            if source.call.target is not _aten.t.default:
                return False
            source = self._origin(source.call.arguments[0])
        elif call.target not in _MAY_HAND_ON or result.place != source.place:
            return False
        self._same_as[result] = source
        return True

    def _needed(self, results: list[Value]) -> list[Call]:
        """The calls whose results are used, and those that change what stays (running means)."""
        wanted, needed = set(results), []
        for call in reversed(self._recorder.calls):
            made = any(v in wanted and v not in self._fixed for v in call.results)
            if call.mutates or made:
                needed.append(call)
                wanted.update(self._of(call))
        return needed[::-1]

    def _direct(
        self,
        calls: list[Call],
        results: list[Value],
        slots: Sequence[torch.Tensor],
        pinned: set[int],
    ) -> dict[Value, torch.Tensor]:
        """What a call can write right into its slot: a gradient, or what it is a view of."""
        makers = {value.memory: value for call in reversed(calls) for value in call.results}
        found: dict[Value, torch.Tensor] = {}
        for value, slot in zip(results, slots, strict=True):
            maker = makers.get(value.memory)
            if maker is None or maker.call is None or maker in found or value.memory in pinned:
                continue
            whole = maker.tensor.numel() == value.tensor.numel() and value.tensor.is_contiguous()
            if whole and _can_be_placed(maker) and by_out(maker.call.target) is not None:
                found[maker] = slot.view(maker.tensor.shape)
        return found

    def _write(
        self, call: Call, dying: set[int], direct: Mapping[Value, torch.Tensor], pinned: set[int]
    ) -> None:
        result = call.results[0]
        if call.is_view and all(source in self._stays for source in self._of(call)):
            arguments, keywords = self._tensors(call.arguments), self._tensors(call.keywords)
            self._stays[result] = call.target(*arguments, **keywords)
        elif result in direct:
            self._write_into(direct[result], result, by_out(call.target))
        elif _can_be_placed(result) and result.memory not in pinned:
            self._write_placed(call, result, dying)
        else:
            self._write_plain(call)

    def _write_placed(self, call: Call, result: Value, dying: set[int]) -> None:
        """Write a call into the memory of a source that dies, or else into spare memory."""
        way = by_out(call.target)
        over = self._dying_source(call, dying)
        if way is None and over is not None and over is self._origin(call.arguments[0]):
            way = in_place(call.target)
        if way is None:
            self._write_plain(call)
            return
        spare = self._spare[_kind(result.tensor)]
        if over is not None:
            place = self._lent.pop(over.memory)
        else:
            place = spare.pop() if spare else result.tensor.detach()
        self._lent[result.memory] = place
        self._write_into(place, result, way)

    def _dying_source(self, call: Call, dying: set[int]) -> Value | None:
        """A source of a call number by number whose memory the result may take."""
        kind = _kind(call.results[0].tensor)
        for source in self._of(call) if call.is_pointwise else ():
            lent = self._lent.get(source.memory)
            if source.memory in dying and lent is not None and _kind(lent) == kind:
                # Read in the order it is written in, whichever argument it is.
                same = [other for other in self._of(call) if other.memory == source.memory]
                if all(_kind(other.tensor) == kind for other in same):
                    return source
        return None

    def _write_into(self, place: torch.Tensor, result: Value, way: Way | None) -> None:
        assert way is not None
        assert result.call is not None
        self._lines.append(f"    {self._call_text(way, result.call, place)}")
        self._stays[result] = place

    def _write_plain(self, call: Call) -> None:
        names = ", ".join(value.name for value in call.results)
        comma = "" if call.returns_one else ","
        self._lines.append(f"    {names}{comma} = {self._call_text(Way(call.target), call)}")

    def _call_text(self, way: Way, call: Call, place: torch.Tensor | None = None) -> str:
        arguments = [self._text(argument) for argument in call.arguments]
        arguments += [f"{key}={self._text(value)}" for key, value in call.keywords.items()]
        if way.out is not None:
            arguments.append(f"{way.out}={self._name('place', place)}")
        return f"{self._name('call', way.function())}({', '.join(arguments)})"

    def _of(self, call: Call) -> list[Value]:
        return [self._origin(source) for source in call.sources()]

    def _origin(self, value: Value) -> Value:
        return self._same_as.get(value, value)

    def _tensors(self, part: Any) -> Any:
        """``part`` of the arguments of a call, with the tensors that stay for their values."""
        if isinstance(part, Value):
            return self._stays[self._origin(part)]
        if isinstance(part, list | tuple):
            return [self._tensors(item) for item in part]
        if isinstance(part, Mapping):
            return {key: self._tensors(item) for key, item in part.items()}
        return part

    def _text(self, value: Any) -> str:
        if isinstance(value, Value):
            value = self._origin(value)
            if value in self._stays:
                self._names[value.name] = self._stays[value]
            return str(value.name)
        if isinstance(value, list | tuple):
            return f"[{', '.join(self._text(item) for item in value)}]"
        if value is None or isinstance(value, int | float | bool):
            return repr(value)
        return self._name("constant", value)

    def _name(self, kind: str, thing: Any) -> str:
        name = f"{kind}{len(self._names)}"
        self._names[name] = thing
        return name


def _can_be_placed(value: Value) -> bool:
    """Whether a result fills memory of its own, which another tensor may stand in for."""
    call, tensor = value.call, value.tensor
    if call is None or call.mutates or call.is_random or not call.returns_one or call.is_view:
        return False
    own = tensor.is_contiguous() and tensor.numel() > 0
    return own and tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def _kind(tensor: torch.Tensor) -> object:
    return (tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype, tensor.device)


def _written_to(call: Call) -> Iterator[Value]:
    if call.mutates:
        for argument, described in zip(call.arguments, call.target._schema.arguments, strict=False):
            alias = described.alias_info
            if isinstance(argument, Value) and alias is not None and alias.is_write:
                yield argument
