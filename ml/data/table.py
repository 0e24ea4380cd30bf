"""Rows with names. Axes: N rows, F features, T targets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Truth:
    """The parameters that made the rows, where they are known."""

    weight: float
    bias: float


@dataclass(frozen=True)
class Table:
    """``x_NF`` and ``y_NT``, both float32 (the line) or both float64 (given rows), on the CPU."""

    x_NF: torch.Tensor
    y_NT: torch.Tensor
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    truth: Truth | None = None

    def __len__(self) -> int:
        return len(self.x_NF)

    def take(self, rows: slice | torch.Tensor) -> Table:
        """The rows picked, in the order picked."""
        return Table(
            self.x_NF[rows], self.y_NT[rows], self.feature_names, self.target_names, self.truth
        )

    def sha256(self) -> str:
        """Digest of the names, the shapes, the dtype and every bit of the values, as hex."""
        digest = hashlib.sha256()
        shape = (tuple(self.x_NF.shape), tuple(self.y_NT.shape), str(self.x_NF.dtype))
        digest.update(repr((self.feature_names, self.target_names, shape)).encode())
        for values in (self.x_NF, self.y_NT):
            digest.update(values.contiguous().numpy().tobytes())
        return digest.hexdigest()
