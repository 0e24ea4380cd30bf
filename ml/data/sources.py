"""The table of sources: which loader reads which spec."""

from __future__ import annotations

from dataclasses import dataclass

from ml.data.dataset import DatasetFiles, data_sha256, load_dataset, stream_dataset
from ml.data.line import load_line
from ml.data.points import load_points
from ml.data.split import Parts, split_table
from ml.data.table import Rows, Table, Truth
from ml.errors import DataError
from ml.spec.data import LineSpec, PointsSpec
from ml.spec.training import TrainingSpec


@dataclass(frozen=True)
class Loaded:
    """The rows of a training, split, and what is known about them."""

    parts: Parts[Rows]
    sha256: str
    """Digest of the rows before the split, as hex."""
    truth: Truth | None
    dropped_rows: int = 0
    """Rows that were left out because a cell was missing."""


def load_table(spec: LineSpec | PointsSpec, seed: int) -> Table:
    """Every row that ``spec`` describes; the same spec and seed give the same bits."""
    match spec:
        case LineSpec():
            return load_line(spec, seed)
        case PointsSpec():
            return load_points(spec, seed)


def load_parts(spec: TrainingSpec, files: DatasetFiles | None = None) -> Loaded:
    """The rows that ``spec`` asks for, split; the same spec and memory give the same bits.

    Raises:
        DataError: no row is left to train on, or a dataset is asked for and there are no ``files``.
    """
    data = spec.data
    if isinstance(data, LineSpec | PointsSpec):
        table = load_table(data, spec.seed)
        parts = split_table(table, spec.split, spec.seed)
        return Loaded(parts, table.sha256(), table.truth)
    if files is None:
        raise DataError("there are no datasets here")
    folder = files.folder(data.dataset)
    if files.fits(data):
        table, dropped = load_dataset(data, folder)
        parts = split_table(table, spec.split, spec.seed)
        return Loaded(parts, data_sha256(data), None, dropped)
    streamed, dropped = stream_dataset(data, folder, spec.split, spec.seed, files.scratch)
    return Loaded(streamed, data_sha256(data), None, dropped)
