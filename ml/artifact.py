"""The inference bundle at rest, and the tutorial's state_dict file.

An artifact is two files, the same bytes for the same bundle:

    model.safetensors   the state_dict under its own keys, float32
    manifest.json       architecture, names, scaling, and size, sha256, shape and dtype of it all

Its id is the sha256 of the manifest, which holds the sha256 of the rest: the id vouches for every
bit. Nothing here runs code from a file.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import nn

from ml.data.scaling import Scaling, relative_scaling
from ml.errors import CorruptArtifactError, InputError, MissingArtifactError
from ml.models.architecture import StateDict
from ml.models.build import build_model, raw_state_dict
from ml.spec.model import ArchitectureSpec, LinearSpec, MlpSpec, ParametersSpec

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Bundle:
    """All that a prediction needs. ``state`` is on the CPU, in the units of the training."""

    architecture: ParametersSpec | LinearSpec | MlpSpec
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    scaling: Scaling | None
    state: StateDict

    def raw_state(self) -> StateDict:
        """The state_dict that predicts raw y from raw x."""
        return raw_state_dict(self.architecture, self.state, self.scaling)

    def state_for(self, scaling: Scaling | None) -> StateDict:
        """The state_dict of the same predictions under another scaling."""
        relative = relative_scaling(self.scaling, scaling)
        return raw_state_dict(self.architecture, self.state, relative)

    def fits(self, other_architecture: ArchitectureSpec, features: int, targets: int) -> bool:
        """Whether a training of that architecture and shape may start from this bundle."""
        shape = (len(self.feature_names), len(self.target_names))
        return self.architecture == other_architecture and shape == (features, targets)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _File(_Strict):
    sha256: str
    bytes: int


class _Tensor(_Strict):
    dtype: str
    shape: list[int]


class _Scaling(_Strict):
    x_mean_F: list[float]
    x_std_F: list[float]
    y_mean_T: list[float]
    y_std_T: list[float]


class Manifest(_Strict):
    """What `manifest.json` says."""

    format: Literal["refit-artifact"] = "refit-artifact"
    format_version: Literal[1] = 1
    architecture: ArchitectureSpec
    feature_names: Annotated[list[str], Field(min_length=1)]
    target_names: Annotated[list[str], Field(min_length=1)]
    scaling: _Scaling | None
    tensors: dict[str, _Tensor]
    files: dict[str, _File]


def encode(bundle: Bundle) -> dict[str, bytes]:
    """The files of an artifact by name; the same bundle gives the same bytes."""
    state = {key: values.contiguous() for key, values in sorted(bundle.state.items())}
    weights = safetensors_save(state)
    manifest = Manifest(
        architecture=bundle.architecture,
        feature_names=list(bundle.feature_names),
        target_names=list(bundle.target_names),
        scaling=_scaling_to_lists(bundle.scaling),
        tensors={key: _describe(values) for key, values in state.items()},
        files={WEIGHTS: _File(sha256=hashlib.sha256(weights).hexdigest(), bytes=len(weights))},
    )
    text = json.dumps(manifest.model_dump(mode="json"), sort_keys=True, indent=1, allow_nan=False)
    return {WEIGHTS: weights, MANIFEST: text.encode()}


def artifact_id(files: Mapping[str, bytes]) -> str:
    """The sha256 of the manifest, as hex."""
    return hashlib.sha256(files[MANIFEST]).hexdigest()


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
    features, targets = len(manifest.feature_names), len(manifest.target_names)
    if {key: _describe(values) for key, values in state.items()} != manifest.tensors:
        raise CorruptArtifactError(f"{WEIGHTS}: tensors differ from the manifest's")
    state = check_state(state, skeleton(manifest.architecture, features, targets))
    return Bundle(
        architecture=manifest.architecture,
        feature_names=tuple(manifest.feature_names),
        target_names=tuple(manifest.target_names),
        scaling=_scaling_from_lists(manifest.scaling, features, targets),
        state=state,
    )


def skeleton(architecture: ArchitectureSpec, features: int, targets: int) -> nn.Module:
    """The module of that architecture on the meta device: names and shapes without memory."""
    with torch.device("meta"):
        return build_model(architecture, features, targets)


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
        if not _is_dense(values):
            raise CorruptArtifactError(f"{key}: expected a dense tensor")
        if values.shape != model_values.shape or values.dtype != model_values.dtype:
            wants = f"{model_values.dtype} of shape {tuple(model_values.shape)}"
            message = f"{key}: expected {wants}, got {values.dtype} of shape {tuple(values.shape)}"
            raise CorruptArtifactError(message)
        too_few = values.untyped_storage().nbytes() < values.numel() * values.element_size()
        if too_few or (0 in values.stride() and not values.is_contiguous()):
            raise CorruptArtifactError(f"{key}: fewer bytes than its shape needs")
        if not bool(values.isfinite().all()):
            raise CorruptArtifactError(f"{key}: holds a number that is not finite")
    return {key: state[key] for key in wanted}


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
    bundle: Bundle, architecture: ArchitectureSpec, features: int, targets: int
) -> None:
    """Check that a training may start from ``bundle``.

    Raises:
        InputError: another architecture or shape.
    """
    if not bundle.fits(architecture, features, targets):
        has = f"{bundle.architecture.kind} with {len(bundle.feature_names)} features"
        message = (
            f"cannot start from {has} and {len(bundle.target_names)} targets: this training is "
            f"{architecture.kind} with {features} and {targets}"
        )
        raise InputError(message)


def _describe(values: torch.Tensor) -> _Tensor:
    return _Tensor(dtype=str(values.dtype).removeprefix("torch."), shape=list(values.shape))


def _scaling_to_lists(scaling: Scaling | None) -> _Scaling | None:
    if scaling is None:
        return None
    return _Scaling(**{name: values.tolist() for name, values in scaling.tensors().items()})


def _scaling_from_lists(lists: _Scaling | None, features: int, targets: int) -> Scaling | None:
    if lists is None:
        return None
    wanted = {"x_mean_F": features, "x_std_F": features, "y_mean_T": targets, "y_std_T": targets}
    tensors = {}
    for name, count in wanted.items():
        values = getattr(lists, name)
        if len(values) != count:
            raise CorruptArtifactError(
                f"scaling.{name}: expected {count} numbers, got {len(values)}"
            )
        tensors[name] = torch.tensor(values, dtype=torch.float64)
    return Scaling(**tensors)
