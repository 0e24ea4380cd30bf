"""Figures of many columns at once are those of each column by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.datasets import many, tally
from ml.datasets.columns import ColumnTally, Look, UnfitError
from ml.datasets.many import look_at_many
from tests.ml.datasets.reading import quick, read

cell = st.none() | st.floats(-1e6, 1e6) | st.integers(-5, 5).map(float)
rows = st.integers(1, 12).flatmap(lambda n: st.lists(st.lists(cell, min_size=n, max_size=n)))


@given(rows.filter(bool), st.lists(st.integers(0, 64), min_size=1, max_size=9), st.integers(1, 30))
@quick
def test_a_look_at_many_finds_what_a_look_at_each_does(
    columns: list[list[float | None]], bits: list[int], cells: int
) -> None:
    tallies = []
    for place in range(len(columns)):
        one = ColumnTally(f"^c{place}$", "integer" if place % 2 else "number")
        one._distinct.threshold = 2 ** bits[place % len(bits)] - 1
        tallies.append(one)
    # As the parts of a file come: in several chunks.
    series = [
        pl.concat(
            [
                pl.Series(t._name, values[:3], pl.Float64),
                pl.Series(t._name, values[3:], pl.Float64),
            ],
            rechunk=False,
        )
        for t, values in zip(tallies, columns, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many, "_CELLS", cells)
        looks = look_at_many(tallies, series)
    for one, values, look in zip(tallies, series, looks, strict=True):
        wanted = one.look(values)
        assert (look.nulls, look.least, look.most) == (wanted.nulls, wanted.least, wanted.most)
        assert look.is_whole == wanted.is_whole
        assert (look.moments is None) == (wanted.moments is None)
        if look.moments is not None:
            assert look.moments == pytest.approx(wanted.moments, rel=1e-9, abs=1e-6)
        # Columns that share a threshold may pass on more hashes than they must, and no others.
        assert set(wanted.hashes) <= set(look.hashes) <= set(values.alias("c").drop_nulls().hash())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1e39, 1e39])
def test_a_cell_that_no_model_can_use(bad: float) -> None:
    tallies = [ColumnTally(name, "number") for name in "abc"]
    columns = [pl.Series([1.0, 2.0]), pl.Series([1.0, bad]), pl.Series([None, 2.0])]
    with pytest.raises(UnfitError):
        look_at_many(tallies, columns)


def wide(generator: np.random.Generator) -> str:
    """80 columns of 6,000 rows: numbers, integers, few values, gaps, a text, a date, a boolean."""
    count = 6_000
    found: dict[str, object] = {}
    for place in range(20):
        found[f"n{place}"] = generator.normal(place, 1 + place, count).round(6)
        found[f"i{place}"] = generator.integers(-50 * place, 50 * place + 1, count)
        found[f"few{place}"] = generator.integers(0, 3, count) / 2
        gaps = pl.Series(generator.normal(size=count).round(3))
        found[f"g{place}"] = gaps.set(pl.Series(generator.random(count) < 0.3), None)
    found["t"] = generator.choice(["x", "y"], count)
    found["d"] = ["2024-01-31"] * count
    found["b"] = generator.random(count) < 0.5
    return pl.DataFrame(found).write_csv()


def test_a_wide_file_has_the_profile_it_would_have_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = wide(np.random.default_rng(0))
    asked = []

    def counted(tallies: list[ColumnTally], columns: list[pl.Series]) -> list[Look]:
        asked.append(len(columns))
        return look_at_many(tallies, columns)

    monkeypatch.setattr(tally, "look_at_many", counted)
    together, rows_together = read(tmp_path, content)
    assert set(asked) == {80}
    monkeypatch.setattr(tally, "_MANY", 1_000)
    apart, rows_apart = read(tmp_path, content)
    assert rows_together == rows_apart
    for one, other in zip(together.columns, apart.columns, strict=True):
        figures = (one.mean, one.std)
        if one.mean is not None:
            assert figures == pytest.approx((other.mean, other.std), rel=1e-9, abs=1e-12)
        same = (one.name, one.type, one.nulls, one.min, one.max, one.vocabulary)
        assert same == (other.name, other.type, other.nulls, other.min, other.max, other.vocabulary)
        assert one.distinct == pytest.approx(other.distinct, rel=1e-12)
