"""Points given in full."""

from __future__ import annotations

import numpy as np
import torch

from ml.data.table import Table
from ml.spec.data import PointsSpec


def load_points(spec: PointsSpec, seed: int) -> Table:
    """The points in float64, as they came over the wire; scaling rounds them to float32 once."""
    return Table(
        _columns(spec.x),
        _columns(spec.y),
        spec.feature_names or numbered("x", spec.feature_count),
        spec.target_names or numbered("y", spec.target_count),
    )


def numbered(stem: str, count: int) -> tuple[str, ...]:
    """``x`` alone, or ``x1``, ``x2``, … where there are several."""
    return (stem,) if count == 1 else tuple(f"{stem}{i}" for i in range(1, count + 1))


def _columns(values: tuple[float, ...] | tuple[tuple[float, ...], ...]) -> torch.Tensor:
    # Through numpy: several times as fast as torch.tensor of a nested list.
    array = np.array(values, dtype=np.float64)
    return torch.from_numpy(array.reshape(len(values), -1))
