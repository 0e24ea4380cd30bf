"""Rows of a dataset that was sent before: which columns, and what to do about text and gaps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, PrivateAttr, Tag, ValidationInfo, model_validator

from ml.datasets.profile import MAX_CATEGORIES, Column, Profile
from ml.spec.base import Name, Spec, fail_at

DATASETS = "datasets"
"""Key of the context of a validation: a function from the id of a dataset to its `Profile`."""

Names = Annotated[tuple[Name, ...], Field(strict=False, min_length=1, fail_fast=True)]


def _name_or_names(value: object) -> str:
    return "names" if isinstance(value, list | tuple) else "name"


class DatasetSpec(Spec):
    """Columns of a dataset. It is validated where datasets are known, and what was left out is
    filled in: see `DATASETS`."""

    source: Literal["dataset"] = "dataset"
    dataset: Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{32}$")]
    """Its id."""
    features: Names | None = None
    """Columns to predict from. Where not given: every column of numbers that is no target, and
    those named in `categories`."""
    target: Annotated[
        Annotated[Name, Tag("name")] | Annotated[Names, Tag("names")], Discriminator(_name_or_names)
    ]
    """The column to predict, or several."""
    categories: Annotated[tuple[Name, ...], Field(strict=False, fail_fast=True)] = ()
    """Features that hold text: each value of theirs becomes a feature of 0 or 1 (one-hot)."""
    missing: Literal["refuse", "drop"] = "refuse"
    """Where a cell is missing: refuse the training, or leave the row out."""

    _profile: Profile | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _is_known(self, info: ValidationInfo) -> DatasetSpec:
        find = (info.context or {}).get(DATASETS)
        if find is None:
            fail_at(("dataset",), "no_datasets", "datasets are known to the service only")
        profile: Profile = find(self.dataset)
        features = _choose(self, profile)
        _check_columns(self, features, profile)
        chosen = self.model_copy(update={"features": features})
        chosen._profile = profile
        return chosen

    @property
    def profile(self) -> Profile:
        """What the dataset holds."""
        assert self._profile is not None
        return self._profile

    @property
    def feature_names(self) -> tuple[str, ...]:
        assert self.features is not None
        return self.features

    @property
    def target_names(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """The values of each category, in the order of the features."""
        found = {}
        for name in self.feature_names:
            if name in self.categories:
                found[name] = self._column(name).vocabulary or ()
        return found

    @property
    def booleans(self) -> tuple[str, ...]:
        """Features that are true or false in the file."""
        return tuple(name for name in self.feature_names if self._column(name).type == "boolean")

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that are neither feature nor target."""
        used = {*self.feature_names, *self.target_names}
        return tuple(column.name for column in self.profile.columns if column.name not in used)

    @property
    def has_missing(self) -> bool:
        """Whether a cell of a column in use is missing."""
        used = (*self.feature_names, *self.target_names)
        return any(self._column(name).nulls for name in used)

    @property
    def rows(self) -> int:
        return self.profile.rows

    @property
    def feature_count(self) -> int:
        """Numbers of a row once its categories are encoded."""
        vocabularies = self.vocabularies
        encoded = sum(len(words) for words in vocabularies.values())
        return len(self.feature_names) - len(vocabularies) + encoded

    @property
    def target_count(self) -> int:
        return len(self.target_names)

    def _column(self, name: str) -> Column:
        column = self.profile.column(name)
        assert column is not None
        return column


def _choose(spec: DatasetSpec, profile: Profile) -> tuple[str, ...]:
    """The features asked for, or all that a model can take."""
    if spec.features is not None:
        return spec.features
    chosen = tuple(
        column.name
        for column in profile.columns
        if column.name not in spec.target_names
        and (column.is_numeric or column.name in spec.categories)
    )
    if not chosen:
        message = "no column of numbers is left beside the target; name text in `categories`"
        fail_at(("features",), "no_features", message)
    return chosen


def _check_columns(spec: DatasetSpec, features: tuple[str, ...], profile: Profile) -> None:
    fields = {"target": spec.target_names, "features": features, "categories": spec.categories}
    found: list[tuple[tuple[str | int, ...], Column]] = []
    for field, names in fields.items():
        for index, name in enumerate(names):
            alone = field == "target" and isinstance(spec.target, str)
            at: tuple[str | int, ...] = (field,) if alone else (field, index)
            if name in names[:index]:
                fail_at(at, "column_twice", f"column {name} is named twice")
            column = profile.column(name)
            if column is None:
                fail_at(at, "no_such_column", f"the dataset has no column {name}; {_has(profile)}")
            _check_role(spec, field, at, column, features)
            found.append((at, column))
    for at, column in found:
        if column.nulls and spec.missing == "refuse":
            message = f"{column.nulls:,} of the {profile.rows:,} cells of column {column.name} are "
            message += 'missing: send "missing": "drop" to leave their rows out'
            fail_at(at, "missing_cells", message)


def _has(profile: Profile) -> str:
    names = [column.name for column in profile.columns[:20]]
    more = len(profile.columns) - len(names)
    return f"it has {', '.join(names)}{f' and {more} more' if more else ''}"


def _check_role(
    spec: DatasetSpec,
    field: str,
    at: tuple[str | int, ...],
    column: Column,
    features: tuple[str, ...],
) -> None:
    """Whether ``column`` may be what ``field`` says it is."""
    name = column.name
    if field == "categories":
        if name not in features:
            fail_at(at, "no_feature", f"column {name} is not among the features")
        if column.type != "text":
            message = f"column {name} holds no text but the type {column.type}: send the file again"
            fail_at(at, "category_no_text", f"{message} with ?text={name} to read it as text")
        if column.vocabulary is None:
            message = f"column {name} has some {column.distinct:,} values: each would become a "
            message += f"feature, and at most {MAX_CATEGORIES:,} may"
            fail_at(at, "category_too_large", message)
    elif name in spec.target_names and field == "features":
        fail_at(at, "feature_is_target", f"column {name} is the target")
    elif not column.is_numeric and (field == "target" or name not in spec.categories):
        remedy = "turn them into numbers, such as days since the first"
        if column.type == "text":
            remedy = (
                "name it in `categories`" if field == "features" else "a target must be numbers"
            )
        kind = "dates" if column.type == "date" else "text"
        fail_at(at, "no_numbers", f"column {name} holds {kind}: {remedy}")
