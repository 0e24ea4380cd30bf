"""What a prediction takes and gives."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from ml.spec.base import InSlices, Number, check_field_count, fail_at
from service.schemas.jobs import Response


def _shape(x: Any) -> str:
    if not isinstance(x, list):
        return "number"
    return "rows" if x and isinstance(x[0], list) else "numbers"


X = Annotated[
    Annotated[Number, Tag("number")]
    | Annotated[list[Number], Field(min_length=1, fail_fast=True), InSlices, Tag("numbers")]
    | Annotated[
        list[Annotated[list[Number], Field(fail_fast=True), InSlices]],
        Field(min_length=1, fail_fast=True),
        InSlices,
        Tag("rows"),
    ],
    Discriminator(_shape),
]


MAX_FEATURES = 10_000
"""Fields of one row; bounded for the reason that `ml.spec.base.MAX_FIELDS` gives."""

MAX_TEXT = 1000
"""Characters of a category."""


def _kind_of_cell(cell: Any) -> str:
    if isinstance(cell, bool):
        return "boolean"
    return "text" if isinstance(cell, str) else "number"


Cell = Annotated[
    Annotated[Number, Tag("number")]
    | Annotated[bool, Tag("boolean")]
    | Annotated[str, Field(max_length=MAX_TEXT), Tag("text")],
    Discriminator(_kind_of_cell),
]
Row = Annotated[dict[str, Cell], BeforeValidator(lambda row: check_field_count(row, MAX_FEATURES))]


class PredictRequest(BaseModel):
    """Either `x` or `rows`."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {"x": [0.5, 0.6]},
                {"x": 0.5},
                {"x": [[1.0, 2.0], [3.0, 4.0]]},
                {"rows": [{"x": 0.5}]},
                {"x": [0.5, 60], "explain": True},
            ]
        },
    )

    x: X | None = None
    """One number; one number a row (one feature); or one list of F numbers a row."""
    rows: Annotated[list[Row], Field(min_length=1, fail_fast=True), InSlices] | None = None
    """One object a row, by feature name: a number, text where the feature is a category, true or
    false where it was that in the dataset."""
    explain: bool = False
    """Tell with each row whether it lies outside what was seen in training."""

    @model_validator(mode="before")
    @classmethod
    def _count_fields(cls, value: Any) -> Any:
        return check_field_count(value)

    @model_validator(mode="after")
    def _has_one_of_them(self) -> PredictRequest:
        if (self.x is None) == (self.rows is None):
            fail_at((), "x_or_rows", "expected either x or rows")
        return self


class PredictResponse(Response):
    """The predictions, and the one version that made all of them."""

    y: list[float] | list[list[float]]
    """One number a row for one target, one list of T numbers a row for several."""
    model: str
    version: int
    extrapolating: list[bool] | None = None
    """With `explain`: whether each row has a feature below or above all training rows. Left out
    otherwise, and where the version was made before ranges were kept."""
