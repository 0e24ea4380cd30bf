"""Parquet files: their own types, and nothing that no model can use."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml.errors import BadFileError
from tests.ml.datasets.reading import column, read, refusal

take = partial(read, kind="parquet")
refuse = partial(refusal, kind="parquet")


def parquet(folder: Path, columns: dict[str, Iterable[Any]], **how: Any) -> bytes:
    path = folder / "written.parquet"
    pl.DataFrame(columns).write_parquet(path, **how)
    return path.read_bytes()


def test_types(tmp_path: Path) -> None:
    moment = datetime(2024, 1, 31, 10)
    content = parquet(
        tmp_path,
        {
            "f": [1.5, float("nan"), None],
            "f32": pl.Series([0.5, 1.0, None], dtype=pl.Float32),
            "i": [1, None, -(2**53) + 1],
            "u": pl.Series([1, 2, 3], dtype=pl.UInt8),
            "decimal": [Decimal("1.50"), None, Decimal("-2")],
            "b": [True, None, False],
            "t": ["x", "", "NA"],
            "category": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
            "kind": pl.Series(["x", "y", "x"], dtype=pl.Enum(["y", "x"])),
            "d": [date(2024, 1, 31)] * 3,
            "m": [moment] * 3,
            "none": [None] * 3,
        },
    )
    profile, rows = take(tmp_path, content)
    types = "number number integer integer number boolean text text text date date number"
    assert [c.type for c in profile.columns] == types.split()
    in_utc = moment.replace(tzinfo=UTC)
    texts = ("x", "x", "x", date(2024, 1, 31), in_utc, None)
    assert rows[0] == (1.5, 0.5, 1.0, 1.0, 1.5, True, *texts)
    assert rows[1][:7] == (None, 1.0, None, 2.0, None, None, None)
    assert column(profile, "category").vocabulary == ("x", "y")
    assert column(profile, "m").min == "2024-01-31T10:00:00+00:00"


def test_a_nan_behind_many_numbers_is_missing_too(tmp_path: Path) -> None:
    content = parquet(tmp_path, {"x": [0.5] * 300_000 + [float("nan"), 2.5], "i": range(300_002)})
    profile, rows = take(tmp_path, content)
    assert profile.rows == 300_002
    x = column(profile, "x")
    assert (x.nulls, x.distinct, x.min, x.max) == (1, 2, 0.5, 2.5)
    assert rows[-2:] == [(None, 300_000.0), (2.5, 300_001.0)]
    # The attempt that met it leaves nothing behind.
    assert {path.name for path in tmp_path.iterdir()} == {"source", "written.parquet", "rows.arrow"}


def test_zones_become_utc(tmp_path: Path) -> None:
    zoned = pl.Series([datetime(2024, 7, 1, 12)]).dt.replace_time_zone("Europe/Berlin")
    _, rows = take(tmp_path, parquet(tmp_path, {"m": zoned}))
    assert rows == [(datetime(2024, 7, 1, 10, tzinfo=UTC),)]


def test_named_columns_are_text(tmp_path: Path) -> None:
    content = parquet(tmp_path, {"id": [2**60, 2**60 + 1], "x": [1, 2]})
    profile, _ = take(tmp_path, content, text=("id",))
    assert column(profile, "id").vocabulary == (str(2**60), str(2**60 + 1))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[1, 2]], "list"),
        ([{"x": 1}], "struct"),
        ([b"x"], "binary"),
        ([time(1)], "time"),
        ([timedelta(1)], "duration"),
    ],
)
def test_types_that_no_column_has(tmp_path: Path, values: list[Any], kind: str) -> None:
    error = refuse(tmp_path, parquet(tmp_path, {"good": [1], "bad": values}))
    assert error.column == "bad"
    assert f"'bad' is of the type {kind}" in str(error)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("-inf"), "infinite"),
        (1e39, "float32"),
        (2**53, "2**53"),
        ("a\0b", "NUL"),
    ],
)
def test_values_that_no_model_can_use(tmp_path: Path, value: Any, words: str) -> None:
    values = [type(value)(1)] * 5_000 + [value]
    error = refuse(tmp_path, parquet(tmp_path, {"^a$": [1.0] * 5_001, "b": values}))
    assert (error.line, error.column) == (5_001, "b")
    assert "row 5001, column 'b'" in str(error)
    assert words in str(error)


def test_names(tmp_path: Path) -> None:
    assert "no name" in str(refuse(tmp_path, parquet(tmp_path, {" ": [1]})))
    assert "same name" in str(refuse(tmp_path, parquet(tmp_path, {"a": [1], "a ": [1]})))
    profile, _ = take(tmp_path, parquet(tmp_path, {"*": [1], "^a$": ["x"]}))
    assert [c.name for c in profile.columns] == ["*", "^a$"]


def test_limits_hold_for_what_a_small_file_grows_to(tmp_path: Path) -> None:
    bomb = parquet(tmp_path, {"a": ["x" * 10_000] * 20_000})
    assert len(bomb) < 200_000
    assert "more than 1,000,000 bytes" in str(refuse(tmp_path, bomb, max_bytes=1_000_000))
    assert "more than 10,000 rows" in str(refuse(tmp_path, bomb, max_rows=10_000))
    assert "1 columns" in str(refuse(tmp_path, bomb, max_columns=0))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"a,b\n1,2\n", "does not begin with PAR1"),
        (b"PAR1 and then no more", "cut short"),
        (b"PAR1" + b"x" * 100 + b"PAR1", "damaged"),
        (b"PARE" + b"x" * 100 + b"PARE", "encrypted"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in str(refuse(tmp_path, content))


def test_a_file_without_rows(tmp_path: Path) -> None:
    assert "no rows" in str(refuse(tmp_path, parquet(tmp_path, {"a": []})))


def test_damage_does_no_more_than_be_refused(tmp_path: Path, capfd: Any) -> None:
    whole = parquet(
        tmp_path, {"a": [float(i) for i in range(500)], "t": [str(i % 7) for i in range(500)]}
    )
    chance = random.Random(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(4, len(whole) - 4)] = chance.randrange(256)
        with suppress(BadFileError):
            take(tmp_path, bytes(damaged))
    capfd.readouterr()  # polars tells of its panics there
