"""Multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ml.data.scaling import Scaling
from ml.models.architecture import RegressionModel, StateDict, fold_input, fold_output
from ml.spec.model import MlpSpec

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
}


class Mlp(RegressionModel):
    """Hidden layers of `nn.Linear`, batch norm, activation and dropout; then one `nn.Linear`.

    Keys: `hidden.<i>.linear.weight` and `.bias`, `hidden.<i>.norm.…` with batch norm, and
    `output.weight` (T, H), `output.bias` (T,).
    """

    same_calls_at_every_step = True

    def __init__(self, spec: MlpSpec, features: int, targets: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential()
        width = features
        for units in spec.hidden:
            layer = nn.Sequential()
            layer.add_module("linear", nn.Linear(width, units))
            if spec.batch_norm:
                layer.add_module("norm", nn.BatchNorm1d(units))
            layer.add_module("activation", ACTIVATIONS[spec.activation]())
            if spec.dropout:
                layer.add_module("dropout", nn.Dropout(spec.dropout))
            self.hidden.append(layer)
            width = units
        self.output = nn.Linear(width, targets)

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        y_NT: torch.Tensor = self.output(self.hidden(x_NF))
        return y_NT

    @staticmethod
    def in_raw_units(state: StateDict, scaling: Scaling) -> StateDict:
        first = ("hidden.0.linear.weight", "hidden.0.linear.bias")
        last = ("output.weight", "output.bias")
        folded_first = fold_input(state[first[0]], state[first[1]], scaling)
        folded_last = fold_output(state[last[0]], state[last[1]], scaling)
        raw = {key: values.detach().cpu().clone() for key, values in state.items()}
        raw |= {key: values.float() for key, values in zip(first, folded_first, strict=True)}
        raw |= {key: values.float() for key, values in zip(last, folded_last, strict=True)}
        return raw

    @staticmethod
    def shape(state: StateDict) -> tuple[int, int]:
        return state["hidden.0.linear.weight"].shape[1], state["output.weight"].shape[0]
