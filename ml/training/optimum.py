"""The ordinary least-squares optimum in closed form, and what stands in its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ml.data.scaling import Scaling
from ml.data.table import Rows

RANK_TOLERANCE = 1e-10
"""Singular values below this share of the largest count as 0. Numbers that were written with ten
digits agree to that much where they are meant to be collinear; float64 itself would tell 1e-16."""

NOTHING = 1e-100
"""Where the largest singular value is no greater, no column varies: one that does has at least 1,
and of what is far smaller float64 may not hold the inverse."""


@dataclass(frozen=True)
class LeastSquares:
    """The ordinary least-squares optimum over the training rows, in raw units, float64.

    Where columns are collinear there are many; `least_squares` gives the one of least norm in
    standardized units, and `nearest_to` another.
    """

    weight_TF: torch.Tensor
    bias_T: torch.Tensor
    scaling: Scaling
    scaled_weight_TF: torch.Tensor
    """The weight in standardized units; the bias there is 0."""
    rank: int
    """Directions in which the features vary."""

    strength_K: torch.Tensor
    """Singular values of the standardized columns, as shares of the largest, falling."""
    directions_FK: torch.Tensor
    """The direction of each in the space of weights, as columns."""

    def nearest_to(self, scaled_weight_TF: torch.Tensor) -> LeastSquares:
        """Of all optima, the one nearest to a weight in standardized units: where a model could
        share out its weight otherwise, that is no difference to show."""
        free_FK = self.directions_FK[:, self.rank :]
        apart_TF = scaled_weight_TF.double() - self.scaled_weight_TF
        return self._with_weight(self.scaled_weight_TF + apart_TF @ free_FK @ free_FK.T)

    def _with_weight(self, scaled_weight_TF: torch.Tensor) -> LeastSquares:
        scaling = self.scaling
        weight_TF = scaled_weight_TF * scaling.y_std_T[:, None] / scaling.x_std_F
        bias_T = scaling.y_mean_T - weight_TF @ scaling.x_mean_F
        return replace(self, weight_TF=weight_TF, bias_T=bias_T, scaled_weight_TF=scaled_weight_TF)

    def predict(self, x_NF: torch.Tensor) -> torch.Tensor:
        """Predictions ``y_NT`` of the optimum for raw ``x_NF``, float64. By way of standardized
        units: at x = 1e9 ± 1, raw weight and bias would lose the difference."""
        scaling = self.scaling
        z_NF = (x_NF.double() - scaling.x_mean_F) / scaling.x_std_F
        return z_NF @ self.scaled_weight_TF.T * scaling.y_std_T + scaling.y_mean_T

    def involved(self, names: Sequence[str], first: int) -> list[str]:
        """Those of the features ``names`` that have a share in the directions from ``first`` on,
        which is to say that they can stand for each other, or nearly so."""
        involved_F = (self.directions_FK[:, first:].abs() > 1e-3).any(dim=1).tolist()
        return [name for name, is_involved in zip(names, involved_F, strict=True) if is_involved]


def least_squares(train: Rows, scaling: Scaling) -> LeastSquares:
    """Solve min |x w + b - y|² in float64 on columns standardized by the ``scaling`` of ``train``.

    One pass of blocks, each joined to the triangle R of those before (TSQR: Demmel et al.,
    Communication-optimal parallel and sequential QR, 2012), so memory is bounded and the condition
    of the columns is not squared, as it would be by the normal equations.
    """
    features = len(scaling.x_mean_F)
    # First a column of 1: with all of the rows it takes out what rounding left of the means.
    triangle = torch.zeros(0, 1 + features + len(scaling.y_mean_T), dtype=torch.float64)
    for x_NF, y_NT in train.blocks():
        z_NF = (x_NF.double() - scaling.x_mean_F) / scaling.x_std_F
        v_NT = (y_NT.double() - scaling.y_mean_T) / scaling.y_std_T
        block = torch.cat([torch.ones(len(z_NF), 1, dtype=torch.float64), z_NF, v_NT], dim=1)
        triangle = torch.linalg.qr(torch.cat([triangle, block]), mode="r").R
    triangle = triangle[1:]
    triangle_x, triangle_y = triangle[:, : features + 1][:, 1:], triangle[:, features + 1 :]
    weight_FT, strength_K, directions_FK = _solve(triangle_x, triangle_y)
    weight_TF = weight_FT.T * scaling.y_std_T[:, None] / scaling.x_std_F
    return LeastSquares(
        weight_TF=weight_TF,
        bias_T=scaling.y_mean_T - weight_TF @ scaling.x_mean_F,
        scaling=scaling,
        scaled_weight_TF=weight_FT.T,
        rank=int((strength_K > RANK_TOLERANCE).sum()),
        strength_K=strength_K,
        directions_FK=directions_FK,
    )


def _solve(
    a_RF: torch.Tensor, b_RT: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The solution of least norm of a w = b; the singular values of ``a``, one for each feature, as
    shares of the largest; and their directions as columns."""
    features = a_RF.shape[1]
    if len(a_RF) < features:
        padding = torch.zeros(features - len(a_RF), features + b_RT.shape[1], dtype=a_RF.dtype)
        a_RF = torch.cat([a_RF, padding[:, :features]])
        b_RT = torch.cat([b_RT, padding[:, features:]])
    u_RF, s_F, v_FF = torch.linalg.svd(a_RF, full_matrices=False)
    strength_F = s_F / s_F[0] if float(s_F[0]) > NOTHING else torch.zeros_like(s_F)
    # 0 where there is nothing to divide by: what has no strength gets no weight.
    inverse_F = torch.where(strength_F > RANK_TOLERANCE, 1 / s_F, 0.0)
    weight_FT = v_FF.T @ (inverse_F[:, None] * (u_RF.T @ b_RT))
    return weight_FT, strength_F, v_FF.T


class Gap:
    """How far predictions are from those of the optimum, gathered a block at a time."""

    def __init__(self, optimum: LeastSquares) -> None:
        self._optimum = optimum
        self._squares_T = torch.zeros_like(optimum.scaling.y_mean_T)
        self._rows = 0

    def add(self, x_NF: torch.Tensor, pred_NT: torch.Tensor) -> None:
        """Count in the predictions for some training rows."""
        apart_NT = pred_NT.double() - self._optimum.predict(x_NF)
        self._squares_T = self._squares_T + apart_NT.square().sum(dim=0)
        self._rows += len(x_NF)

    def value(self) -> float:
        """The root mean square difference in standard deviations of y, of the worst target."""
        rms_T = (self._squares_T / max(1, self._rows)).sqrt()
        return float((rms_T / self._optimum.scaling.y_std_T).max())
