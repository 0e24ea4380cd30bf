"""Train, validation and test part of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from ml.data.table import Rows, Table
from ml.errors import DataError
from ml.spec.training import SplitSpec

R = TypeVar("R", bound=Rows, covariant=True)


@dataclass(frozen=True)
class Parts(Generic[R]):
    """Three sets of rows that share none; validation and test may be empty."""

    train: R
    validation: R
    test: R

    def named(self) -> dict[str, R]:
        """Those that have rows, by name."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: rows for name, rows in parts.items() if len(rows)}

    @property
    def held_out(self) -> R:
        """The rows a model is judged on: test, else validation, else the training rows."""
        return next((part for part in (self.test, self.validation) if len(part)), self.train)


def split_table(table: Table, spec: SplitSpec, seed: int) -> Parts[Table]:
    """Cut ``table`` in the order train, validation, test; shuffled by ``seed`` first if asked.

    Raises:
        DataError: no row is left to train on.
    """
    counts = spec.counts(len(table))
    if counts.train == 0:
        raise DataError(f"{len(table)} rows × {spec.train:g} leave no row to train on")
    if spec.shuffle:
        order_N = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))
        table = table.take(order_N)
    first_test = counts.train + counts.validation
    return Parts(
        train=table.take(slice(0, counts.train)),
        validation=table.take(slice(counts.train, first_test)),
        test=table.take(slice(first_test, len(table))),
    )
