"""From a spec to its module, wherever the class is: here, or in a package that was installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ml.data.scaling import Scaling
from ml.errors import ArchitectureError, PluginError
from ml.models.architecture import Line, StateDict
from ml.spec.architecture import ArchitectureBase
from ml.spec.model import ARCHITECTURES, BUILT_IN
from ml.spec.plugins import in_one_line


def build_model(spec: ArchitectureBase, features: int, targets: int) -> nn.Module:
    """A new module on the CPU, its parameters drawn from torch's global generator.

    It comes from the classmethod `from_spec` of the class, or where there is none from the class
    itself, called with ``(spec, features, targets)``.

    Raises:
        PluginError: the class cannot be imported.
        ArchitectureError: making it raised an error.
    """
    module_class = _module_class(type(spec))
    make: Callable[..., nn.Module] = getattr(module_class, "from_spec", module_class)
    if type(spec) in BUILT_IN:
        return make(spec, features, targets)
    try:
        return make(spec, features, targets)
    except Exception as error:
        # Whatever a person's own constructor raises.
        message = (
            f"architecture {spec.kind!r}: making {module_class.__name__} for {features} features "
            f"and {targets} targets raised {in_one_line(error)}"
        )
        raise ArchitectureError(message) from error


def build_blank(spec: ArchitectureBase, features: int, targets: int) -> nn.Module:
    """A module to load a state_dict into: names, shapes and dtypes count, the numbers do not.

    torch's global generator stays where it is. Only built-in modules are known to hold nothing
    outside their state_dict, so only these are made without memory.

    Raises:
        PluginError, ArchitectureError: as for `build_model`.
    """
    if type(spec) in BUILT_IN:
        with torch.device("meta"), _Undrawn():
            return build_model(spec, features, targets)
    with torch.random.fork_rng(devices=[]):
        return build_model(spec, features, targets)


class _Undrawn(TorchFunctionMode):
    """Leaves parameters as they are made: on the meta device there is nothing to draw, and the
    wrapping of each draw took half the time that a module takes."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        # Built-in methods have no `__module__` at all.
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"]
        return func(*args, **kwargs)


def raw_state_dict(spec: ArchitectureBase, state: StateDict, scaling: Scaling | None) -> StateDict:
    """``state`` on the CPU, with the scaling (if any) folded into the parameters.

    Of an architecture that cannot fold (`can_fold`), the parameters are given as they are.
    """
    state = {key: values.detach().cpu() for key, values in state.items()}
    fold = _offer(spec, "in_raw_units")
    if scaling is None or fold is None:
        return state
    folded: StateDict = fold(state, scaling)
    return folded


def can_fold(spec: ArchitectureBase) -> bool:
    """Whether the architecture can speak of its parameters in raw units."""
    return _offer(spec, "in_raw_units") is not None


def line_of(spec: ArchitectureBase, raw_state: StateDict) -> Line | None:
    """Weight and bias of a state_dict in raw units; None where the model is not linear."""
    read = _offer(spec, "line")
    if read is None:
        return None
    line: Line = read(raw_state)
    return line


def shape_of(spec: ArchitectureBase, state: StateDict) -> tuple[int, int] | None:
    """Features and targets of a module with that state_dict; None where it does not tell."""
    read = _offer(spec, "shape")
    if read is None:
        return None
    try:
        features, targets = read(state)
    except Exception:
        # Whatever a person's own method raises of a state_dict that is another's.
        return None
    return int(features), int(targets)


def import_modules() -> None:
    """Import the module of every architecture now, so that one that cannot be is found now.

    Raises:
        PluginError: a class cannot be imported.
    """
    for spec in ARCHITECTURES.values():
        _module_class(spec)


def _offer(spec: ArchitectureBase, name: str) -> Callable[..., Any] | None:
    """What the class offers beside being a module; None where it does not."""
    offered: Callable[..., Any] | None = getattr(_module_class(type(spec)), name, None)
    return offered


@cache
def _module_class(spec: type[ArchitectureBase]) -> type[nn.Module]:
    module, _, name = spec.module.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:
        # A package may fail at import in any way it likes.
        raise _refusal(spec, f"importing it raised {in_one_line(error)}") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise _refusal(spec, "it is no subclass of torch.nn.Module")
    return found


def _refusal(spec: type[ArchitectureBase], reason: str) -> PluginError:
    return PluginError(f"the module {spec.module} of {spec.__name__} cannot be used: {reason}")
