"""What `manifest.json` of an artifact says, as pydantic types, and its parts as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field

from ml.data.scaling import Range, Scaling
from ml.errors import CorruptArtifactError
from ml.spec.exchange import RangeLists, ScalingLists, Strict
from ml.spec.model import ArchitectureSpec

MANIFEST = "manifest.json"


class FileEntry(Strict):
    sha256: str
    bytes: int


class TensorEntry(Strict):
    dtype: str
    shape: list[int]


class Manifest(Strict):
    """What `manifest.json` says."""

    format: Literal["refit-artifact"] = "refit-artifact"
    format_version: Literal[1] = 1
    architecture: ArchitectureSpec
    feature_names: Annotated[list[str], Field(min_length=1)]
    target_names: Annotated[list[str], Field(min_length=1)]
    categories: dict[str, list[str]] = Field(default_factory=dict)
    booleans: list[str] = Field(default_factory=list)
    scaling: ScalingLists | None
    range: RangeLists | None = None
    tensors: dict[str, TensorEntry]
    files: dict[str, FileEntry]


def describe(values: torch.Tensor) -> TensorEntry:
    return TensorEntry(dtype=str(values.dtype).removeprefix("torch."), shape=list(values.shape))


def scaling_to_lists(scaling: Scaling | None) -> ScalingLists | None:
    if scaling is None:
        return None
    return ScalingLists(**{name: values.tolist() for name, values in scaling.tensors().items()})


def scaling_from_lists(lists: ScalingLists | None, features: int, targets: int) -> Scaling | None:
    if lists is None:
        return None
    wanted = {"x_mean_F": features, "x_std_F": features, "y_mean_T": targets, "y_std_T": targets}
    return Scaling(**_tensors("scaling", lists, wanted))


def range_to_lists(range_: Range | None) -> RangeLists | None:
    if range_ is None:
        return None
    return RangeLists(x_min_F=range_.x_min_F.tolist(), x_max_F=range_.x_max_F.tolist())


def range_from_lists(lists: RangeLists | None, features: int) -> Range | None:
    if lists is None:
        return None
    return Range(**_tensors("range", lists, {"x_min_F": features, "x_max_F": features}))


def _tensors(
    field_name: str, lists: ScalingLists | RangeLists, wanted: Mapping[str, int]
) -> dict[str, torch.Tensor]:
    """Lists of the manifest as float64, once each has as many numbers as it should."""
    tensors = {}
    for name, count in wanted.items():
        values = getattr(lists, name)
        if len(values) != count:
            raise CorruptArtifactError(
                f"{field_name}.{name}: expected {count} numbers, got {len(values)}"
            )
        tensors[name] = torch.tensor(values, dtype=torch.float64)
    return tensors


def booleans_of(manifest: Manifest) -> tuple[str, ...]:
    """The features that are true or false, once each is found to be one that is no category."""
    names = manifest.booleans
    numbers = set(manifest.feature_names) - manifest.categories.keys()
    if len(set(names)) != len(names) or not numbers.issuperset(names):
        raise CorruptArtifactError(f"{MANIFEST}: booleans: expected features, each once")
    return tuple(names)


def categories_of(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The vocabularies, once each is found to be one of a feature."""
    if len(set(manifest.feature_names)) != len(manifest.feature_names):
        raise CorruptArtifactError(f"{MANIFEST}: feature_names: a name is there twice")
    for name, words in manifest.categories.items():
        if name not in manifest.feature_names or not words or len(set(words)) != len(words):
            raise CorruptArtifactError(f"{MANIFEST}: categories.{name}: no vocabulary of a feature")
    return {name: tuple(words) for name, words in manifest.categories.items()}
