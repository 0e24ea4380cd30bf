"""An artifact as one file, and back: the same to the last bit."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save as safetensors_save

from ml.artifact import Bundle, artifact_id, decode, encode
from ml.data.scaling import Range
from ml.errors import ExchangeError
from ml.exchange.brought import bundle_of
from ml.exchange.onefile import KEY, describe, pack, unpack
from ml.spec.architecture import ArchitectureBase
from ml.spec.exchange import ImportSpec
from ml.spec.model import LinearSpec, ParametersSpec
from tests.ml.making import ARCHITECTURES, bundle, scaling


def unpacked(content: bytes) -> Bundle:
    file = unpack(content)
    assert file.described is not None
    return bundle_of(ImportSpec.model_validate_json(file.described), file.state)


def whole(architecture: ArchitectureBase) -> Bundle:
    """A bundle in which everything is said that can be."""
    wide = not isinstance(architecture, ParametersSpec)
    features, targets = (4, 2) if wide else (1, 1)
    made = bundle(architecture, features, targets, scaling(features, targets))  # type: ignore[arg-type]
    low_F = torch.linspace(-1 / 3, 1e-300, features, dtype=torch.float64)
    told = dataclasses.replace(made, range=Range(low_F, low_F + 1 / 7))
    if not wide:
        return told
    words = {"colour": ("ä|b", "")}
    names = ("colour", "is new", "a`b")
    return dataclasses.replace(told, feature_names=names, categories=words, booleans=("is new",))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda spec: spec.kind)
def test_a_bundle_comes_back_as_the_same_artifact(architecture: ArchitectureBase) -> None:
    made = whole(architecture)
    content = pack(made)
    back = unpacked(content)
    assert artifact_id(encode(back)) == artifact_id(encode(made))
    assert pack(back) == content


def test_the_file_stands_in_an_artifact_as_the_weights() -> None:
    made = whole(LinearSpec())
    files = encode(made, {KEY: describe(made)})
    assert files["model.safetensors"] == pack(made)
    assert artifact_id(encode(decode(files))) == artifact_id(encode(made))


def test_a_bare_file_says_nothing_of_itself() -> None:
    state = {"weights": torch.ones(1)}
    assert unpack(safetensors_save(state)).described is None
    assert unpack(safetensors_save(state, {"format": "pt"})).described is None


def test_what_is_no_safetensors_file_is_refused() -> None:
    for content in (
        b"",
        b"\0" * 7,
        b"\xff" * 64,
        pack(whole(LinearSpec()))[:-1],
        b"\x02\0\0\0\0\0\0\0[]",
    ):
        with pytest.raises(ExchangeError, match="expected a safetensors file"):
            unpack(content)


def test_numbers_that_are_missing_are_told_before_a_module_is_made() -> None:
    spec = ImportSpec.model_validate(
        {
            "architecture": {"kind": "mlp", "hidden": [10**9, 10**9]},
            "feature_names": ["x"],
            "target_names": ["y"],
        }
    )
    with pytest.raises(ExchangeError, match="holds 1 numbers, fewer than mlp has for 1 features"):
        bundle_of(spec, {"output.bias": torch.ones(1)})
