"""Any table comes back as it was written, and a bad row is found where a naive reader finds it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ml.datasets import layout
from ml.datasets.cells import FLOAT32_MAX, SAFE_INTEGER
from ml.errors import BadFileError
from tests.ml.datasets.reading import quick, read

SAMPLE = 25
"""Rows that types are inferred from, in this file: few, so that most of a small file comes late."""


@pytest.fixture(scope="module", autouse=True)
def _small_sample() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SAMPLE_ROWS", SAMPLE)
        yield


Rows = list[tuple[Any, ...]]

CELLS: dict[str, st.SearchStrategy[Any]] = {
    "number": st.floats(-FLOAT32_MAX, FLOAT32_MAX, allow_nan=False),
    "integer": st.integers(-SAFE_INTEGER, SAFE_INTEGER),
    "boolean": st.booleans(),
    # The letter in front keeps a text from being a number, a marker or nothing.
    "text": st.text(
        st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8
    ).map("t".__add__),
}


@dataclass(frozen=True)
class Dialect:
    """A way to write CSV."""

    delimiter: str
    quoting: Any
    line_end: str

    def write(self, rows: Rows) -> str:
        text = io.StringIO(newline="")
        # With CRLF, so that a cell with either is quoted: before 3.13 Python looks for no others.
        writer = csv.writer(text, delimiter=self.delimiter, quoting=self.quoting)
        for row in rows:
            writer.writerow(row)
            text.seek(text.tell() - len("\r\n"))
            text.truncate()
            text.write(self.line_end)
        return text.getvalue()


dialects = st.builds(
    Dialect,
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], Rows]:
    """The types of some columns, and rows that may have gaps."""
    types = draw(st.lists(st.sampled_from(list(CELLS)), min_size=2, max_size=4))
    # The first row has no gap: else a type would have nothing to be inferred from.
    whole = st.tuples(*(CELLS[kind] for kind in types))
    gappy = st.tuples(*(st.none() | CELLS[kind] for kind in types))
    return types, [draw(whole), *draw(st.lists(gappy, max_size=12))]


def told(value: Any) -> Any:
    """A cell as it is written; booleans and floats as Python has them."""
    return repr(value) if isinstance(value, float) else value


def kept(value: Any) -> Any:
    """A cell as it is read again: integers are kept as float64."""
    return float(value) if type(value) is int else value


@given(tables(), dialects, st.sampled_from([1, 40]))
@quick
def test_any_table_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    table: tuple[list[str], Rows],
    dialect: Dialect,
    times: int,
) -> None:
    folder = tmp_path_factory.mktemp("table")
    types, rows = table
    rows = rows * times
    names = tuple(f"c{i}" for i in range(len(types)))
    content = dialect.write([names, *(tuple(map(told, row)) for row in rows)])
    profile, found = read(folder, content, delimiter=dialect.delimiter)
    # A column of integers is one of numbers when all numbers are whole, and the other way round.
    for column, kind in zip(profile.columns, types, strict=True):
        assert column.type == kind or {column.type, kind} == {"number", "integer"}
    wanted = [tuple(map(kept, row)) for row in rows if any(cell is not None for cell in row)]
    assert found == wanted
    assert profile.rows == len(wanted)


def naive_rows(content: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """RFC 4180, a character at a time: the line that each row begins at, and its cells."""
    rows: list[tuple[int, list[str]]] = []
    cells, cell, line, begins = [], "", 1, 1
    is_quoted = False
    index = 0
    while index < len(content):
        character = content[index]
        line += character == "\n"
        if is_quoted and character == '"' and content[index + 1 : index + 2] == '"':
            cell += '"'
            index += 1
        elif character == '"':
            is_quoted = not is_quoted
        elif character == delimiter and not is_quoted:
            cells.append(cell)
            cell = ""
        elif character == "\n" and not is_quoted:
            rows.append((begins, [*cells, cell]))
            cells, cell, begins = [], "", line
        else:
            cell += character
        index += 1
    return rows


text_cells = st.sampled_from(["x", "a\nb", 'say "hi"', "1,2", "\n\n", "y\n,", ""])
numbers = st.sampled_from(["1", "-2.5", "", "NA", "3e5"])
bad_numbers = st.sampled_from(["oops", "1_0", "inf", "1e39", "0x1"])


@st.composite
def flawed(draw: st.DrawFn) -> str:
    """A file of text, number, text or number, with bad cells, ragged rows and empty lines."""
    ends_in_number = draw(st.booleans())
    last = numbers if ends_in_number else text_cells
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["t", "n", "l"])
    for _ in range(20):
        writer.writerow(["x", "1.5", "2" if ends_in_number else "z"])
    for _ in range(draw(st.integers(1, 12))):
        row = [draw(text_cells), draw(numbers), draw(last)]
        flaw = draw(st.sampled_from(["none"] * 6 + ["bad", "short", "long", "empty"]))
        if flaw == "empty":
            text.write(draw(st.sampled_from(["\n", "  \n", ",,\n"])))
            continue
        if flaw == "bad":
            row[1] = draw(bad_numbers)
        writer.writerow({"short": row[:2], "long": [*row, "1"]}.get(flaw, row))
    return text.getvalue()


def naive_fault(content: str) -> tuple[int, str | None] | None:
    """The line of the first bad row, and the column where it is one."""
    for line, cells in naive_rows(content, ",")[1:]:
        if not any(cell.strip(" ") for cell in cells):
            continue
        if len(cells) != 3:
            return line, None
        if cells[1] in ("oops", "1_0", "inf", "1e39", "0x1"):
            return line, "n"
    return None


@given(flawed(), st.sampled_from([0, 40]))
@quick
def test_a_bad_row_is_found_where_a_naive_reader_finds_it(
    tmp_path_factory: pytest.TempPathFactory, content: str, before: int
) -> None:
    folder = tmp_path_factory.mktemp("flawed")
    header, _, rest = content.partition("\n")
    first, _, _ = rest.partition("\n")
    content = f"{header}\n" + f"{first}\n" * before + rest
    fault = naive_fault(content)
    if fault is None:
        profile, rows = read(folder, content)
        assert profile.rows == len(rows)
        return
    with pytest.raises(BadFileError) as caught:
        read(folder, content)
    assert (caught.value.line, caught.value.column) == fault


@given(st.binary(max_size=200), st.sampled_from(["csv", "ndjson", "parquet"]))
@quick
def test_no_bytes_do_more_than_be_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    with suppress(BadFileError):
        read(folder, content, kind=kind)


@given(st.text(alphabet='ab1,.;"\n\r \t-é', max_size=60), st.text(alphabet='1,"\n x', max_size=20))
@quick
def test_what_polars_refuses_is_found(
    tmp_path_factory: pytest.TempPathFactory, head: str, tail: str
) -> None:
    folder = tmp_path_factory.mktemp("text")
    assume("\0" not in head)
    try:
        profile, rows = read(folder, f"a,b\n{head}\n{tail}")
    except BadFileError as error:
        # What polars refuses, the search must find: these words are for what it does not.
        assert "see that quotation marks" not in str(error)  # noqa: PT017
    else:
        assert profile.rows == len(rows) > 0
