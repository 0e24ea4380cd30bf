"""Metrics in raw units."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch

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


class Tally:
    """Gathers what the metrics need, a block of rows at a time, in float64."""

    def __init__(self) -> None:
        self._rows = 0
        self._absolute_T = torch.zeros(0, dtype=torch.float64)
        self._residual_T = self._absolute_T
        self._max_error = 0.0
        self._mean_T = self._absolute_T
        self._spread_T = self._absolute_T
        self._first_T = self._absolute_T
        self._varies_T = torch.zeros(0, dtype=torch.bool)

    def add(self, pred_NT: torch.Tensor, y_NT: torch.Tensor) -> None:
        """Count rows in; ``pred_NT`` and ``y_NT`` have the same shape."""
        if pred_NT.shape != y_NT.shape:
            # (N,) against (N, 1) would broadcast to (N, N) and give a plausible wrong figure.
            raise ValueError(f"expected shape {tuple(y_NT.shape)}, got {tuple(pred_NT.shape)}")
        rows = len(y_NT)
        if rows == 0:
            return
        y_NT = y_NT.double()
        error_NT = pred_NT.double() - y_NT
        mean_T = y_NT.mean(dim=0)
        spread_T = (y_NT - mean_T).square().sum(dim=0)
        if self._rows == 0:
            zeros_T = torch.zeros_like(mean_T)
            self._absolute_T, self._residual_T = zeros_T, zeros_T
            self._mean_T, self._spread_T = mean_T, spread_T
            self._first_T, self._varies_T = y_NT[0], zeros_T.bool()
        else:
            # Chan, Golub, LeVeque: Updating formulae for computing sample variances, 1979.
            all_rows = self._rows + rows
            apart_T = mean_T - self._mean_T
            self._mean_T = self._mean_T + apart_T * (rows / all_rows)
            gain_T = apart_T.square() * (self._rows * rows / all_rows)
            self._spread_T = self._spread_T + spread_T + gain_T
        self._rows += rows
        self._absolute_T = self._absolute_T + error_NT.abs().sum(dim=0)
        self._residual_T = self._residual_T + error_NT.square().sum(dim=0)
        largest = float(error_NT.abs().max())
        # Not max(): it would lose a NaN.
        self._max_error = largest if not largest <= self._max_error else self._max_error
        # Not only by the spread: the mean of equal numbers may miss them by a rounding.
        self._varies_T = self._varies_T | (y_NT != self._first_T).any(dim=0)

    def metrics(self) -> Metrics:
        """The metrics of all rows counted in, of which there must be one.

        Raises:
            DivergedError: a prediction or a metric is not finite.
        """
        cells = self._rows * len(self._mean_T)
        varies = bool((self._varies_T & (self._spread_T > 0)).all())
        metrics = Metrics(
            mae=float(self._absolute_T.sum()) / cells,
            rmse=math.sqrt(float(self._residual_T.sum()) / cells),
            r2=float((1 - self._residual_T / self._spread_T).mean()) if varies else None,
            max_error=self._max_error,
        )
        for name, value in asdict(metrics).items():
            if value is not None and not math.isfinite(value):
                raise DivergedError(f"the metric {name} is {value}")
        return metrics


def measure(pred_NT: torch.Tensor, y_NT: torch.Tensor) -> Metrics:
    """Compare predictions with targets of the same shape; raises as `Tally` does."""
    tally = Tally()
    tally.add(pred_NT, y_NT)
    return tally.metrics()
