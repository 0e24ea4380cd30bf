"""Standardization by training statistics, in float64 so that raw units of any scale survive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ml.data.table import Block, Rows


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of each feature and target; all tensors float64 on the CPU."""

    x_mean_F: torch.Tensor
    x_std_F: torch.Tensor
    y_mean_T: torch.Tensor
    y_std_T: torch.Tensor

    def scale_x(self, x_NF: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Standardized features. The difference is taken in float64: at x = 1e9 ± 1 float32 would
        lose it."""
        return _standardized(x_NF, self.x_mean_F, self.x_std_F, dtype)

    def scale_y(self, y_NT: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Standardized targets."""
        return _standardized(y_NT, self.y_mean_T, self.y_std_T, dtype)

    def unscale_y(self, y_NT: torch.Tensor) -> torch.Tensor:
        """Targets in raw units, float64: at y = 1e9 ± 1 float32 would lose the difference."""
        std_T, mean_T = self.y_std_T, self.y_mean_T
        rows, columns = y_NT.shape
        block = _block_rows(columns)
        if rows < block:
            return y_NT.double() * std_T + mean_T
        whole = rows - rows % block
        raw_NT = torch.empty(rows, columns, dtype=torch.float64)
        std_BT, mean_BT = _repeated(std_T, block), _repeated(mean_T, block)
        for start in range(0, whole, block):
            here = slice(start, start + block)
            raw_NT[here].copy_(y_NT[here]).mul_(std_BT).add_(mean_BT)
        raw_NT[whole:] = y_NT[whole:].double() * std_T + mean_T
        return raw_NT

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


BLOCK_VALUES = 16_384
"""128 kB in float64: what is worked on stays in the processor's cache."""


def _block_rows(columns: int) -> int:
    return max(1, BLOCK_VALUES // columns)


def _repeated(values_C: torch.Tensor, rows: int) -> torch.Tensor:
    """The same row so many times: adding it needs no broadcast, which is slow for short rows."""
    return values_C.expand(rows, -1).contiguous()


def _standardized(
    values_NC: torch.Tensor, mean_C: torch.Tensor, std_C: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """(values - mean) / std in float64, then ``dtype``; the same bits in blocks as at once, and
    several times as fast."""
    rows, columns = values_NC.shape
    block = _block_rows(columns)
    if rows < block:
        return ((values_NC.double() - mean_C) / std_C).to(dtype)
    whole = rows - rows % block
    found_NC = torch.empty(rows, columns, dtype=dtype)
    mean_BC, std_BC = _repeated(mean_C, block), _repeated(std_C, block)
    work_BC = torch.empty(block, columns, dtype=torch.float64)
    for start in range(0, whole, block):
        here = slice(start, start + block)
        found_NC[here] = work_BC.copy_(values_NC[here]).sub_(mean_BC).div_(std_BC)
    found_NC[whole:] = (values_NC[whole:].double() - mean_C) / std_C
    return found_NC


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


def fit_scaling(train: Rows) -> Scaling:
    """The statistics of the training rows; a constant column is only centred (deviation 1).

    Two passes, as the sum of squares less the square of the sum loses what varies little. The
    population deviation (divide by N), as scikit-learn's StandardScaler: defined for one row.
    """
    rows = len(train)
    sum_F, sum_T = _sums((x_NF.double(), y_NT.double()) for x_NF, y_NT in train.blocks())
    x_mean_F, y_mean_T = sum_F / rows, sum_T / rows
    square_F, square_T = _sums(
        ((x_NF.double() - x_mean_F).square(), (y_NT.double() - y_mean_T).square())
        for x_NF, y_NT in train.blocks()
    )
    return Scaling(
        x_mean_F,
        _deviation((square_F / rows).sqrt(), x_mean_F),
        y_mean_T,
        _deviation((square_T / rows).sqrt(), y_mean_T),
    )


def _sums(blocks: Iterator[Block]) -> Block:
    sums: Block | None = None
    for x_NF, y_NT in blocks:
        of_block = x_NF.sum(dim=0), y_NT.sum(dim=0)
        sums = of_block if sums is None else (sums[0] + of_block[0], sums[1] + of_block[1])
    assert sums is not None
    return sums


def _deviation(std_C: torch.Tensor, mean_C: torch.Tensor) -> torch.Tensor:
    # A column of equal numbers may show a deviation of rounding size; 1e-12 is far above
    # float64's 2e-16 and far below any spread that float32 inputs can carry.
    constant_C = std_C <= 1e-12 * mean_C.abs()
    return torch.where(constant_C | (std_C == 0), torch.ones_like(std_C), std_C)


@dataclass(frozen=True)
class Range:
    """Least and greatest value of each feature in the training rows; float64 on the CPU."""

    x_min_F: torch.Tensor
    x_max_F: torch.Tensor

    def is_outside(self, x_NF: torch.Tensor) -> torch.Tensor:
        """Whether each row has a feature beyond what was seen, as booleans of shape (N,).

        A millionth of the range is allowed for: 0.78 in float64 is more than 0.78 in float32.
        """
        slack_F = 1e-6 * (self.x_max_F - self.x_min_F)
        x_NF = x_NF.double()
        below_NF = x_NF < self.x_min_F - slack_F
        return (below_NF | (x_NF > self.x_max_F + slack_F)).any(dim=1)


def fit_range(train: Rows) -> Range:
    """The range of the training rows, of which there must be one."""
    x_min_F = x_max_F = None
    for x_NF, _ in train.blocks():
        least_F, most_F = x_NF.double().amin(dim=0), x_NF.double().amax(dim=0)
        x_min_F = least_F if x_min_F is None else torch.minimum(x_min_F, least_F)
        x_max_F = most_F if x_max_F is None else torch.maximum(x_max_F, most_F)
    assert x_min_F is not None
    assert x_max_F is not None
    return Range(x_min_F, x_max_F)
