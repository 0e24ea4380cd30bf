"""The table of sources: which loader reads which spec."""

from __future__ import annotations

from ml.data.line import load_line
from ml.data.points import load_points
from ml.data.table import Table
from ml.spec.data import LineSpec, PointsSpec


def load_table(spec: LineSpec | PointsSpec, seed: int) -> Table:
    """Every row that ``spec`` describes; the same spec and seed give the same bits."""
    match spec:
        case LineSpec():
            return load_line(spec, seed)
        case PointsSpec():
            return load_points(spec, seed)
