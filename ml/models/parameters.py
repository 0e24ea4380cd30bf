"""Linear regression by hand: two `nn.Parameter`, as the tutorial's first model."""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from ml.data.scaling import Scaling
from ml.models.architecture import Line, RegressionModel, StateDict, fold_input, fold_output
from ml.spec.model import ParametersSpec


class LinearRegressionModel(RegressionModel):
    """``weights * x_N1 + bias``; state_dict keys `weights` and `bias`, each of shape (1,)."""

    same_calls_at_every_step = True

    def __init__(self) -> None:
        super().__init__()
        # The order of the two draws belongs to the tutorial's numbers.
        self.weights = nn.Parameter(torch.randn(1, dtype=torch.float))
        self.bias = nn.Parameter(torch.randn(1, dtype=torch.float))

    @classmethod
    def from_spec(cls, spec: ParametersSpec, features: int, targets: int) -> Self:
        return cls()

    def forward(self, x_N1: torch.Tensor) -> torch.Tensor:
        return self.weights * x_N1 + self.bias

    @staticmethod
    def in_raw_units(state: StateDict, scaling: Scaling) -> StateDict:
        weight_11, bias_1 = fold_input(state["weights"][:, None], state["bias"], scaling)
        weight_11, bias_1 = fold_output(weight_11, bias_1, scaling)
        return {"weights": weight_11[0].float(), "bias": bias_1.float()}

    @staticmethod
    def line(state: StateDict) -> Line:
        return Line(state["weights"][:, None], state["bias"])

    @staticmethod
    def shape(state: StateDict) -> tuple[int, int]:
        return 1, 1
