"""Metrics in raw units, and the optimum that a linear model could reach."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch

from ml.data.scaling import fit_scaling
from ml.data.table import Table
from ml.errors import DivergedError


@dataclass(frozen=True)
class Metrics:
    """How far predictions are from the targets, in raw units, over rows and targets alike."""

    mae: float
    """Mean absolute error."""
    rmse: float
    """Root of the mean squared error."""
    r2: float | None
    """Share of the variance explained, averaged over the targets; None where y does not vary."""
    max_error: float

    def named(self, part: str) -> dict[str, float | None]:
        """`{"test_mae": …, …}` for the part ``test``."""
        return {f"{part}_{name}": value for name, value in asdict(self).items()}


def measure(pred_NT: torch.Tensor, y_NT: torch.Tensor) -> Metrics:
    """Compare predictions with targets of the same shape, in float64.

    Raises:
        DivergedError: a prediction or a metric is not finite.
    """
    if pred_NT.shape != y_NT.shape:
        # (N,) against (N, 1) would broadcast to (N, N) and give a plausible wrong figure.
        raise ValueError(f"expected shape {tuple(y_NT.shape)}, got {tuple(pred_NT.shape)}")
    y_NT = y_NT.double()
    error_NT = pred_NT.double() - y_NT
    residual_T = error_NT.square().sum(dim=0)
    spread_T = (y_NT - y_NT.mean(dim=0)).square().sum(dim=0)
    # Not only by the spread: the mean of equal numbers may miss them by a rounding.
    varies = bool(((y_NT != y_NT[0]).any(dim=0) & (spread_T > 0)).all())
    metrics = Metrics(
        mae=float(error_NT.abs().mean()),
        rmse=math.sqrt(float(error_NT.square().mean())),
        r2=float((1 - residual_T / spread_T).mean()) if varies else None,
        max_error=float(error_NT.abs().max()),
    )
    for name, value in asdict(metrics).items():
        if value is not None and not math.isfinite(value):
            raise DivergedError(f"the metric {name} is {value}")
    return metrics


@dataclass(frozen=True)
class LeastSquares:
    """The ordinary least-squares optimum over the training rows, in raw units, float64."""

    weight_TF: torch.Tensor
    bias_T: torch.Tensor


def least_squares(train: Table) -> LeastSquares:
    """Solve min |x w + b - y|² in float64, on standardized columns for the sake of conditioning.

    Where columns are collinear, the solution of least norm (LAPACK `gelsd`).
    """
    scaling = fit_scaling(train)
    x_NF = (train.x_NF.double() - scaling.x_mean_F) / scaling.x_std_F
    y_NT = (train.y_NT.double() - scaling.y_mean_T) / scaling.y_std_T
    weight_FT = torch.linalg.lstsq(x_NF, y_NT, driver="gelsd").solution
    weight_TF = weight_FT.T * scaling.y_std_T[:, None] / scaling.x_std_F
    return LeastSquares(weight_TF, scaling.y_mean_T - weight_TF @ scaling.x_mean_F)
