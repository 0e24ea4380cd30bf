"""Linear regression by `nn.Linear`, as the tutorial's second model."""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from ml.data.scaling import Scaling
from ml.models.architecture import Line, RegressionModel, StateDict, fold_input, fold_output
from ml.spec.model import LinearSpec


class LinearRegressionModelV2(RegressionModel):
    """``x_NF -> y_NT``; keys `linear_layer.weight` (T, F) and `linear_layer.bias` (T,)."""

    same_calls_at_every_step = True

    def __init__(self, features: int = 1, targets: int = 1) -> None:
        super().__init__()
        self.linear_layer = nn.Linear(features, targets)

    @classmethod
    def from_spec(cls, spec: LinearSpec, features: int, targets: int) -> Self:
        return cls(features, targets)

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        y_NT: torch.Tensor = self.linear_layer(x_NF)
        return y_NT

    @staticmethod
    def in_raw_units(state: StateDict, scaling: Scaling) -> StateDict:
        weight, bias = "linear_layer.weight", "linear_layer.bias"
        weight_TF, bias_T = fold_input(state[weight], state[bias], scaling)
        weight_TF, bias_T = fold_output(weight_TF, bias_T, scaling)
        return {weight: weight_TF.float(), bias: bias_T.float()}

    @staticmethod
    def line(state: StateDict) -> Line:
        return Line(state["linear_layer.weight"], state["linear_layer.bias"])

    @staticmethod
    def shape(state: StateDict) -> tuple[int, int]:
        targets, features = state["linear_layer.weight"].shape
        return features, targets
