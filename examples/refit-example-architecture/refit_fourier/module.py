"""Random Fourier features. Axes: N rows, F features, W waves, T targets."""

from __future__ import annotations

import math

import torch
from torch import nn

from ml.data.scaling import Scaling
from ml.models.architecture import RegressionModel, StateDict, fold_input, fold_output
from refit_fourier.spec import FourierSpec


class FourierFeatures(RegressionModel):
    """``y = output(cos(frequency · x + phase))``; frequencies and phases are drawn, not learned."""

    same_calls_at_every_step = True
    frequency_WF: torch.Tensor
    phase_W: torch.Tensor

    def __init__(self, spec: FourierSpec, features: int, targets: int) -> None:
        super().__init__()
        # Rows of more features lie farther apart.
        reach = spec.length_scale * math.sqrt(features)
        # Buffers: the optimizer leaves them alone, and a version keeps them.
        self.register_buffer("frequency_WF", torch.randn(spec.waves, features) / reach)
        self.register_buffer("phase_W", torch.rand(spec.waves) * 2 * math.pi)
        self.output = nn.Linear(spec.waves, targets)

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        waves_NW = nn.functional.linear(x_NF, self.frequency_WF, self.phase_W).cos()
        y_NT: torch.Tensor = self.output(waves_NW)
        return y_NT

    @staticmethod
    def in_raw_units(state: StateDict, scaling: Scaling) -> StateDict:
        frequency_WF, phase_W = fold_input(state["frequency_WF"], state["phase_W"], scaling)
        weight_TW, bias_T = fold_output(state["output.weight"], state["output.bias"], scaling)
        return {
            "frequency_WF": frequency_WF.float(),
            "phase_W": phase_W.remainder(2 * math.pi).float(),
            "output.weight": weight_TW.float(),
            "output.bias": bias_T.float(),
        }
