"""What a training that goes on elsewhere has to find as it was left: tensors and random numbers.

A state is made of dicts, lists and tuples of tensors, numbers, strings and None, which
`torch.load(weights_only=True)` gives back as they were.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import nn, optim

from ml.errors import CheckpointError

State = dict[str, Any]


def copied(part: Any) -> Any:
    """``part`` of a state with every tensor copied to memory of its own, on the CPU."""
    if isinstance(part, torch.Tensor):
        return part.detach().cpu().clone(memory_format=torch.contiguous_format)
    if isinstance(part, dict):
        return {key: copied(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return type(part)(copied(item) for item in part)
    return part


def size_of(part: Any) -> int:
    """Bytes of the tensors in ``part`` of a state."""
    if isinstance(part, torch.Tensor):
        return part.numel() * part.element_size()
    if isinstance(part, dict | list | tuple):
        return sum(size_of(item) for item in (part.values() if isinstance(part, dict) else part))
    return 0


def model_state(model: nn.Module) -> State:
    """Parameters and buffers, with those buffers that no version keeps."""
    return {name: copied(values) for name, values in _tensors(model).items()}


def load_model_state(model: nn.Module, state: State) -> None:
    """Put parameters and buffers back, in place.

    Raises:
        CheckpointError: they have other names, shapes or dtypes than those of ``model``.
    """
    mine = _tensors(model)
    if {name: _kind(values) for name, values in mine.items()} != {
        name: _kind(values) for name, values in state.items()
    }:
        raise CheckpointError("its parameters are not those of the model")
    with torch.no_grad():
        for name, values in mine.items():
            values.copy_(state[name])


def optimizer_state(optimizer: optim.Optimizer) -> State:
    """What it has gathered, and its learning rate; all else follows from the spec."""
    rates = [group["lr"] for group in optimizer.param_groups]
    return {"state": copied(optimizer.state_dict()["state"]), "lr": rates}


def load_optimizer_state(optimizer: optim.Optimizer, state: State) -> None:
    """Put back what `optimizer_state` gave."""
    groups = optimizer.state_dict()["param_groups"]
    for group, lr in zip(groups, state["lr"], strict=True):
        group["lr"] = lr
    # A copy: it keeps the tensors that it is given, and changes them.
    optimizer.load_state_dict({"state": copied(state["state"]), "param_groups": groups})


def random_state(device: torch.device) -> State:
    """Where the global sources of random numbers are: torch's here and on ``device``, Python's,
    NumPy's."""
    kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    assert isinstance(keys, np.ndarray)
    state: State = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), place, has_gauss, gauss),
    }
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["device"] = torch.mps.get_rng_state()
    return state


def load_random_state(state: State, device: torch.device) -> None:
    """Let the global sources go on where `random_state` found them."""
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])
    torch.set_rng_state(state["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(state["device"])


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _kind(values: torch.Tensor) -> object:
    return (tuple(values.shape), values.dtype)
