"""The inference bundle at rest, and the tutorial's state_dict file."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load as safetensors_load
from torch import nn

from ml.artifact import (
    WEIGHTS,
    Bundle,
    artifact_id,
    decode,
    encode,
    load_state_dict,
    require_fit,
    safetensors_bytes,
    save_state_dict,
    state_dict_bytes,
)
from ml.data.scaling import Scaling
from ml.errors import CorruptArtifactError, InputError, MissingArtifactError
from ml.manifest import MANIFEST
from ml.models.build import build_model
from ml.predictor import Predictor
from ml.spec.model import LinearSpec, MlpSpec, ParametersSpec
from ml.training.fit import fit
from tests.ml import tutorial
from tests.ml.making import ARCHITECTURES, CPU, bundle, quick, scaling, spec

Spec = ParametersSpec | LinearSpec | MlpSpec


def _same(one: Bundle, other: Bundle) -> bool:
    """Whether two bundles are alike to the last bit."""
    statistics = [bundle.scaling.tensors() if bundle.scaling else {} for bundle in (one, other)]
    return (
        (one.architecture, one.feature_names, one.target_names)
        == (other.architecture, other.feature_names, other.target_names)
        and one.state.keys() == other.state.keys()
        and all(torch.equal(one.state[key], other.state[key]) for key in one.state)
        and all(one.state[key].dtype == other.state[key].dtype for key in one.state)
        and statistics[0].keys() == statistics[1].keys()
        and all(torch.equal(statistics[0][key], statistics[1][key]) for key in statistics[0])
    )


# ---- the two files ----


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("scaled", [None, scaling()])
def test_decode_gives_back_every_bit(architecture: Spec, scaled: Any) -> None:
    before = bundle(architecture, scaled=scaled)
    files = encode(before)
    after = decode(files, artifact_id(files))
    assert _same(before, after)
    x_N1 = torch.randn(30, 1)
    assert torch.equal(Predictor(after, CPU).predict(x_N1), Predictor(before, CPU).predict(x_N1))


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)
@quick
def test_any_number_and_any_name_comes_back(
    weights: list[float], statistics: list[float], name: str
) -> None:
    state = {
        "linear_layer.weight": torch.tensor([weights[:2]]),
        "linear_layer.bias": torch.tensor(weights[2:]),
    }
    x_mean, x_std, y_mean, y_std = (torch.tensor([v], dtype=torch.float64) for v in statistics)
    by = Scaling(x_mean.repeat(2), x_std.repeat(2), y_mean, y_std)
    before = Bundle(LinearSpec(), (name, name + "2"), ("y",), by, state)
    assert _same(decode(encode(before)), before)


def test_encode_gives_the_same_bytes() -> None:
    one, same = bundle(LinearSpec(), 3, 2, scaling(3, 2)), bundle(LinearSpec(), 3, 2, scaling(3, 2))
    assert encode(one) == encode(same)
    shuffled = Bundle(
        one.architecture,
        one.feature_names,
        one.target_names,
        one.scaling,
        dict(reversed(one.state.items())),
    )
    assert encode(shuffled) == encode(one)
    by_columns = {key: _by_columns(values) for key, values in one.state.items()}
    assert not by_columns["linear_layer.weight"].is_contiguous()
    assert encode(Bundle(LinearSpec(), *_names(3, 2), one.scaling, by_columns)) == encode(one)
    assert artifact_id(encode(one)) != artifact_id(encode(bundle(LinearSpec(), 3, 2)))


def _by_columns(values: torch.Tensor) -> torch.Tensor:
    return values.T.contiguous().T if values.dim() == 2 else values


def _names(features: int, targets: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(f"x{i}" for i in range(features)), tuple(f"y{i}" for i in range(targets))


def test_a_trained_bundle_is_the_same_bytes_each_time() -> None:
    assert encode(fit(spec(epochs=5)).bundle) == encode(fit(spec(epochs=5)).bundle)


def test_the_manifest_says_what_the_weights_hold() -> None:
    files = encode(bundle(LinearSpec(), 3, 2))
    manifest = json.loads(files[MANIFEST])
    assert manifest["tensors"] == {
        "linear_layer.weight": {"dtype": "float32", "shape": [2, 3]},
        "linear_layer.bias": {"dtype": "float32", "shape": [2]},
    }
    digest = hashlib.sha256(files[WEIGHTS]).hexdigest()
    assert manifest["files"] == {WEIGHTS: {"sha256": digest, "bytes": len(files[WEIGHTS])}}
    assert artifact_id(files) == hashlib.sha256(files[MANIFEST]).hexdigest()


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_every_flipped_bit_is_refused(name: str) -> None:
    files = encode(bundle(LinearSpec(), 2, 1, scaling(2, 1)))
    identity = artifact_id(files)
    whole = files[name]
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            with pytest.raises(CorruptArtifactError):
                decode({**files, name: bytes(flipped)}, identity)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_file_cut_short_or_made_longer_is_refused(name: str) -> None:
    files = encode(bundle(LinearSpec()))
    identity = artifact_id(files)
    for changed in (b"", files[name][:-1], files[name][1:], files[name] + b"\0"):
        with pytest.raises(CorruptArtifactError):
            decode({**files, name: changed}, identity)


def test_a_missing_file_is_named() -> None:
    files = encode(bundle(LinearSpec()))
    for name in (MANIFEST, WEIGHTS):
        rest = {key: value for key, value in files.items() if key != name}
        with pytest.raises(MissingArtifactError, match=f"no {name}"):
            decode(rest)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda spec: spec.kind)
def test_weights_of_another_artifact_are_refused(architecture: Spec) -> None:
    one, other = encode(bundle(architecture, seed=1)), encode(bundle(architecture, seed=2))
    for mixed in (
        {MANIFEST: one[MANIFEST], WEIGHTS: other[WEIGHTS]},
        {MANIFEST: other[MANIFEST], WEIGHTS: one[WEIGHTS]},
    ):
        with pytest.raises(CorruptArtifactError, match="sha256 differs"):
            decode(mixed)
    with pytest.raises(CorruptArtifactError, match="sha256 is not"):
        decode(other, artifact_id(one))


def _forged(change: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    """An artifact whose manifest was changed by someone who knows how."""
    files = encode(bundle(LinearSpec(), 2, 1, scaling(2, 1)))
    manifest = json.loads(files[MANIFEST])
    change(manifest)
    return {**files, MANIFEST: json.dumps(manifest).encode()}


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format_version=2),
        lambda m: m.update(format="other"),
        lambda m: m.update(comment="hello"),
        lambda m: m.pop("tensors"),
        lambda m: m["files"].update({"more.bin": m["files"][WEIGHTS]}),
        lambda m: m["files"].clear(),
        lambda m: m["files"].update({WEIGHTS: {"sha256": "0" * 64, "bytes": 1}}),
        lambda m: m.update(feature_names=["a"]),
        lambda m: m.update(feature_names=["a", "b", "c"]),
        lambda m: m.update(feature_names=[]),
        lambda m: m.update(target_names=["a", "b"]),
        lambda m: m.update(architecture={"kind": "parameters"}),
        lambda m: m.update(architecture={"kind": "mlp"}),
        lambda m: m["tensors"].pop("linear_layer.bias"),
        lambda m: m["tensors"].update(more={"dtype": "float32", "shape": []}),
        lambda m: m["tensors"]["linear_layer.bias"].update(shape=[2]),
        lambda m: m["tensors"]["linear_layer.bias"].update(dtype="float64"),
        lambda m: m["scaling"].update(x_mean_F=[1.0]),
        lambda m: m["scaling"].update(y_std_T=[1.0, 2.0]),
        lambda m: m["scaling"].update(y_std_T=["1"]),
        lambda m: m["scaling"].update(x_std_F=[float("nan"), 1.0]),
        lambda m: m["scaling"].pop("x_mean_F"),
    ],
)
def test_a_forged_manifest_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    assert decode(_forged(lambda manifest: None)).feature_names == ("x0", "x1")
    with pytest.raises(CorruptArtifactError):
        decode(_forged(change))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"1e999"])
def test_a_manifest_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(CorruptArtifactError, match=MANIFEST):
        decode({**encode(bundle(LinearSpec())), MANIFEST: text})


@pytest.mark.parametrize(
    "state",
    [
        {"linear_layer.weight": torch.zeros(1, 2), "linear_layer.bias": torch.zeros(1)},
        {"linear_layer.weight": torch.zeros(1, 1), "linear_layer.bias": torch.zeros(1).double()},
        {"linear_layer.weight": torch.zeros(1, 1)},
        {"weights": torch.zeros(1), "bias": torch.zeros(1)},
        {"linear_layer.weight": torch.tensor([[torch.nan]]), "linear_layer.bias": torch.zeros(1)},
        {"linear_layer.weight": torch.zeros(1, 1), "linear_layer.bias": torch.tensor([torch.inf])},
    ],
)
def test_a_state_that_is_not_the_architectures_is_refused(state: dict[str, torch.Tensor]) -> None:
    # Manifest and weights agree with each other, but not with the module.
    with pytest.raises(CorruptArtifactError):
        decode(encode(Bundle(LinearSpec(), ("x",), ("y",), None, state)))


def test_weights_that_are_no_safetensors_are_refused() -> None:
    files = _with_weights(b"not a tensor in sight")
    with pytest.raises(CorruptArtifactError, match=WEIGHTS):
        decode(files)


def test_a_safetensors_header_that_lies_about_its_length_is_refused() -> None:
    weights = encode(bundle(LinearSpec()))[WEIGHTS]
    for length in (0, 10**6, 2**63 - 1, 2**64 - 1):
        with pytest.raises(CorruptArtifactError, match=WEIGHTS):
            decode(_with_weights(length.to_bytes(8, "little") + weights[8:]))


def _with_weights(weights: bytes) -> dict[str, bytes]:
    """An artifact with a manifest that vouches for ``weights``."""
    files = encode(bundle(LinearSpec()))
    manifest = json.loads(files[MANIFEST])
    digest = hashlib.sha256(weights).hexdigest()
    manifest["files"][WEIGHTS] = {"sha256": digest, "bytes": len(weights)}
    return {MANIFEST: json.dumps(manifest).encode(), WEIGHTS: weights}


# ---- the tutorial's way ----

GOOD = {"linear_layer.weight": torch.full((2, 3), 0.5), "linear_layer.bias": torch.zeros(2)}


def _module() -> nn.Module:
    return build_model(LinearSpec(), features=3, targets=2)


def _saved(state: object, folder: Path) -> Path:
    path = folder / "model.pth"
    torch.save(state, path)
    return path


@pytest.mark.parametrize("kind", ["parameters", "linear"])
def test_a_saved_state_dict_loads_into_the_tutorials_own_class(kind: str, tmp_path: Path) -> None:
    fitted = fit(spec(architecture={"kind": kind}, epochs=30))
    model = build_model(fitted.bundle.architecture, 1, 1)
    model.load_state_dict(fitted.bundle.raw_state())
    path = tmp_path / "models" / "new" / "model.pth"
    save_state_dict(model.train(), path)
    loaded_model = tutorial.load(tutorial.CLASSES[kind], path)
    data = tutorial.Data()
    with torch.inference_mode():
        loaded_preds = loaded_model(data.X_test)
    y_preds = Predictor(fitted.bundle, CPU).predict(data.X_test)
    assert bool((loaded_preds == y_preds).all())
    assert len(y_preds) == 10


@pytest.mark.parametrize("kind", ["parameters", "linear"])
def test_the_tutorials_file_loads_into_our_class(kind: str, tmp_path: Path) -> None:
    theirs = tutorial.CLASSES[kind]()
    path = tmp_path / "01_pytorch_workflow_model_0.pth"
    torch.save(obj=theirs.state_dict(), f=path)
    ours = build_model(ParametersSpec() if kind == "parameters" else LinearSpec(), 1, 1)
    load_state_dict(ours, path)
    x_N1 = torch.randn(20, 1)
    assert torch.equal(ours(x_N1), theirs(x_N1))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda spec: spec.kind)
def test_a_new_instance_predicts_the_same(architecture: Spec, tmp_path: Path) -> None:
    state = bundle(architecture).state
    model, loaded = (build_model(architecture, 1, 1).eval() for _ in range(2))
    model.load_state_dict(state)
    save_state_dict(model, tmp_path / "model.pth")
    load_state_dict(loaded, tmp_path / "model.pth")
    x_N1 = torch.randn(20, 1)
    assert bool((loaded(x_N1) == model(x_N1)).all())


def test_state_dict_and_safetensors_bytes_hold_the_same_numbers(tmp_path: Path) -> None:
    state = bundle(LinearSpec(), 3, 2).state
    (tmp_path / "model.pth").write_bytes(state_dict_bytes(state))
    module = _module()
    load_state_dict(module, tmp_path / "model.pth")
    by_safetensors = safetensors_load(safetensors_bytes(state))
    for key, values in state.items():
        assert torch.equal(module.state_dict()[key], values)
        assert torch.equal(by_safetensors[key], values)


def _nested() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nested tensors are a prototype
        return torch.nested.nested_tensor([torch.zeros(3), torch.zeros(3)])


def _compressed() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CSR is in beta
        return torch.zeros(2, 3).to_sparse_csr()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.zeros(3, 2), r"expected torch.float32 of shape \(2, 3\)"),
        (lambda: torch.zeros(6), r"got torch.float32 of shape \(6,\)"),
        (lambda: torch.zeros(()), r"got torch.float32 of shape \(\)"),
        (lambda: torch.zeros(2, 3, dtype=torch.float64), "got torch.float64"),
        (lambda: torch.zeros(2, 3, dtype=torch.float16), "got torch.float16"),
        (lambda: torch.zeros(2, 3, dtype=torch.int32), "got torch.int32"),
        (lambda: torch.zeros(2, 3, dtype=torch.cfloat), "got torch.complex64"),
        (lambda: torch.zeros(2, 3).to_sparse(), "expected a dense tensor"),
        (_compressed, "expected a dense tensor"),
        (_nested, "expected a dense tensor"),
        (lambda: torch.zeros(2, 3, device="meta"), "expected a dense tensor"),
        (lambda: 0.5, "expected a dense tensor"),
        (lambda: [[0.5] * 3] * 2, "expected a dense tensor"),
        (lambda: None, "expected a dense tensor"),
        (lambda: torch.zeros(1, 1).expand(2, 3), "fewer bytes than its shape needs"),
        (lambda: torch.zeros(2, 1).expand(2, 3), "fewer bytes than its shape needs"),
        (lambda: torch.zeros(9).as_strided((2, 3), (0, 0)), "fewer bytes than its shape needs"),
        (lambda: torch.zeros(4).as_strided((2, 3), (1, 1)), "fewer bytes than its shape needs"),
        (lambda: torch.full((2, 3), torch.nan), "not finite"),
        (lambda: torch.full((2, 3), -torch.inf), "not finite"),
    ],
)
def test_a_tensor_that_is_not_the_modules_is_refused(
    make: Callable[[], object], message: str, tmp_path: Path
) -> None:
    module = _module()
    before = {key: values.clone() for key, values in module.state_dict().items()}
    path = _saved({**GOOD, "linear_layer.weight": make()}, tmp_path)
    with pytest.raises(CorruptArtifactError, match=message):
        load_state_dict(module, path)
    # Refused before anything is copied.
    assert all(torch.equal(module.state_dict()[key], before[key]) for key in before)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"linear_layer.weight": GOOD["linear_layer.weight"]},
        {**GOOD, "more": torch.zeros(1)},
        {"weights": torch.zeros(1), "bias": torch.zeros(1)},
        {1: torch.zeros(1)},
        [GOOD],
        "linear_layer.weight",
        None,
        torch.zeros(3),
    ],
)
def test_what_is_no_state_dict_of_the_module_is_refused(state: object, tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError, match="expected the keys"):
        load_state_dict(_module(), _saved(state, tmp_path))


def test_attributes_hung_on_the_dict_are_not_obeyed(tmp_path: Path) -> None:
    state = OrderedDict(GOOD)
    state._metadata = "not a dict"  # type: ignore[attr-defined]
    module = _module()
    load_state_dict(module, _saved(state, tmp_path))
    assert torch.equal(module.state_dict()["linear_layer.weight"], GOOD["linear_layer.weight"])


class _Command:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, zipped: bool, inside: bool) -> None:
    trace, path = tmp_path / "it ran", tmp_path / "model.pth"
    command = _Command(trace)
    state = {**GOOD, "linear_layer.weight": command} if inside else command
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CorruptArtifactError, match=r"model\.pth is no state_dict"):
        load_state_dict(_module(), path)
    assert not trace.exists()
    # The file is as dangerous as it is meant to be: without the fence, it does run.
    torch.load(path, weights_only=False)
    assert trace.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02.", b"hello", b"\0" * 1000])
def test_a_file_that_torch_cannot_read_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"model\.pth is no state_dict"):
        load_state_dict(_module(), path)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = _saved(GOOD, tmp_path)
    whole = path.read_bytes()
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        with pytest.raises(CorruptArtifactError):
            load_state_dict(_module(), path)


@pytest.mark.parametrize("name", ["nothing.pth", "."])
def test_no_file_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingArtifactError, match="no file"):
        load_state_dict(_module(), tmp_path / name)


def test_require_fit() -> None:
    of = bundle(LinearSpec(), 2, 1)
    require_fit(of, LinearSpec(), 2, 1)
    others: list[tuple[Spec, int, int]] = [
        (LinearSpec(), 1, 1),
        (LinearSpec(), 2, 2),
        (MlpSpec(), 2, 1),
    ]
    for architecture, features, targets in others:
        with pytest.raises(InputError, match="cannot start from linear with 2 features"):
            require_fit(of, architecture, features, targets)
    with pytest.raises(InputError, match="cannot start from mlp"):
        require_fit(bundle(MlpSpec(hidden=(4,))), MlpSpec(hidden=(5,)), 1, 1)
