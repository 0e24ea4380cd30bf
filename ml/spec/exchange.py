"""What is said of a model beside its tensors, by a manifest or by who brings the model in."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml.spec.base import Name, Spec, fail_at
from ml.spec.model import ArchitectureSpec

MAX_NAMES = 10_000
"""Features, or targets: their names stand in the row of every version."""


class Strict(BaseModel):
    """Lists of a manifest, as they were written."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ScalingLists(Strict):
    """Means and deviations that the module's x and y were standardized by."""

    x_mean_F: list[float]
    x_std_F: list[float]
    y_mean_T: list[float]
    y_std_T: list[float]


class RangeLists(Strict):
    """Least and greatest value of each feature in training."""

    x_min_F: list[float]
    x_max_F: list[float]


Names = Annotated[
    tuple[Name, ...], Field(strict=False, min_length=1, max_length=MAX_NAMES, fail_fast=True)
]
Words = Annotated[tuple[str, ...], Field(strict=False, min_length=1, fail_fast=True)]


class ImportSpec(Spec):
    """What a state_dict that is brought in does not say of itself."""

    architecture: ArchitectureSpec
    """The family of modules that the state_dict belongs to, with all its fields."""
    feature_names: Names | None = None
    """One name a feature; `x`, or `x1`, `x2`, … where none are given."""
    target_names: Names | None = None
    """One name a target; `y`, or `y1`, `y2`, … where none are given."""
    categories: dict[Name, Words] = Field(default_factory=dict)
    """The values of each feature that is text: the module has an input for each of them."""
    booleans: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    """Features that are true or false to clients, and 1 and 0 to the module."""
    scaling: ScalingLists | None = None
    """Where the module takes and gives standardized values; clients speak raw units all the
    same."""
    range: RangeLists | None = None
    """What the features held in training; without, nothing is known to lie outside of it."""

    @model_validator(mode="after")
    def _fits_together(self) -> ImportSpec:
        for field, names in (
            ("feature_names", self.feature_names),
            ("target_names", self.target_names),
            ("booleans", self.booleans),
        ):
            if names is not None and len(set(names)) != len(names):
                fail_at((field,), "names_repeat", "the names must differ from each other")
        numbers = set(self.feature_names or ())
        for place, (name, words) in enumerate(self.categories.items()):
            if name not in numbers:
                message = f"category {place} is none of the feature_names"
                fail_at(("categories",), "no_feature", message)
            if len(set(words)) != len(words):
                fail_at(("categories", name), "words_repeat", "the values must differ")
        if not (numbers - self.categories.keys()).issuperset(self.booleans):
            fail_at(("booleans",), "no_feature", "expected features that are no category")
        self._check_statistics()
        return self

    def _check_statistics(self) -> None:
        if self.scaling is not None:
            for field in ("x_std_F", "y_std_T"):
                if not all(value > 0 for value in getattr(self.scaling, field)):
                    fail_at(("scaling", field), "not_positive", "expected numbers above 0")
        if self.range is not None:
            low, high = self.range.x_min_F, self.range.x_max_F
            if len(low) != len(high) or any(a > b for a, b in zip(low, high, strict=True)):
                message = "expected as many numbers as x_min_F has, none of them smaller"
                fail_at(("range", "x_max_F"), "not_a_range", message)
