"""Does a module keep what the rest of Refit counts on? Asked before a person's own is trained."""

from __future__ import annotations

import torch
from torch import nn

from ml.errors import ArchitectureError
from ml.models.build import build_model
from ml.spec.architecture import ArchitectureBase
from ml.spec.plugins import in_one_line

ROWS = 3
"""Rows that are tried; then one alone, as a `squeeze` shows there."""


def check_architecture(spec: ArchitectureBase, features: int, targets: int) -> None:
    """Try modules of that spec and shape on a few rows. torch's global generator stays in place.

    Raises:
        PluginError: the class cannot be imported.
        ArchitectureError: says what is not as it should be.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(spec, features, targets)
        twin = build_model(spec, features, targets)
        x_NF = torch.randn(ROWS, features)
        fault = (
            _fault_of_parameters(model, spec.parameter_count(features, targets))
            or _fault_of_state(model)
            or _fault_of_answers(model.eval(), x_NF, targets)
            or _fault_of_reload(model, twin.eval(), x_NF)
            or _fault_of_training(twin.train(), x_NF, targets)
        )
    if fault is not None:
        raise ArchitectureError(f"architecture {spec.kind!r}: {type(model).__name__} {fault}")


def _fault_of_parameters(model: nn.Module, told: int) -> str | None:
    parameters = list(model.parameters())
    if any(isinstance(one, nn.UninitializedParameter) for one in parameters):
        return "knows its shapes only after a first forward: use the features and targets given"
    count = sum(one.numel() for one in parameters)
    if count == 0:
        return "has no parameter to train"
    if count != told:
        return f"has {count:,} parameters, its spec's parameter_count says {told:,}"
    return None


def _fault_of_state(model: nn.Module) -> str | None:
    for key, values in model.state_dict().items():
        if not isinstance(values, torch.Tensor) or values.layout != torch.strided:
            return f"keeps {key} in its state_dict, which is no dense tensor"
        if not bool(values.isfinite().all()):
            return f"keeps {key} in its state_dict, which holds a number that is not finite"
    return None


def _fault_of_answers(model: nn.Module, x_NF: torch.Tensor, targets: int) -> str | None:
    mode = "training" if model.training else "evaluation"
    # Batch norm trains on two rows at least, but must answer one.
    for rows in (x_NF,) if model.training else (x_NF, x_NF[:1]):
        try:
            with torch.inference_mode(not model.training):
                y_NT = model(rows)
        except Exception as error:
            # Whatever a person's own forward raises.
            given = f"{len(rows)} × {rows.shape[1]} numbers"
            return f"in {mode} mode, given {given}, raised {in_one_line(error)}"
        wanted = (len(rows), targets)
        if not isinstance(y_NT, torch.Tensor) or tuple(y_NT.shape) != wanted:
            got = tuple(y_NT.shape) if isinstance(y_NT, torch.Tensor) else type(y_NT).__name__
            return f"in {mode} mode gave {got} where the shape {wanted} is wanted"
        if y_NT.dtype != torch.float32:
            return f"in {mode} mode gave {y_NT.dtype} where torch.float32 is wanted"
    return None


def _fault_of_reload(model: nn.Module, twin: nn.Module, x_NF: torch.Tensor) -> str | None:
    """A version is its state_dict alone: what is kept elsewhere would be lost."""
    twin.load_state_dict(model.state_dict())
    with torch.inference_mode():
        same = torch.equal(model(x_NF), twin(x_NF))
    if same:
        return None
    return (
        "answers otherwise once its state_dict is loaded into a new one: keep every number that "
        "forward uses in a parameter or a buffer, and draw none in evaluation mode"
    )


def _fault_of_training(model: nn.Module, x_NF: torch.Tensor, targets: int) -> str | None:
    if fault := _fault_of_answers(model, x_NF, targets):
        return fault
    answer = model(x_NF).sum()
    if not answer.requires_grad:
        return "gives an answer that no parameter has a part in, so there is nothing to train"
    return None
