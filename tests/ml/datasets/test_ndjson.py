"""NDJSON files: taken strictly, a line at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.datasets.cells import FLOAT32_MAX, SAFE_INTEGER
from tests.ml.datasets.reading import LATE, column, quick, read, refusal

take = partial(read, kind="ndjson")
refuse = partial(refusal, kind="ndjson")


def lines(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


def test_types_and_missing_cells(tmp_path: Path) -> None:
    content = lines(
        {"n": 1.5, "i": 1, "b": True, "t": "x", "d": "2024-01-31"},
        {"n": 2, "b": None, "t": ""},
        {"n": None, "i": -3, "b": False, "t": "NA", "d": "2024-01-31T10:00"},
    )
    profile, rows = take(tmp_path, "\ufeff" + content.replace("\n", "\r\n\n"))
    assert [c.type for c in profile.columns] == ["number", "integer", "boolean", "text", "date"]
    day = datetime(2024, 1, 31, tzinfo=UTC)
    assert rows == [
        (1.5, 1.0, True, "x", day),
        (2.0, None, None, None, None),
        (None, -3.0, False, "NA", day.replace(hour=10)),
    ]
    assert take(tmp_path, '{"a": NaN, "b": 1}\n{"a": 2, "b": 2}')[1] == [(None, 1.0), (2.0, 2.0)]


def test_a_key_may_be_missing_from_the_first_object(tmp_path: Path) -> None:
    profile, rows = take(tmp_path, lines({"a": 1}, {"b": "x"}, {}))
    assert [c.name for c in profile.columns] == ["a", "b"]
    assert rows == [(1.0, None), (None, "x"), (None, None)]


def test_named_columns_are_text(tmp_path: Path) -> None:
    content = lines({"id": 2**60 + 1, "x": 1}, {"id": "a", "x": 2}, {"id": 1.5, "x": 3})
    profile, _ = take(tmp_path, content, text=("id",))
    assert column(profile, "id").vocabulary == ("1.5", str(2**60 + 1), "a")


@pytest.mark.parametrize("before", [20, LATE])
@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('"7"', "found text"),
        ("true", "found true or false"),
        ("[1]", "found a list"),
        ('{"x": 1}', "found an object"),
        ("Infinity", "beyond float32"),
        ("1e39", "beyond float32"),
        ("1" + "0" * 400, "beyond float32"),
        ("9007199254740993", "2**53"),
    ],
)
def test_a_bad_value_among_numbers(tmp_path: Path, before: int, value: str, found: str) -> None:
    content = '\n{"a": 1}\n' * before + f'{{"a": {value}}}\n'
    error = refuse(tmp_path, content)
    assert (error.line, error.column) == (2 * before + 1, "a")
    assert found in str(error)


@pytest.mark.parametrize("last", ['{"a": ', '{"a": "x", "b": 1}', '{"new": 1}'])
def test_of_several_faults_the_first_is_told(tmp_path: Path, last: str) -> None:
    good = '{"a": 1, "b": 1}\n' * LATE
    error = refuse(tmp_path, good + '{"a": 1, "b": "x"}\n' + last + "\n")
    assert (error.line, error.column) == (LATE + 1, "b")


def test_a_key_that_comes_late(tmp_path: Path) -> None:
    error = refuse(tmp_path, '{"a": 1}\n' * LATE + '{"a": 1, "new": 2}\n')
    assert error.line == LATE + 1
    assert "a key 'new' that none of the first rows has" in str(error)


@pytest.mark.parametrize("before", [1, LATE])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"a": ', "no JSON at character 7"),
        ("[1, 2]", "expected a JSON object, found a list"),
        ("7", "expected a JSON object, found a number"),
        ('{"a": ' + "[" * 200_000, "nested too deeply"),
        ('{"a": 1' + "0" * 5_000 + "}", "beyond float32"),
    ],
)
def test_a_bad_line(tmp_path: Path, before: int, line: str, words: str) -> None:
    error = refuse(tmp_path, '{"a": 1}\n' * before + line + "\n")
    assert error.line == before + 1
    assert words in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n \n", "nothing but empty lines"),
        (b"{}\n{}\n", "no keys"),
        (b'{"": 1}\n', "column 1 has no name"),
        (b'{"a": 1, " a": 2}\n', "columns 1 and 2 have the same name"),
        (b'{"a\\ud800": 1}\n', "control character"),
        (b'{"a": "\\ud800"}\n', "surrogate"),
        (b'{"a": "\\u0000"}\n', "NUL"),
        (b'{"a": "caf\xe9"}\n', "not UTF-8"),
        (b'{"a": "x"}\n{"a": 1}\n', "expected text, found a number"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in str(refuse(tmp_path, content))


def test_limits(tmp_path: Path) -> None:
    content = lines(*({"a": 1, "b": 2} for _ in range(10)))
    assert "more than 9 rows" in str(refuse(tmp_path, content, max_rows=9))
    assert "2 columns" in str(refuse(tmp_path, content, max_columns=1))


values = {
    "n": st.floats(-FLOAT32_MAX, FLOAT32_MAX, allow_nan=False),
    "i": st.integers(-SAFE_INTEGER, SAFE_INTEGER),
    "b": st.booleans(),
    "t": st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1),
}


@given(st.lists(st.fixed_dictionaries({}, optional=values), max_size=20))
@quick
def test_any_objects_come_back(
    tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, Any]]
) -> None:
    first: dict[str, Any] = {"n": 0.5, "i": 1, "b": True, "t": "text"}
    folder = tmp_path_factory.mktemp("objects")
    _, rows = take(folder, lines(first, *objects))
    wanted = [
        tuple(float(v) if type(v) is int else v for v in (each.get(name) for name in first))
        for each in (first, *objects)
    ]
    assert rows == wanted
