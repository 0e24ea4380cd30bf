"""Rows with names, in memory. Axes: N rows, F features, T targets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch

from ml.data.encoding import encoded_names

BLOCK_ROWS = 65_536
"""Rows that are worked on at once where all of them need not be in memory."""

Block = tuple[torch.Tensor, torch.Tensor]
"""``x_NF`` and ``y_NT`` of some rows."""


@dataclass(frozen=True)
class Truth:
    """The parameters that made the rows, where they are known."""

    weight: float
    bias: float


class Rows(Protocol):
    """Rows in raw units, in memory (`Table`) or on disk (`ml.data.rowfile.RowFile`)."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features as people give them."""
        ...

    @property
    def target_names(self) -> tuple[str, ...]: ...

    @property
    def categories(self) -> Mapping[str, tuple[str, ...]]:
        """Vocabulary of each feature that is a category; ``x_NF`` has a column for each word."""
        ...

    @property
    def column_names(self) -> tuple[str, ...]:
        """A name for each column of ``x_NF``."""
        ...

    def __len__(self) -> int: ...

    def blocks(self) -> Iterator[Block]:
        """All rows in order, at most `BLOCK_ROWS` at once, float32 or float64 on the CPU."""
        ...

    def sample(self, most: int) -> Table:
        """At most so many rows, spread over all of them."""
        ...


@dataclass(frozen=True)
class Table:
    """``x_NF`` and ``y_NT``, both float32 (the line) or both float64 (given rows), on the CPU."""

    x_NF: torch.Tensor
    y_NT: torch.Tensor
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    truth: Truth | None = None
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x_NF)

    @property
    def column_names(self) -> tuple[str, ...]:
        """A name for each column of ``x_NF``."""
        return encoded_names(self.feature_names, self.categories)

    def take(self, rows: slice | torch.Tensor) -> Table:
        """The rows picked, in the order picked."""
        return Table(
            self.x_NF[rows],
            self.y_NT[rows],
            self.feature_names,
            self.target_names,
            self.truth,
            self.categories,
        )

    def blocks(self) -> Iterator[Block]:
        """See `Rows`."""
        x_blocks = torch.split(self.x_NF, BLOCK_ROWS)
        return zip(x_blocks, torch.split(self.y_NT, BLOCK_ROWS), strict=True)

    def sample(self, most: int) -> Table:
        """See `Rows`; all rows where there are no more."""
        if len(self) <= most:
            return self
        return self.take(torch.linspace(0, len(self) - 1, most, dtype=torch.float64).long())

    def sha256(self) -> str:
        """Digest of the names, the shapes, the dtype and every bit of the values, as hex."""
        digest = hashlib.sha256()
        shape = (tuple(self.x_NF.shape), tuple(self.y_NT.shape), str(self.x_NF.dtype))
        digest.update(repr((self.feature_names, self.target_names, shape)).encode())
        for values in (self.x_NF, self.y_NT):
            digest.update(values.contiguous().numpy().tobytes())
        return digest.hexdigest()
