"""Rows of a dataset: in memory where they fit, else split and shuffled on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.data.rowfile import Layout, RowFile, RowFileWriter, buckets_for
from ml.data.split import Parts
from ml.data.table import BLOCK_ROWS, Table
from ml.errors import DataError
from ml.spec.dataset import DatasetSpec
from ml.spec.training import SplitCounts, SplitSpec

COPIES = 4
"""Rows are held so many times at the height of a training in memory: as read, as split, and as
scaled for the device, of which the last may be float64 (L-BFGS); and what comes and goes."""


@dataclass(frozen=True)
class DatasetFiles:
    """Where datasets lie, and how much of one may be in memory."""

    folder: Callable[[str], Path]
    """From the id of a dataset to its folder."""
    scratch: Path
    """A folder for files of this training; its maker deletes it."""
    memory_bytes: int = 1024**3
    """A training whose rows would take more reads them from disk, block by block."""

    def fits(self, spec: DatasetSpec) -> bool:
        """Whether the rows of ``spec`` may be in memory."""
        width = spec.feature_count + spec.target_count
        return spec.rows * width * 8 * COPIES <= self.memory_bytes


def load_dataset(spec: DatasetSpec, folder: Path) -> tuple[Table, int]:
    """Every complete row in float64, and how many rows were left out.

    Raises:
        DataError: no row is complete, or one is not though ``spec`` refuses that.
    """
    layout = _layout(spec)
    rows_NW, dropped = np.empty((spec.rows, layout.width)), 0
    end = 0
    for block_NW, left_out in _complete_rows(spec, folder, layout):
        rows_NW[end : end + len(block_NW)] = block_NW
        end, dropped = end + len(block_NW), dropped + left_out
    _require_rows(spec, end, dropped)
    x_NF, y_NT = layout.split(rows_NW[:end])
    # Copies side by side: a split then takes rows of x and of y, and the whole is let go.
    table = Table(
        x_NF.contiguous(),
        y_NT.contiguous(),
        layout.feature_names,
        layout.target_names,
        categories=layout.categories,
    )
    return table, dropped


def stream_dataset(
    spec: DatasetSpec, folder: Path, split: SplitSpec, seed: int, scratch: Path
) -> tuple[Parts[RowFile], int]:
    """Split the complete rows into files below ``scratch``; and how many rows were left out.

    With ``split.shuffle`` every choice of rows for a part is equally likely; a block of rows gets
    its share of each part by the hypergeometric distribution, so that one pass is enough.

    Raises:
        DataError: no row is left to train on, or one is not complete though ``spec`` refuses that.
    """
    layout = _layout(spec)
    rows, dropped = spec.rows, 0
    if spec.has_missing:
        dropped = sum(left_out for _, left_out in _complete_rows(spec, folder, layout))
        rows -= dropped
    _require_rows(spec, rows, dropped)
    counts = split.counts(rows)
    if counts.train == 0:
        raise DataError(f"{rows} rows × {split.train:g} leave no row to train on")
    generator = np.random.default_rng(seed)
    writers = [
        RowFileWriter(
            scratch / name,
            layout,
            buckets_for(count, layout.width) if name == "train" else 1,
            generator,
        )
        for name, count in zip(SplitCounts._fields, counts, strict=True)
    ]
    left = np.array(counts)
    for block_NW, _ in _complete_rows(spec, folder, layout):
        part_N = _assign(left, len(block_NW), split.shuffle, generator)
        for part, writer in enumerate(writers):
            writer.write(block_NW[part_N == part])
    return Parts(*(writer.finish() for writer in writers)), dropped


def data_sha256(spec: DatasetSpec) -> str:
    """Digest of what the rows are: the dataset (whose id stands for its content), the columns, and
    what is done about gaps, as hex."""
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()


def _layout(spec: DatasetSpec) -> Layout:
    return Layout(spec.feature_names, spec.target_names, spec.vocabularies)


def _complete_rows(
    spec: DatasetSpec, folder: Path, layout: Layout
) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks of complete rows as they are to lie on disk, float64, and how many were left out."""
    # Here and not above: polars starts threads and takes 40 MB, and most trainings need none of it.
    from ml.datasets.reader import DatasetFile

    file = DatasetFile(folder)
    columns = [*layout.numbers, *layout.target_names]
    first_target = len(layout.numbers)
    for numbers_NC, codes_NK in file.blocks(columns, layout.categories, BLOCK_ROWS):
        rows_NW = np.concatenate(
            [numbers_NC[:, :first_target], codes_NK, numbers_NC[:, first_target:]], axis=1
        )
        complete_N = ~np.isnan(numbers_NC).any(axis=1) & (codes_NK >= 0).all(axis=1)
        left_out = len(rows_NW) - int(complete_N.sum())
        if left_out and spec.missing == "refuse":
            raise DataError(f"{left_out} rows of dataset {spec.dataset} have missing cells")
        yield (rows_NW[complete_N] if left_out else rows_NW), left_out


def _assign(
    left: np.ndarray, rows: int, shuffle: bool, generator: np.random.Generator
) -> np.ndarray:
    """The part, 0 to 2, of each of the next ``rows``; takes them from ``left``."""
    if shuffle:
        shares = generator.multivariate_hypergeometric(left, rows)
    else:
        shares = np.diff(np.minimum(np.cumsum(left), rows), prepend=0)
    left -= shares
    part_N = np.repeat(np.arange(len(left)), shares)
    return generator.permutation(part_N) if shuffle else part_N


def _require_rows(spec: DatasetSpec, rows: int, dropped: int) -> None:
    if rows == 0:
        message = f"each of the {dropped} rows of dataset {spec.dataset} has a missing cell"
        raise DataError(message)
