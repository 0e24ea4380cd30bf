"""CSV files that are refused: the line, the column, the words, and never the cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ml.datasets.reading import LATE, refusal

SECRET = "hunter2"

BAD_CELLS = [
    ("inf", "an infinite number"),
    ("1e39", "beyond float32"),
    ("1e999", "beyond float32"),
    (SECRET, "text"),
    ("1.5" + SECRET, "text"),
    ("1_000", "thousands separators"),
    ('"1,234"', "thousands separator or a decimal comma"),
    ('"1,5"', "send decimal=comma"),
    ("2024-01-31", "a date"),
    ("true", "true or false"),
    ("9007199254740993", "2**53"),
]


@pytest.mark.parametrize(("cell", "found"), BAD_CELLS)
@pytest.mark.parametrize("before", [50, LATE])
@pytest.mark.parametrize("place", [0, 2])
def test_a_bad_cell_among_numbers(
    tmp_path: Path, cell: str, found: str, before: int, place: int
) -> None:
    cells = ["1", "1", "1"]
    cells[place] = cell
    rows = "1,2,3\n" * before + ",".join(cells) + "\n" + "1,2,3\n" * 5
    error = refusal(tmp_path, "a,b,c\n" + rows)
    assert (error.line, error.column) == (before + 2, "abc"[place])
    assert f"line {before + 2}, column '{'abc'[place]}': expected a number" in str(error)
    assert found in str(error)
    assert "name the column in text" in str(error)
    assert cell in found or cell not in str(error)


@pytest.mark.parametrize(
    ("good", "bad", "wanted"),
    [("true", "maybe", "true or false"), ("2024-01-31", "2024-02-30", "a date such as 2024")],
)
def test_a_bad_cell_of_another_type_comes_late(
    tmp_path: Path, good: str, bad: str, wanted: str
) -> None:
    error = refusal(tmp_path, "a,b\n" + f"{good},1\n" * LATE + f"{bad},1\n")
    assert (error.line, error.column) == (LATE + 2, "a")
    assert f"expected {wanted}" in str(error)
    assert "found text" in str(error)


@pytest.mark.parametrize("content", ["a;b\n1.234,5;2\n2.345,0;3\n", 'a,b\n"1,234",2\n"5,678",3\n'])
def test_columns_that_look_like_numbers_are_not_silently_text(tmp_path: Path, content: str) -> None:
    error = refusal(tmp_path, content)
    assert (error.line, error.column) == (2, "a")
    assert "thousands separator" in str(error)


def test_a_point_where_a_comma_was_announced(tmp_path: Path) -> None:
    error = refusal(tmp_path, "a;b\n1,5;2\n1.500;3\n", decimal="comma")
    assert (error.line, error.column) == (3, "a")
    assert "write 1234,5" in str(error)


@pytest.mark.parametrize("before", [1, LATE])
@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("gap", [True, False])
def test_ragged_rows(tmp_path: Path, before: int, text: bool, gap: bool) -> None:
    last = "x" if text else "3"
    head = "a,b,c\n" + f"1,2,{last}\n" * before + ("1,2,\n" if gap else "")
    line = before + 2 + gap
    few = refusal(tmp_path, head + "1,2\n" + f"1,2,{last}\n")
    assert few.line == line
    assert "too few cells: expected 3 as in the header, got 2" in str(few)
    many = refusal(tmp_path, head + f"1,2,{last},4\n")
    assert many.line == line
    assert "too many cells: expected 3 as in the header, got 4" in str(many)


@pytest.mark.parametrize("end", ["", "\n", "1,2\n"])
@pytest.mark.parametrize("before", ["", ",,\n", "\n", ",\n"])
def test_separators_before_the_header_make_up_for_none(
    tmp_path: Path, before: str, end: str
) -> None:
    head = before + "a,b\n" + "1,2\n1,\n" * LATE
    error = refusal(tmp_path, head + "2" + ("\n" + end if end else ""))
    assert error.line == head.count("\n") + 1
    assert "too few cells" in str(error)


def test_a_row_that_ends_early_in_a_file_with_quotes_and_gaps(tmp_path: Path) -> None:
    rows = '"a, ""b""\nc",1,\n"d",2,3\n' * LATE
    error = refusal(tmp_path, "t,x,y\n" + rows + '"e\nf",4\n' + rows)
    assert error.line == 2 + 3 * LATE


def test_the_line_is_that_of_the_file_with_empty_and_quoted_lines(tmp_path: Path) -> None:
    head = '\n"a",b\n\n"two\n\nlines",1\n"x",2\n\n' + "y,3\n" * 40
    error = refusal(tmp_path, head + "z,oops\n")
    assert error.line == head.count("\n") + 1


@pytest.mark.parametrize("before", [2, LATE])
@pytest.mark.parametrize("kind", ["1,x", "1,2"])
@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('1,"x', "never closed"),
        ('1,"x"y', "written twice"),
        ('1,6" pipe', "this one twice"),
        (b"1,caf\xe9", "not UTF-8"),
        (b"1,x\0y", "NUL"),
        ('1,6" pipe\n1,7" pipe', "this one twice"),
    ],
)
def test_quotes_and_bytes(
    tmp_path: Path, before: int, kind: str, row: str | bytes, words: str
) -> None:
    bad = row.encode() if isinstance(row, str) else row
    content = f"a,b\n{kind}\n".encode() * 1 + f"{kind}\n".encode() * (before - 1)
    error = refusal(tmp_path, content + bad + f"\n{kind}\n".encode())
    assert error.line == before + 2
    assert words in str(error)


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"", None, "the file is empty"),
        (b"\n\n  \n", None, "nothing but empty lines"),
        (b"a,b\n", None, "a header and no rows"),
        (b"a,b\n\n\n", None, "a header and no rows"),
        (b"1,2\n3,4\n", 1, "add a header"),
        (b"a,,c\n1,2,3\n", 1, "column 2 has no name"),
        (b"a, ,c\n1,2,3\n", 1, "column 2 has no name"),
        (b"a,b, a\n1,2,3\n", 1, "columns 1 and 3 have the same name"),
        (b"\n\na,b,a\n1,2,3\n", 3, "columns 1 and 3 have the same name"),
        (b"a" * 129 + b",b\n1,2\n", 1, "129 characters, at most 128"),
        (b"a\x07,b\n1,2\n", 1, "control character"),
        (b'"a\nb",c\n1,2\n', 1, "control character"),
        (b"a,b\r1,2\r3,4\r", 1, "carriage return"),
        (b"\x1f\x8b\x08\x00", None, "send it unpacked"),
        (b"PK\x03\x04rest", None, "Excel"),
        (b"PAR1rest", None, "Parquet"),
        (b"x^2,b\n1,2\n", 1, "in quotation marks"),
        ("a,b\n1,2\n".encode("utf-16"), None, "save the file as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), 1, "save the file as UTF-8"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, line: int | None, words: str) -> None:
    error = refusal(tmp_path, content)
    assert error.line == line
    assert words in str(error)


def test_limits(tmp_path: Path) -> None:
    content = "a,b\n" + "1,2\n" * 10
    assert "more than 9 rows" in str(refusal(tmp_path, content, max_rows=9))
    assert "2 columns, where at most 1" in str(refusal(tmp_path, content, max_columns=1))
    assert "more than 100 bytes" in str(refusal(tmp_path, content, max_bytes=100))
    assert "'zip'" in str(refusal(tmp_path, content, text=("zip",)))


def test_a_line_without_end_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    error = refusal(tmp_path, b'a,b\n1,"' + b"x" * (17 * 2**20))
    assert error.line == 2


def test_no_cell_is_repeated_wherever_it_stands(tmp_path: Path) -> None:
    for content in (
        f"a,b\n1,2\n{SECRET}\n",
        f"a,b\n1,2\n1,{SECRET},3\n",
        "a,b\n" + "1,2\n" * 20 + f'1,"{SECRET}"{SECRET}\n',
        "a,b\n" + "1,2\n" * 20 + f"{SECRET},2\n",
        "a,b\n" + "1,2\n" * LATE + f'{SECRET},"\n',
    ):
        error = refusal(tmp_path, content)
        assert SECRET not in str(error)
        assert error.line is not None
