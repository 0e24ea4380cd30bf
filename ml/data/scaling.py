"""Standardization by training statistics, in float64 so that raw units of any scale survive."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ml.data.table import Table


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of each feature and target; all tensors float64 on the CPU."""

    x_mean_F: torch.Tensor
    x_std_F: torch.Tensor
    y_mean_T: torch.Tensor
    y_std_T: torch.Tensor

    def scale_x(self, x_NF: torch.Tensor) -> torch.Tensor:
        """Standardized features, float32. The difference is taken in float64: at x = 1e9 ± 1
        float32 would lose it."""
        return ((x_NF.double() - self.x_mean_F) / self.x_std_F).float()

    def scale_y(self, y_NT: torch.Tensor) -> torch.Tensor:
        """Standardized targets, float32."""
        return ((y_NT.double() - self.y_mean_T) / self.y_std_T).float()

    def unscale_y(self, y_NT: torch.Tensor) -> torch.Tensor:
        """Targets in raw units, float32 (infinite where float32 cannot hold them)."""
        return (y_NT.double() * self.y_std_T + self.y_mean_T).float()

    def inverse(self) -> Scaling:
        """The scaling that undoes this one: x = (z - (-m/s)) / (1/s)."""
        return Scaling(
            -self.x_mean_F / self.x_std_F,
            1 / self.x_std_F,
            -self.y_mean_T / self.y_std_T,
            1 / self.y_std_T,
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """The statistics by field name."""
        return {
            "x_mean_F": self.x_mean_F,
            "x_std_F": self.x_std_F,
            "y_mean_T": self.y_mean_T,
            "y_std_T": self.y_std_T,
        }


def relative_scaling(old: Scaling | None, new: Scaling | None) -> Scaling | None:
    """The scaling that takes values standardized by ``new`` to values standardized by ``old``.

    x = z' s' + m' makes z = (x - m) / s = (z' - (m - m') / s') / (s / s'). The means are subtracted
    before all else: at x = 1e9 ± 1, parameters in raw units would lose what the rows differ in.
    """
    if old is None or new is None:
        return new.inverse() if new is not None else old
    return Scaling(
        (old.x_mean_F - new.x_mean_F) / new.x_std_F,
        old.x_std_F / new.x_std_F,
        (old.y_mean_T - new.y_mean_T) / new.y_std_T,
        old.y_std_T / new.y_std_T,
    )


def fit_scaling(train: Table) -> Scaling:
    """The statistics of the training rows; a constant column is only centred (deviation 1)."""
    x_mean_F, x_std_F = _mean_and_deviation(train.x_NF)
    y_mean_T, y_std_T = _mean_and_deviation(train.y_NT)
    return Scaling(x_mean_F, x_std_F, y_mean_T, y_std_T)


def _mean_and_deviation(values_NC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    values_NC = values_NC.double()
    mean_C = values_NC.mean(dim=0)
    # Population deviation (divide by N), as scikit-learn's StandardScaler: defined for one row.
    std_C = (values_NC - mean_C).square().mean(dim=0).sqrt()
    # A column of equal numbers may show a deviation of rounding size; 1e-12 is far above
    # float64's 2e-16 and far below any spread that float32 inputs can carry.
    constant_C = std_C <= 1e-12 * mean_C.abs()
    return mean_C, torch.where(constant_C | (std_C == 0), torch.ones_like(std_C), std_C)
