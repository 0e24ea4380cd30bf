"""Rows that stay on disk: files of float64 that are read a block at a time.

A row lies as its numbers, the places of its categories in their vocabularies, and its targets.
Rows to train on lie in *buckets*, each of them a random share of all rows that fits into memory:
an epoch takes the buckets in random order and shuffles the rows of each, so that neighbours in the
file that was sent are not neighbours in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ml.data.encoding import encode, encoded_names
from ml.data.table import BLOCK_ROWS, Block, Table

BUCKET_BYTES = 16 * 1024 * 1024
MAX_BUCKETS = 256
"""Files that are written to at once; beyond 4 GiB the buckets grow instead."""


@dataclass(frozen=True)
class Layout:
    """The columns of a file of rows."""

    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The features that are no categories."""
        return tuple(name for name in self.feature_names if name not in self.categories)

    @property
    def width(self) -> int:
        """Numbers of a row on disk."""
        return len(self.feature_names) + len(self.target_names)

    def split(self, rows_NW: np.ndarray) -> Block:
        """``x_NF`` and ``y_NT``, float64, of rows as they lie on disk; views if possible."""
        first_code = len(self.numbers)
        first_target = len(self.feature_names)
        x_NF = encode(
            rows_NW[:, :first_code],
            rows_NW[:, first_code:first_target],
            self.feature_names,
            self.categories,
        )
        return torch.from_numpy(x_NF), torch.from_numpy(rows_NW[:, first_target:])


@dataclass(frozen=True)
class RowFile:
    """Some rows of a dataset, on disk; see `ml.data.table.Rows`."""

    folder: Path
    layout: Layout
    buckets: tuple[int, ...]
    """Rows of each bucket; bucket i is the file `<i>`."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.layout.feature_names

    @property
    def target_names(self) -> tuple[str, ...]:
        return self.layout.target_names

    @property
    def categories(self) -> Mapping[str, tuple[str, ...]]:
        return self.layout.categories

    @property
    def column_names(self) -> tuple[str, ...]:
        return encoded_names(self.feature_names, self.categories)

    def __len__(self) -> int:
        return sum(self.buckets)

    def blocks(self) -> Iterator[Block]:
        """All rows in the order of the files."""
        for bucket, rows in enumerate(self.buckets):
            for start in range(0, rows, BLOCK_ROWS):
                yield self._read(bucket, start, min(BLOCK_ROWS, rows - start))

    def shuffled_buckets(self, generator: torch.Generator) -> Iterator[Block]:
        """Every row once, a bucket at a time; their order and that of their rows is random."""
        for bucket in torch.randperm(len(self.buckets), generator=generator).tolist():
            rows = self.buckets[bucket]
            order_N = torch.randperm(rows, generator=generator)
            x_NF, y_NT = self._read(bucket, 0, rows)
            yield x_NF.index_select(0, order_N), y_NT.index_select(0, order_N)

    def sample(self, most: int) -> Table:
        """At most so many rows: the first of each bucket, which are random ones."""
        taken: list[Block] = []
        for bucket, rows in enumerate(self.buckets):
            share = min(rows, math.ceil(most * rows / max(1, len(self))))
            taken.append(self._read(bucket, 0, share))
        x_NF = torch.cat([x for x, _ in taken])[:most]
        y_NT = torch.cat([y for _, y in taken])[:most]
        return Table(x_NF, y_NT, self.feature_names, self.target_names, categories=self.categories)

    def _read(self, bucket: int, start: int, rows: int) -> Block:
        width = self.layout.width
        values = np.fromfile(
            self.folder / str(bucket),
            dtype=np.float64,
            count=rows * width,
            offset=start * width * 8,
        )
        return self.layout.split(values.reshape(rows, width))


class RowFileWriter:
    """Writes a `RowFile`; rows are spread over ``buckets`` files at random, or lie in one."""

    def __init__(
        self, folder: Path, layout: Layout, buckets: int, generator: np.random.Generator
    ) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._layout = layout
        self._generator = generator
        self._files = [(folder / str(i)).open("wb") for i in range(buckets)]
        self._rows = [0] * buckets

    def write(self, rows_NW: np.ndarray) -> None:
        """Append rows as they are to lie on disk, float64."""
        if len(self._files) == 1:
            self._append(0, rows_NW)
            return
        bucket_N = self._generator.integers(len(self._files), size=len(rows_NW))
        order_N = np.argsort(bucket_N, kind="stable")
        ends = np.cumsum(np.bincount(bucket_N, minlength=len(self._files)))
        sorted_NW = rows_NW[order_N]
        for bucket, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            self._append(bucket, sorted_NW[start:end])

    def _append(self, bucket: int, rows_NW: np.ndarray) -> None:
        self._files[bucket].write(np.ascontiguousarray(rows_NW, dtype=np.float64).data)
        self._rows[bucket] += len(rows_NW)

    def finish(self) -> RowFile:
        """Close the files; what was written can be read."""
        for file in self._files:
            file.close()
        return RowFile(self._folder, self._layout, tuple(self._rows))


def buckets_for(rows: int, width: int) -> int:
    """How many buckets so many rows of ``width`` numbers are to be spread over."""
    return max(1, min(MAX_BUCKETS, math.ceil(rows * width * 8 / BUCKET_BYTES)))
