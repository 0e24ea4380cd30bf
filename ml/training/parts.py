"""The rows of a training as the loop takes them: scaled, on the device, of the model's dtype.

In memory all of them are there at once; from disk they come a block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ml.data.rowfile import RowFile
from ml.data.scaling import Scaling
from ml.data.table import BLOCK_ROWS, Block, Rows, Table


@dataclass(frozen=True)
class Part:
    """Rows on the device, in the units that the model is trained in and of its dtype."""

    x_NF: torch.Tensor
    y_NT: torch.Tensor

    def __len__(self) -> int:
        return len(self.x_NF)

    def blocks(self) -> Iterator[Block]:
        """All rows at once; none where there are none."""
        if len(self):
            yield self.x_NF, self.y_NT

    def shuffled(self, generator: torch.Generator, batch_rows: int) -> Iterator[Block]:
        """Every row once, in random order, in blocks of whole batches but for the last.

        Rows are gathered in blocks of several batches: one large gather costs much less than many
        small ones, and a block much less memory than all rows again.
        """
        order_N = torch.randperm(len(self), generator=generator).to(self.x_NF.device)
        for block in torch.split(order_N, batch_rows * max(1, BLOCK_ROWS // batch_rows)):
            # index_select: a third of the time of x_NF[block].
            yield self.x_NF.index_select(0, block), self.y_NT.index_select(0, block)


@dataclass(frozen=True)
class StreamedPart:
    """Rows on disk that are scaled as they are read."""

    rows: RowFile
    scaling: Scaling | None
    device: torch.device
    dtype: torch.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def blocks(self) -> Iterator[Block]:
        """All rows, some `BLOCK_ROWS` at once; never one row alone, on which batch norm fails."""
        kept: Block | None = None
        for x_NF, y_NT in self.rows.blocks():
            if kept is not None and 1 in (len(x_NF), len(kept[0])):
                x_NF, y_NT = torch.cat([kept[0], x_NF]), torch.cat([kept[1], y_NT])
            elif kept is not None:
                yield self._scaled(*kept)
            kept = x_NF, y_NT
        if kept is not None:
            yield self._scaled(*kept)

    def shuffled(self, generator: torch.Generator, batch_rows: int) -> Iterator[Block]:
        """As `Part.shuffled`; a block is a random share of the rows, in random order."""
        rest: Block | None = None
        for x_NF, y_NT in self.rows.shuffled_buckets(generator):
            if rest is not None:
                x_NF, y_NT = torch.cat([rest[0], x_NF]), torch.cat([rest[1], y_NT])
            whole = len(x_NF) // batch_rows * batch_rows
            rest = x_NF[whole:], y_NT[whole:]
            if whole:
                yield self._scaled(x_NF[:whole], y_NT[:whole])
        if rest is not None and len(rest[0]):
            yield self._scaled(*rest)

    def _scaled(self, x_NF: torch.Tensor, y_NT: torch.Tensor) -> Block:
        return _scale(x_NF, y_NT, self.scaling, self.device, self.dtype)


AnyPart = Part | StreamedPart


def make_part(
    rows: Rows, scaling: Scaling | None, device: torch.device, dtype: torch.dtype
) -> AnyPart:
    """The rows for the loop: read once where they are in memory already."""
    if isinstance(rows, RowFile):
        return StreamedPart(rows, scaling, device, dtype)
    assert isinstance(rows, Table)
    return Part(*_scale(rows.x_NF, rows.y_NT, scaling, device, dtype))


def _scale(
    x_NF: torch.Tensor,
    y_NT: torch.Tensor,
    scaling: Scaling | None,
    device: torch.device,
    dtype: torch.dtype,
) -> Block:
    if scaling is None:
        return x_NF.to(device, dtype), y_NT.to(device, dtype)
    return scaling.scale_x(x_NF, dtype).to(device), scaling.scale_y(y_NT, dtype).to(device)
