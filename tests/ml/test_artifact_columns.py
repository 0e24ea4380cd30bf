"""What an artifact says of its columns: categories, booleans, and the range seen in training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml.artifact import Bundle, artifact_id, decode, encode, require_fit
from ml.data.scaling import Range
from ml.errors import CorruptArtifactError, InputError
from ml.manifest import MANIFEST
from ml.predictor import Predictor
from ml.spec.model import LinearSpec, MlpSpec
from tests.ml.making import CPU, bundle, quick, scaling

Change = Callable[[dict[str, Any]], None]

WORDS = ("blue", "green", "red")


def _houses() -> Bundle:
    """Features `x0` (a number), `x1` (a colour), `x2` (true or false); five columns."""
    of_columns = bundle(LinearSpec(), 5, 1, scaling(5, 1))
    low = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    high = torch.tensor([9.0, 1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    return replace(
        of_columns,
        feature_names=("x0", "x1", "x2"),
        categories={"x1": WORDS},
        booleans=("x2",),
        range=Range(low, high),
    )


def _forged(change: Change) -> dict[str, bytes]:
    """An artifact whose manifest was changed by someone who knows how."""
    files = encode(_houses())
    manifest = json.loads(files[MANIFEST])
    change(manifest)
    return {**files, MANIFEST: json.dumps(manifest).encode()}


def test_categories_booleans_and_range_come_back_bit_by_bit() -> None:
    before = _houses()
    files = encode(before)
    after = decode(files, artifact_id(files))
    assert (after.categories, after.booleans) == ({"x1": WORDS}, ("x2",))
    assert after.column_names == ("x0", "x1=blue", "x1=green", "x1=red", "x2")
    assert after.range is not None
    assert before.range is not None
    assert torch.equal(after.range.x_min_F, before.range.x_min_F)
    assert torch.equal(after.range.x_max_F, before.range.x_max_F)
    assert encode(after) == files
    x_NF = torch.eye(5)
    assert torch.equal(Predictor(after, CPU).predict(x_NF), Predictor(before, CPU).predict(x_NF))


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5, unique=True
    ),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=5, max_size=5),
)
@quick
def test_any_word_and_any_range_comes_back(words: list[str], limits: list[float]) -> None:
    of_columns = bundle(MlpSpec(hidden=(2,)), len(words))
    limits_F = torch.tensor(limits[: len(words)], dtype=torch.float64)
    before = replace(
        of_columns,
        feature_names=("a",),
        categories={"a": tuple(words)},
        range=Range(limits_F, limits_F),
    )
    after = decode(encode(before))
    assert after.categories == before.categories
    assert after.range is not None
    assert torch.equal(after.range.x_min_F, limits_F)


def test_the_order_of_the_features_is_kept_whatever_their_names() -> None:
    of_columns = bundle(LinearSpec(), 4)
    before = replace(
        of_columns,
        feature_names=("z", "b", "a"),
        categories={"z": ("no", "yes"), "a": ("only",)},
    )
    after = decode(encode(before))
    assert after.column_names == ("z=no", "z=yes", "b", "a=only") == before.column_names


def test_an_artifact_of_before_there_were_categories_loads() -> None:
    files = encode(bundle(LinearSpec(), 2))
    manifest = json.loads(files[MANIFEST])
    for later in ("categories", "booleans", "range"):
        del manifest[later]
    old = decode({**files, MANIFEST: json.dumps(manifest).encode()})
    assert (old.categories, old.booleans, old.range) == ({}, (), None)
    assert old.column_names == old.feature_names == ("x0", "x1")
    assert Predictor(old, CPU).extrapolates(torch.tensor([[1e30, 0.0]])) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["range"].update(x_min_F=[0.0]),
        lambda m: m["range"].update(x_max_F=[0.0] * 6),
        # As many as there are features, where there must be as many as columns.
        lambda m: m["range"].update(x_min_F=[0.0] * 3, x_max_F=[1.0] * 3),
        lambda m: m["range"].update(x_min_F=[float("nan")] * 5),
        lambda m: m["range"].update(x_max_F=[float("inf")] * 5),
        lambda m: m["range"].update(x_max_F=["1"] * 5),
        lambda m: m["range"].pop("x_max_F"),
        lambda m: m["range"].update(more=[]),
        lambda m: m["scaling"].update(x_mean_F=[0.0] * 3),
        lambda m: m.update(categories={"colour": list(WORDS)}),
        lambda m: m.update(categories={"y0": list(WORDS)}),
        lambda m: m.update(categories={"x1": [*WORDS, "pink"]}),
        lambda m: m.update(categories={"x1": list(WORDS[:2])}),
        lambda m: m.update(categories={"x1": ["red", "red", "blue"]}),
        lambda m: m.update(categories={"x1": list(WORDS), "x0": []}),
        lambda m: m.update(categories={"x1": [1, 2, 3]}),
        lambda m: m.update(categories={"x1": "red"}),
        lambda m: m.update(categories=None),
        lambda m: m.update(categories={}),
        lambda m: m.update(booleans=["nobody"]),
        lambda m: m.update(booleans=["y0"]),
        lambda m: m.update(booleans=["x2", "x2"]),
        # A feature is one or the other.
        lambda m: m.update(booleans=["x1"]),
        lambda m: m.update(booleans="x2"),
        # A row by name could not give both.
        lambda m: m.update(feature_names=["x0", "x1", "x0"], booleans=[]),
    ],
)
def test_a_forged_manifest_is_refused(change: Change) -> None:
    assert decode(_forged(lambda manifest: None)).booleans == ("x2",)
    with pytest.raises(CorruptArtifactError):
        decode(_forged(change))


def test_a_training_starts_from_the_same_words_only() -> None:
    houses = _houses()
    require_fit(houses, LinearSpec(), 5, 1, {"x1": WORDS})
    # A list as it comes from JSON is no other vocabulary.
    require_fit(houses, LinearSpec(), 5, 1, {"x1": list(WORDS)})
    others: list[dict[str, tuple[str, ...]]] = [
        {"x1": ("blue", "green", "pink")},
        {"x1": ("green", "blue", "red")},
        {"x0": WORDS},
        {},
    ]
    for categories in others:
        with pytest.raises(InputError, match="knows other words in category x"):
            require_fit(houses, LinearSpec(), 5, 1, categories)
    with pytest.raises(InputError, match="knows other words in category x1"):
        require_fit(bundle(LinearSpec(), 5), LinearSpec(), 5, 1, {"x1": WORDS})


def test_the_same_count_of_other_words_is_no_less_an_artifact() -> None:
    # Nothing in the file could tell: that the id vouches for the manifest is what keeps them.
    other = _forged(lambda m: m.update(categories={"x1": ["a", "b", "c"]}))
    assert decode(other).categories == {"x1": ("a", "b", "c")}
    with pytest.raises(CorruptArtifactError, match="sha256 is not"):
        decode(other, artifact_id(encode(_houses())))
