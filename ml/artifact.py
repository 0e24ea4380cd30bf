"""The inference bundle at rest, and the tutorial's state_dict file.

An artifact is two files, the same bytes for the same bundle:

    model.safetensors   the state_dict under its own keys, float32
    manifest.json       architecture, names, categories, scaling, range of the training rows, and
                        size, sha256, shape and dtype of it all

Its id is the sha256 of the manifest, which holds the sha256 of the rest: the id vouches for every
bit. Nothing here runs code from a file.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import nn

from ml.data.encoding import Categories, encoded_names
from ml.data.scaling import Range, Scaling, relative_scaling
from ml.errors import (
    ArchitectureError,
    ArtifactError,
    CorruptArtifactError,
    InputError,
    MissingArtifactError,
    PluginError,
    UnknownArchitectureError,
)
from ml.manifest import (
    MANIFEST,
    FileEntry,
    Manifest,
    booleans_of,
    categories_of,
    describe,
    range_from_lists,
    range_to_lists,
    scaling_from_lists,
    scaling_to_lists,
)
from ml.models.architecture import StateDict
from ml.models.build import build_blank, can_fold, raw_state_dict
from ml.spec.architecture import ArchitectureBase
from ml.spec.model import not_installed

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Bundle:
    """All that a prediction needs. ``state`` is on the CPU, in the units of the training."""

    architecture: ArchitectureBase
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    scaling: Scaling | None
    state: StateDict
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Vocabulary of each feature that is text."""
    booleans: tuple[str, ...] = ()
    """Features that were true or false in the file they came from; 1 and 0 here."""
    range: Range | None = None
    """What the features held in training; None in artifacts of old."""

    @property
    def column_names(self) -> tuple[str, ...]:
        """A name for each number of a row as the module takes it: categories are one-hot."""
        return encoded_names(self.feature_names, self.categories)

    @property
    def units(self) -> Literal["raw", "standardized"]:
        """What the state_dict of ``raw_state`` takes and gives: an architecture that cannot fold
        the scaling into its parameters leaves them as they were trained."""
        return "raw" if self.scaling is None or can_fold(self.architecture) else "standardized"

    def raw_state(self) -> StateDict:
        """The state_dict that predicts raw y from raw x, where ``units`` are raw."""
        return raw_state_dict(self.architecture, self.state, self.scaling)

    def state_for(self, scaling: Scaling | None) -> StateDict:
        """The state_dict of the same predictions under another scaling; the parameters as they are
        where the architecture cannot fold a scaling."""
        relative = relative_scaling(self.scaling, scaling)
        return raw_state_dict(self.architecture, self.state, relative)

    def fits(self, other_architecture: ArchitectureBase, features: int, targets: int) -> bool:
        """Whether a training of that architecture and shape may start from this bundle."""
        shape = (len(self.column_names), len(self.target_names))
        return self.architecture == other_architecture and shape == (features, targets)


def encode(bundle: Bundle, header: dict[str, str] | None = None) -> dict[str, bytes]:
    """The files of an artifact by name; the same bundle gives the same bytes.

    ``header`` is put into that of the weights; `decode` passes over it.
    """
    state = {key: values.contiguous() for key, values in sorted(bundle.state.items())}
    weights = safetensors_save(state, header)
    manifest = Manifest(
        architecture=bundle.architecture,
        feature_names=list(bundle.feature_names),
        target_names=list(bundle.target_names),
        categories={name: list(words) for name, words in bundle.categories.items()},
        booleans=list(bundle.booleans),
        scaling=scaling_to_lists(bundle.scaling),
        range=range_to_lists(bundle.range),
        tensors={key: describe(values) for key, values in state.items()},
        files={WEIGHTS: FileEntry(sha256=hashlib.sha256(weights).hexdigest(), bytes=len(weights))},
    )
    text = json.dumps(manifest.model_dump(mode="json"), sort_keys=True, indent=1, allow_nan=False)
    return {WEIGHTS: weights, MANIFEST: text.encode()}


def artifact_id(files: Mapping[str, bytes]) -> str:
    """The sha256 of the manifest, as hex."""
    return hashlib.sha256(files[MANIFEST]).hexdigest()


def is_intact(files: Mapping[str, bytes], expected_id: str) -> bool:
    """Whether these are, bit by bit, the files of an artifact that `decode` has taken before: what
    it then made of them is what it would make of them now."""
    if not {MANIFEST, WEIGHTS} <= set(files) or artifact_id(files) != expected_id:
        return False
    wanted = json.loads(files[MANIFEST])["files"][WEIGHTS]["sha256"]
    return bool(hashlib.sha256(files[WEIGHTS]).hexdigest() == wanted)


def decode(files: Mapping[str, bytes], expected_id: str | None = None) -> Bundle:
    """The bundle of an artifact, after every check that needs no running of it.

    Raises:
        CorruptArtifactError: any byte, name, shape or dtype is not what the manifest (or, for the
            manifest, ``expected_id``) says.
        MissingArtifactError: a file is missing.
    """
    for name in (MANIFEST, WEIGHTS):
        if name not in files:
            raise MissingArtifactError(f"the artifact has no {name}")
    if expected_id is not None and artifact_id(files) != expected_id:
        raise CorruptArtifactError(f"{MANIFEST}: sha256 is not {expected_id}")
    try:
        manifest = Manifest.model_validate_json(files[MANIFEST])
    except ValidationError as error:
        first = error.errors()[0]
        if (first["loc"], first["type"]) == (("architecture",), "union_tag_invalid"):
            raise UnknownArchitectureError(not_installed(first["ctx"]["tag"])) from error
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise CorruptArtifactError(f"{MANIFEST}: {where}: {error.errors()[0]['msg']}") from error
    if set(manifest.files) != {WEIGHTS}:
        raise CorruptArtifactError(f"{MANIFEST}: files must list {WEIGHTS} and nothing else")
    weights = files[WEIGHTS]
    if hashlib.sha256(weights).hexdigest() != manifest.files[WEIGHTS].sha256:
        raise CorruptArtifactError(f"{WEIGHTS}: sha256 differs from the manifest's")
    try:
        state = safetensors_load(weights)
    except SafetensorError as error:
        raise CorruptArtifactError(f"{WEIGHTS}: {error}") from error
    categories = categories_of(manifest)
    booleans = booleans_of(manifest)
    features = len(encoded_names(manifest.feature_names, categories))
    targets = len(manifest.target_names)
    if {key: describe(values) for key, values in state.items()} != manifest.tensors:
        raise CorruptArtifactError(f"{WEIGHTS}: tensors differ from the manifest's")
    numbers = sum(values.numel() for values in state.values())
    if numbers < manifest.architecture.parameter_count(features, targets):
        # Before a module is made, which takes what memory the architecture says.
        raise CorruptArtifactError(f"{WEIGHTS}: fewer numbers than the architecture has")
    state = check_state(state, skeleton(manifest.architecture, features, targets))
    return Bundle(
        architecture=manifest.architecture,
        feature_names=tuple(manifest.feature_names),
        target_names=tuple(manifest.target_names),
        scaling=scaling_from_lists(manifest.scaling, features, targets),
        state=state,
        categories=categories,
        booleans=booleans,
        range=range_from_lists(manifest.range, features),
    )


def skeleton(architecture: ArchitectureBase, features: int, targets: int) -> nn.Module:
    """A module of that architecture to load a state_dict into; see `build_blank`.

    Raises:
        ArtifactError: it is of an installed package, and cannot be imported or made.
    """
    try:
        return build_blank(architecture, features, targets)
    except (PluginError, ArchitectureError) as error:
        raise ArtifactError(str(error)) from error


def frozen_module(bundle: Bundle, state: StateDict | None = None) -> nn.Module:
    """The module of ``bundle``, or the same with another ``state``, for predictions alone. Nothing
    is drawn for it: that would move torch's global generator."""
    net = skeleton(bundle.architecture, len(bundle.column_names), len(bundle.target_names))
    net.load_state_dict(bundle.state if state is None else state, assign=True)
    return net.eval().requires_grad_(False)


def check_state(state: object, module: nn.Module) -> StateDict:
    """``state`` in the order of ``module``, once it is shown to be a state_dict of it.

    `torch.load(weights_only=True)` is no fence: sparse or expanded tensors load, and the next
    product reads memory that is not there. Names, shapes, dtypes, layout and the bytes really
    present are compared before use.

    Raises:
        CorruptArtifactError: a name, shape, dtype or layout is not the module's, or a value is not
            finite.
    """
    wanted = module.state_dict()
    if not isinstance(state, dict) or set(state) != set(wanted):
        got = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
        raise CorruptArtifactError(f"expected the keys {sorted(wanted)}, got {got}")
    for key, values in state.items():
        model_values = wanted[key]
        check_dense(key, values)
        if values.shape != model_values.shape or values.dtype != model_values.dtype:
            wants = f"{model_values.dtype} of shape {tuple(model_values.shape)}"
            message = f"{key}: expected {wants}, got {values.dtype} of shape {tuple(values.shape)}"
            raise CorruptArtifactError(message)
        if not bool(values.isfinite().all()):
            raise CorruptArtifactError(f"{key}: holds a number that is not finite")
    return {key: state[key] for key in wanted}


def check_dense(key: str, values: torch.Tensor) -> None:
    """Check that a tensor has the layout, and all the bytes, that it seems to have.

    Raises:
        CorruptArtifactError: it has not.
    """
    if not _is_dense(values):
        raise CorruptArtifactError(f"{key}: expected a dense tensor")
    too_few = values.untyped_storage().nbytes() < values.numel() * values.element_size()
    if too_few or (0 in values.stride() and not values.is_contiguous()):
        raise CorruptArtifactError(f"{key}: fewer bytes than its shape needs")


def _is_dense(values: object) -> bool:
    """Whether ``values`` is an ordinary tensor on the CPU: no sparse, nested, meta or subclass."""
    return (
        isinstance(values, torch.Tensor)
        and type(values) in (torch.Tensor, nn.Parameter)
        and not values.is_nested
        and values.layout == torch.strided
        and values.device.type == "cpu"
    )


def save_state_dict(module: nn.Module, path: Path) -> None:
    """The tutorial's way: ``torch.save(module.state_dict(), path)``, with the folder made first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(state_dict_bytes(module.state_dict()))


def state_dict_bytes(state: StateDict) -> bytes:
    """The bytes of a `.pth` file that ``torch.load(weights_only=True)`` reads."""
    buffer = io.BytesIO()
    torch.save({key: values.detach().cpu() for key, values in state.items()}, buffer)
    return buffer.getvalue()


def safetensors_bytes(state: StateDict) -> bytes:
    """The bytes of a `.safetensors` file."""
    return safetensors_save({key: v.detach().cpu().contiguous() for key, v in state.items()})


def load_state_dict(module: nn.Module, path: Path) -> None:
    """Load a `.pth` file into a new instance of the class that was saved, without running code.

    Raises:
        MissingArtifactError: there is no such file.
        CorruptArtifactError: it is not a state_dict of ``module``.
    """
    if not path.is_file():
        raise MissingArtifactError(f"no file {path}")
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # the unpickler raises half a dozen unrelated classes
        reason = str(error).partition("\n")[0]
        raise CorruptArtifactError(f"{path.name} is no state_dict: {reason}") from error
    # A dict anew: a file may hang attributes on its own, such as `_metadata`, that torch obeys.
    module.load_state_dict(dict(check_state(state, module)))


def require_fit(
    bundle: Bundle,
    architecture: ArchitectureBase,
    features: int,
    targets: int,
    categories: Categories = MappingProxyType({}),
) -> None:
    """Check that a training may start from ``bundle``.

    Raises:
        InputError: another architecture or shape, or other words in a category.
    """
    if not bundle.fits(architecture, features, targets):
        has = f"{bundle.architecture.kind} with {len(bundle.column_names)} features"
        message = (
            f"cannot start from {has} and {len(bundle.target_names)} targets: this training is "
            f"{architecture.kind} with {features} and {targets}"
        )
        raise InputError(message)
    for name in {**bundle.categories, **categories}:
        if tuple(bundle.categories.get(name, ())) != tuple(categories.get(name, ())):
            # As many columns, that mean something else.
            raise InputError(f"cannot start from a model that knows other words in category {name}")
