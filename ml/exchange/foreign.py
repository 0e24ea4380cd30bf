"""Names of other people's state_dicts -> an architecture and its own names; torch-free.

    weights, bias                            parameters: the tutorial's first model
    linear_layer.weight, linear_layer.bias   linear: its second
    weight, bias; 0.weight, 0.bias; …        linear: any one `nn.Linear`
    0.weight, 0.bias, 2.weight, …            mlp: an `nn.Sequential`, with `nn.BatchNorm1d` right
                                             behind each hidden `nn.Linear` or nowhere
    fc1.weight, fc1.bias, fc2.weight, …      mlp: layers in the order of the file

What a state_dict does not hold, such as the activation, has to be said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, get_args

import numpy as np

from ml.errors import ExchangeError
from ml.spec.model import MlpSpec

State = dict[str, np.ndarray]

ACTIVATIONS: tuple[str, ...] = get_args(MlpSpec.model_fields["activation"].annotation)

_LINEAR = {"weight", "bias"}
_NORM = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


@dataclass(frozen=True)
class Recognised:
    """A state_dict under the names of its architecture."""

    architecture: dict[str, Any]
    state: State
    notes: tuple[str, ...] = ()
    """What was taken for granted, in sentences."""


@dataclass
class _Module:
    """The tensors of one module in a state_dict, by the last part of their keys."""

    stem: str
    tensors: State = field(default_factory=dict)

    @property
    def is_linear(self) -> bool:
        return self.tensors.keys() == _LINEAR and self.tensors["weight"].ndim == 2

    @property
    def is_norm(self) -> bool:
        return self.tensors.keys() == _NORM

    @property
    def place(self) -> int | None:
        """In an `nn.Sequential`."""
        last = self.stem.rpartition(".")[2]
        return int(last) if last.isdecimal() else None


def recognise(
    given: Mapping[str, np.ndarray], kind: str | None = None, activation: str | None = None
) -> Recognised:
    """What the state_dict is, under the names of Refit; ``kind`` where it is known.

    Raises:
        ExchangeError: it is not clear what it is, or it is nothing that Refit has.
    """
    modules = _modules(given)
    kind = kind or _kind_of(given, modules)
    if kind == "parameters":
        return _parameters(given, modules)
    if kind == "linear":
        return _linear(given, modules)
    if kind == "mlp":
        return _mlp(given, modules, activation)
    # An installed architecture: its keys are its own affair.
    return Recognised({"kind": kind}, dict(given))


def _modules(given: Mapping[str, np.ndarray]) -> list[_Module]:
    found: dict[str, _Module] = {}
    for key, values in given.items():
        stem, _, name = key.rpartition(".")
        found.setdefault(stem, _Module(stem)).tensors[name] = values
    return list(found.values())


def _kind_of(given: Mapping[str, np.ndarray], modules: list[_Module]) -> str:
    if given.keys() == {"weights", "bias"}:
        return "parameters"
    if len(modules) == 1 and modules[0].is_linear:
        return "linear"
    if sum(module.is_linear for module in modules) > 1:
        return "mlp"
    keys = ", ".join(list(given)[:6])
    raise ExchangeError(f"its keys ({keys}) do not tell the architecture: name it")


def _parameters(given: Mapping[str, np.ndarray], modules: list[_Module]) -> Recognised:
    weights = given.get("weights")
    if given.keys() != {"weights", "bias"} and len(modules) == 1 and modules[0].is_linear:
        weights, given = modules[0].tensors["weight"], modules[0].tensors
    if weights is None or len(given) != 2 or weights.size != 1 or given["bias"].size != 1:
        raise ExchangeError("architecture parameters has the keys weights and bias, of one number")
    state = {"weights": weights.reshape(1), "bias": given["bias"].reshape(1)}
    return Recognised({"kind": "parameters"}, state)


def _linear(given: Mapping[str, np.ndarray], modules: list[_Module]) -> Recognised:
    if len(modules) != 1 or not modules[0].is_linear:
        hint = ": these are of architecture parameters" if "weights" in given else ""
        raise ExchangeError(f"architecture linear has one weight of two axes and one bias{hint}")
    tensors = modules[0].tensors
    state = {f"linear_layer.{name}": tensors[name] for name in ("weight", "bias")}
    return Recognised({"kind": "linear"}, state)


def _mlp(
    given: Mapping[str, np.ndarray], modules: list[_Module], activation: str | None
) -> Recognised:
    if activation is None:
        choice = ", ".join(ACTIVATIONS)
        raise ExchangeError(f"a state_dict does not tell its activation: name it ({choice})")
    if "output.weight" in given and any(key.startswith("hidden.") for key in given):
        return _own_mlp(given, activation)
    layers = _layers(modules)
    _check_chain([linear for linear, _ in layers])
    norms = [norm for _, norm in layers[:-1]]
    if layers[-1][1] is not None or (any(norms) and not all(norms)):
        raise ExchangeError("batch norm stands behind every hidden layer of an mlp, or behind none")
    state: State = {}
    for index, (linear, norm) in enumerate(layers[:-1]):
        state |= {f"hidden.{index}.linear.{name}": v for name, v in linear.tensors.items()}
        if norm is not None:
            state |= {f"hidden.{index}.norm.{name}": v for name, v in norm.tensors.items()}
    state |= {f"output.{name}": values for name, values in layers[-1][0].tensors.items()}
    hidden = [len(linear.tensors["bias"]) for linear, _ in layers[:-1]]
    architecture = _architecture(hidden, activation, batch_norm=any(norms))
    return Recognised(architecture, state, _taken_for_granted(layers, activation))


def _own_mlp(given: Mapping[str, np.ndarray], activation: str) -> Recognised:
    hidden: list[int] = []
    while (key := f"hidden.{len(hidden)}.linear.weight") in given:
        hidden.append(len(given[key]))
    norm = "hidden.0.norm.weight" in given
    return Recognised(_architecture(hidden, activation, norm), dict(given))


def _architecture(hidden: list[int], activation: str, batch_norm: bool) -> dict[str, Any]:
    told = {"kind": "mlp", "hidden": hidden, "activation": activation}
    return told | ({"batch_norm": True} if batch_norm else {})


def _layers(modules: list[_Module]) -> list[tuple[_Module, _Module | None]]:
    """Each `nn.Linear` with the `nn.BatchNorm1d` behind it."""
    layers: list[tuple[_Module, _Module | None]] = []
    for module in modules:
        if module.is_linear:
            layers.append((module, None))
        elif module.is_norm and layers and layers[-1][1] is None:
            layers[-1] = (layers[-1][0], module)
        else:
            name = module.stem or " with ".join(module.tensors)
            wanted = "an nn.Linear with a bias nor the nn.BatchNorm1d behind one"
            raise ExchangeError(f"{name} is neither {wanted}")
    if len(layers) < 2:
        raise ExchangeError("architecture mlp has two nn.Linear at least")
    return layers


def _check_chain(linears: list[_Module]) -> None:
    for one, other in pairwise(linears):
        gives, takes = one.tensors["weight"].shape[0], other.tensors["weight"].shape[1]
        if gives != takes:
            message = f"{one.stem} gives {gives} numbers and {other.stem} takes {takes}"
            raise ExchangeError(f"{message}: these layers do not follow each other")


def _taken_for_granted(
    layers: list[tuple[_Module, _Module | None]], activation: str
) -> tuple[str, ...]:
    """Check what the places in an `nn.Sequential` tell; say what they do not tell.

    Raises:
        ExchangeError: there is no room for an activation, or batch norm may stand behind it.
    """
    notes = []
    for (linear, norm), (following, _) in pairwise(layers):
        place, next_place = linear.place, following.place
        if norm is not None and (place is None or norm.place != place + 1):
            message = f"batch norm {norm.stem} must stand right behind {linear.stem}"
            raise ExchangeError(f"{message} in an nn.Sequential, before the activation")
        last = norm or linear
        if place is None or next_place is None:
            between = f"{last.stem} and {following.stem}"
            notes.append(f"nothing in the file tells that {activation} stands between {between}")
        elif next_place - (last.place or 0) < 2:
            message = f"there is no activation between {last.stem} and {following.stem}"
            raise ExchangeError(f"{message}: that is no mlp")
    return tuple(notes)
