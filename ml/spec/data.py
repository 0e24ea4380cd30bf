"""Where the rows come from: the tutorial's line, points given in the request, or a dataset."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from ml.spec.base import FLOAT32_MAX, InSlices, Name, Number, Spec, fail_at
from ml.spec.dataset import DatasetSpec

MAX_LINE_ROWS = 1_000_000_000
"""Rows of a line: 4 GB for x alone. A smaller step would only run out of memory, or of integers."""


class LineSpec(Spec):
    """A straight line with known parameters, ``y = weight * x + bias`` plus Gaussian noise."""

    source: Literal["line"] = "line"
    weight: Number = 0.7
    bias: Number = 0.3
    start: Number = 0.0
    """The first x."""
    end: Number = 1.0
    """The x to stop before."""
    step: Annotated[Number, Field(gt=0)] = 0.02
    noise: Annotated[Number, Field(ge=0)] = 0.0
    """Standard deviation of the Gaussian noise added to y."""

    @model_validator(mode="after")
    def _is_a_line(self) -> LineSpec:
        if self.end <= self.start:
            fail_at(("end",), "line_empty", f"end {self.end:g} must be above start {self.start:g}")
        if (self.end - self.start) / self.step > MAX_LINE_ROWS:
            message = f"step {self.step:g} makes more than {MAX_LINE_ROWS:,} rows"
            fail_at(("step",), "line_too_long", message)
        furthest = max(abs(self.start), abs(self.end))
        if abs(self.weight) * furthest + abs(self.bias) > FLOAT32_MAX:
            fail_at(("weight",), "line_overflow", "weight * x + bias leaves the range of float32")
        return self

    @property
    def rows(self) -> int:
        """How many x there are: ``torch.arange`` gives ceil((end - start) / step)."""
        return math.ceil((self.end - self.start) / self.step)

    @property
    def feature_count(self) -> int:
        return 1

    @property
    def target_count(self) -> int:
        return 1


def _depth(value: Any) -> str:
    """Tell a flat list from a list of rows by its first element."""
    first = value[0] if isinstance(value, list | tuple) and value else None
    return "rows" if isinstance(first, list | tuple) else "numbers"


def _rectangular(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    width = len(rows[0])
    if width == 0:
        fail_at((0,), "row_empty", "a row needs at least one number")
    for index, row in enumerate(rows):
        if len(row) != width:
            message = f"expected {width} numbers as in row 0, got {len(row)}"
            fail_at((index,), "ragged", message)
    return rows


_Numbers = Annotated[
    tuple[Number, ...], Field(strict=False, min_length=1, fail_fast=True), InSlices
]
_Rows = Annotated[
    tuple[Annotated[tuple[Number, ...], Field(strict=False, fail_fast=True), InSlices], ...],
    Field(strict=False, min_length=1, fail_fast=True),
    InSlices,
    AfterValidator(_rectangular),
]
Columns = Annotated[
    Annotated[_Numbers, Tag("numbers")] | Annotated[_Rows, Tag("rows")], Discriminator(_depth)
]
"""Either one number a row, or one list of numbers a row, all of one length."""


def width(columns: tuple[float, ...] | tuple[tuple[float, ...], ...]) -> int:
    """How many numbers a row holds."""
    first = columns[0]
    return len(first) if isinstance(first, tuple) else 1


class PointsSpec(Spec):
    """Points given in full: ``x`` has one number or one list of F numbers a row, ``y`` likewise."""

    source: Literal["points"] = "points"
    x: Columns
    y: Columns
    feature_names: Annotated[tuple[Name, ...], Field(strict=False, fail_fast=True)] | None = None
    """One name a feature; `x`, or `x1`, `x2`, … where none are given."""
    target_names: Annotated[tuple[Name, ...], Field(strict=False, fail_fast=True)] | None = None
    """One name a target; `y`, or `y1`, `y2`, … where none are given."""

    @model_validator(mode="after")
    def _fits_together(self) -> PointsSpec:
        if len(self.x) != len(self.y):
            message = f"x has {len(self.x)} rows, y has {len(self.y)}"
            fail_at(("y",), "rows_differ", message)
        for field, names, count in (
            ("feature_names", self.feature_names, self.feature_count),
            ("target_names", self.target_names, self.target_count),
        ):
            if names is None:
                continue
            if len(names) != count:
                fail_at((field,), "names_count", f"expected {count} names, got {len(names)}")
            if len(set(names)) != len(names):
                fail_at((field,), "names_repeat", "the names must differ from each other")
        return self

    @property
    def rows(self) -> int:
        return len(self.x)

    @property
    def feature_count(self) -> int:
        return width(self.x)

    @property
    def target_count(self) -> int:
        return width(self.y)


DataSpec = Annotated[LineSpec | PointsSpec | DatasetSpec, Field(discriminator="source")]
