"""The tutorial's data: a line with known parameters."""

from __future__ import annotations

import torch

from ml.data.table import Table, Truth
from ml.spec.data import LineSpec


def load_line(spec: LineSpec, seed: int) -> Table:
    """``y_N1 = weight * x_N1 + bias`` in float32, for x from ``start`` to before ``end``.

    Noise is drawn from a generator of its own, so that it shifts no other random number.
    """
    x_N1 = torch.arange(spec.start, spec.end, spec.step).unsqueeze(dim=1)
    y_N1 = spec.weight * x_N1 + spec.bias
    if spec.noise > 0:
        generator = torch.Generator().manual_seed(seed)
        y_N1 = y_N1 + spec.noise * torch.randn(y_N1.shape, generator=generator)
    return Table(x_N1, y_N1, ("x",), ("y",), Truth(spec.weight, spec.bias))
