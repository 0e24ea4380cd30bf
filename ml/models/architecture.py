"""What an architecture may offer beside its `nn.Module`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import nn

from ml.data.scaling import Scaling

StateDict = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Line:
    """The parameters of a linear model in raw units: ``y_NT = x_NF @ weight_TF.T + bias_T``."""

    weight_TF: torch.Tensor
    bias_T: torch.Tensor


class RegressionModel(nn.Module):
    """Maps ``x_NF`` to ``y_NT``, both float32, as any `nn.Module` must that is an architecture.

    A class may offer three static methods, of this base or not:

        in_raw_units(state, scaling) -> StateDict    folds a scaling into a state_dict: one of the
                                                     same keys, which predicts raw y from raw x
        line(state) -> Line                          the weight and bias that a state_dict stands
                                                     for, where the model is linear
        shape(state) -> tuple[int, int]              features and targets of a state_dict that is
                                                     brought in without their names
    """

    same_calls_at_every_step: ClassVar[bool] = False
    """Whether ``forward`` in training mode makes the same calls of torch whatever it is given and
    whenever; its steps may then be recorded once and replayed (`ml.training.replay`)."""

    @classmethod
    def from_spec(cls, spec: Any, features: int, targets: int) -> Self:
        """A new module, its parameters drawn from torch's global generator."""
        return cls(spec, features, targets)


def fold_input(
    weight_OF: torch.Tensor, bias_O: torch.Tensor, scaling: Scaling
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias, in float64, of a layer that takes raw x instead of standardized x.

    W (x - m) / s + b = (W / s) x + (b - (W / s) m).
    """
    weight_OF = weight_OF.double().cpu() / scaling.x_std_F
    return weight_OF, bias_O.double().cpu() - weight_OF @ scaling.x_mean_F


def fold_output(
    weight_TI: torch.Tensor, bias_T: torch.Tensor, scaling: Scaling
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias, in float64, of a layer that gives raw y instead of standardized y."""
    weight_TI = weight_TI.double().cpu() * scaling.y_std_T[:, None]
    return weight_TI, bias_T.double().cpu() * scaling.y_std_T + scaling.y_mean_T
