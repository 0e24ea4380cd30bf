"""The figures of the columns, beside numpy's."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.datasets.distinct import DistinctCounter
from ml.datasets.moments import Moments
from ml.datasets.profile import MAX_CATEGORIES, Profile
from tests.ml.datasets.reading import column, quick, read


def test_figures_of_numbers(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(5, 3, 30_000).round(2)
    content = "x,b\n" + "".join(
        f"{value},{'true' if value > 5 else 'false'}\n,\n" for value in values
    )
    profile, _ = read(tmp_path, content)
    x = column(profile, "x")
    assert (x.min, x.max, x.nulls) == (values.min(), values.max(), 0)
    assert x.mean == pytest.approx(values.mean(), rel=1e-12)
    assert x.std == pytest.approx(values.std(), rel=1e-12)
    assert x.distinct == pytest.approx(len(np.unique(values)), rel=0.1)
    b = column(profile, "b")
    assert (b.type, b.min, b.max, b.distinct) == ("boolean", 0.0, 1.0, 2)
    assert b.mean == pytest.approx((values > 5).mean())


def test_a_small_spread_on_a_large_mean_is_kept(tmp_path: Path) -> None:
    values = [1e9 + (-1) ** i for i in range(40_000)]
    profile, _ = read(tmp_path, "a,b\n" + "".join(f"{value},1\n" for value in values))
    a = column(profile, "a")
    assert a.std == pytest.approx(1.0, rel=1e-9)
    assert a.mean == pytest.approx(1e9, rel=1e-15)


@pytest.mark.parametrize("value", ["0.1", "-3", "1e30", "3.4028234663852886e38", "0"])
def test_a_constant_column_has_no_spread_at_all(tmp_path: Path, value: str) -> None:
    profile, _ = read(tmp_path, "a,b\n" + f"{value},1\n" * 5_000)
    a = column(profile, "a")
    assert (a.std, a.distinct) == (0.0, 1)
    assert a.mean == a.min == a.max == float(value)


def test_extremes_of_float32_have_a_finite_spread(tmp_path: Path) -> None:
    profile, _ = read(tmp_path, "a,b\n3.4e38,1\n-3.4e38,2\n")
    assert column(profile, "a").std == pytest.approx(3.4e38)


def test_vocabularies_are_in_order_of_code_points_and_bounded(tmp_path: Path) -> None:
    words = [f"w{i}" for i in range(MAX_CATEGORIES)]
    some = "é,z,Z,a,10,9\n".strip().split(",")
    content = "all,some\n" + "".join(
        f"{word},{some[i % len(some)]}\n" for i, word in enumerate(words)
    )
    profile, _ = read(tmp_path, content, text=("some",))
    assert column(profile, "some").vocabulary == ("10", "9", "Z", "a", "z", "é")
    assert column(profile, "all").vocabulary == tuple(sorted(words))
    profile, _ = read(tmp_path, content + "one more,a\n", text=("some",))
    several = column(profile, "all")
    assert several.vocabulary is None
    assert several.distinct == MAX_CATEGORIES + 1
    assert (several.min, several.max) == ("one more", "w999")


def test_long_texts_are_no_categories_and_are_shown_short(tmp_path: Path) -> None:
    profile, _ = read(tmp_path, "t,x\n" + "a" * 10_000 + ",1\n")
    t = column(profile, "t")
    assert (t.vocabulary, t.min, t.distinct) == (None, "a" * 128, 1)


def test_the_profile_survives_json(tmp_path: Path) -> None:
    profile, _ = read(tmp_path, "n,t,d,e\n1.5,x,2024-01-31,\n2,y,,\n")
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=20), max_size=8))
@quick
def test_moments_of_parts_are_those_of_the_whole(parts: list[list[float]]) -> None:
    moments = Moments()
    for part in parts:
        values = np.array(part)
        if part:
            moments.add(len(part), values.min(), values.max(), values.mean(), values.std())
    whole = np.array([value for part in parts for value in part])
    if len(whole):
        assert moments.exact_mean() == pytest.approx(whole.mean(), abs=1e-6)
        assert moments.std() == pytest.approx(whole.std(), abs=1e-6)


def count(parts: Iterable[pl.Series]) -> int:
    """Distinct values of the parts."""
    counter = DistinctCounter()
    for part in parts:
        counter.add(counter.few(part.drop_nulls()))
    return counter.count()


def pieces(values: pl.Series, rows: int) -> list[pl.Series]:
    return [values.slice(start, rows) for start in range(0, len(values), rows)]


@given(
    st.lists(st.none() | st.integers(-300, 300).map(float), max_size=400),
    st.integers(1, 50),
    st.sampled_from([pl.Float64, pl.Boolean, pl.String, pl.Datetime("us")]),
)
@quick
def test_few_distinct_values_are_counted(
    values: list[float | None], rows: int, dtype: pl.DataType
) -> None:
    series = pl.Series(values, dtype=pl.Float64).cast(dtype)
    assert count(pieces(series, rows)) == len(set(series.drop_nulls().to_list()))


@pytest.mark.parametrize("most", [1_000, 2_047])
def test_the_count_is_exact_as_far_as_is_said(most: int) -> None:
    values = pl.Series([0.1 * i for i in range(most)] * 30).shuffle(seed=0)
    assert count(pieces(values, 5_000)) == most


@pytest.mark.parametrize("step", [1.0, 0.01, 1e15, 60.0, math.pi])
def test_many_distinct_numbers_are_estimated(step: float) -> None:
    values = np.arange(200_000) * step
    parts = np.split(np.concatenate([values, -values, values]), 20)
    assert count(map(pl.Series, parts)) == pytest.approx(2 * len(values) - 1, rel=0.08)


def test_zero_is_one_value() -> None:
    assert count([pl.Series([0.0, -0.0]), pl.Series([-0.0])]) == 1


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 3000), max_size=4), st.integers(0, 99))
@quick
def test_few_hashes_are_those_below_the_threshold(most: int, sizes: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    chunks = [pl.Series(generator.normal(size=10 * size)) for size in sizes]
    values = pl.concat([pl.Series([], dtype=pl.Float64), *chunks], rechunk=False)
    counter = DistinctCounter()
    counter.threshold = most
    wanted = [h for chunk in chunks for h in chunk.hash().to_list() if h <= most]
    assert counter.few(values).to_list() == wanted


@pytest.mark.parametrize("step", [1.0, 0.01, 1024.0, 86400e6, 1 / 3])
def test_evenly_spaced_numbers_are_estimated_as_well(step: float) -> None:
    values = pl.Series(np.arange(1_000_000) * step)
    assert abs(count(pieces(values, 65_536)) - 1_000_000) < 100_000
