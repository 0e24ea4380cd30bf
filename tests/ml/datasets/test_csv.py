"""CSV files that are taken: types, missing cells, dialects."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.ml.datasets.reading import LATE, column, read


def test_types_are_inferred(tmp_path: Path) -> None:
    content = "n,i,b,t,d\n1.5,1,true,x,2024-01-31\n2,-2,FALSE,y,2024-02-01\n"
    profile, rows = read(tmp_path, content)
    assert [c.type for c in profile.columns] == ["number", "integer", "boolean", "text", "date"]
    assert rows == [
        (1.5, 1.0, True, "x", date(2024, 1, 31)),
        (2.0, -2.0, False, "y", date(2024, 2, 1)),
    ]


def test_an_integer_column_becomes_numbers_where_a_fraction_comes_late(tmp_path: Path) -> None:
    profile, _ = read(tmp_path, "a,b\n" + "1,2\n" * LATE + "1.5,2\n")
    assert [c.type for c in profile.columns] == ["number", "integer"]


@pytest.mark.parametrize("marker", ["NA", "n/a", "NaN", "null", "None", "#N/A", "-", "", "  "])
@pytest.mark.parametrize("before", [0, LATE])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_missing_numbers(tmp_path: Path, marker: str, before: int, place: int) -> None:
    cells = ["1", "1", "1"]
    cells[place] = marker
    text = "a,b,c\n" + "1,2,3\n" * before + ",".join(cells) + "\n4,5,6\n"
    profile, rows = read(tmp_path, text)
    wanted: list[float | None] = [1.0, 1.0, 1.0]
    wanted[place] = None
    assert rows[-2:] == [tuple(wanted), (4.0, 5.0, 6.0)]
    assert profile.columns[place].nulls == 1


def test_several_markers_in_one_column(tmp_path: Path) -> None:
    _, rows = read(tmp_path, "a,b\nNA,true\n-,true\nnan,false\n1,NA\n2,null\n")
    assert rows == [(None, True), (None, True), (None, False), (1.0, None), (2.0, None)]


def test_a_marker_is_a_word_where_the_column_is_text(tmp_path: Path) -> None:
    profile, _ = read(tmp_path, 'country,n\nNA,1\nDE,2\n"",3\n,4\nNone,5\n')
    country = column(profile, "country")
    assert (country.vocabulary, country.nulls) == (("DE", "NA", "None"), 2)


def test_columns_without_any_cell_are_numbers(tmp_path: Path) -> None:
    profile, rows = read(tmp_path, "a,b\n,1\nNA,2\n")
    a = column(profile, "a")
    assert (a.type, a.nulls, a.min, a.mean, a.std, a.distinct) == ("number", 2, None, None, None, 0)
    assert rows == [(None, 1.0), (None, 2.0)]


def test_blanks_around_a_cell_are_no_part_of_it_but_in_text(tmp_path: Path) -> None:
    profile, rows = read(tmp_path, "n, b ,t, d\n 1.5\t, true ,  x , 2024-01-31 \n2 ,false,y,\n")
    assert [c.name for c in profile.columns] == ["n", "b", "t", "d"]
    moment = datetime(2024, 1, 31, tzinfo=UTC)
    assert rows == [(1.5, True, "  x ", moment), (2.0, False, "y", None)]


def test_named_columns_are_text_whatever_they_hold(tmp_path: Path) -> None:
    content = "zip,id,n\n01067,9007199254740993,1\n80331,9007199254740992,2\n"
    profile, _ = read(tmp_path, content, text=("zip", "id"))
    assert column(profile, "zip").vocabulary == ("01067", "80331")
    assert column(profile, "id").vocabulary == ("9007199254740992", "9007199254740993")


def test_leading_zeros_are_numbers_where_nobody_says_otherwise(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b\n007,1\n")[1] == [(7.0, 1.0)]


def test_below_nine_in_ten_numbers_a_column_is_text(tmp_path: Path) -> None:
    profile, _ = read(tmp_path, "a,b\n" + "1,1\n" * 8 + "x,1\n" * 2)
    assert column(profile, "a").type == "text"


def test_decimal_comma(tmp_path: Path) -> None:
    text = "a;b;c\n1,5;2;x,y\n-,5e1; 3,25 ;z\n"
    assert read(tmp_path, text, decimal="comma")[1] == [(1.5, 2.0, "x,y"), (-5.0, 3.25, "z")]
    quoted = 'a,b\n"1,5",2\n"2,5",3\n'
    assert read(tmp_path, quoted, decimal="comma")[1] == [(1.5, 2.0), (2.5, 3.0)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_delimiters_line_ends_and_byte_order_marks(
    tmp_path: Path, delimiter: str, end: str, bom: str
) -> None:
    lines = ["name,x,y", '"a; b|c\t, ""d""",1,2', '"two\nlines",3,', "é,5,6"]
    lines = [line.replace(",", delimiter) for line in lines]
    _, rows = read(tmp_path, bom + end.join(lines))
    first = f'a; b|c\t{delimiter} "d"'
    assert rows == [(first, 1.0, 2.0), ("two\nlines", 3.0, None), ("é", 5.0, 6.0)]


def test_the_delimiter_is_the_one_that_splits_evenly(tmp_path: Path) -> None:
    profile, _ = read(tmp_path, "name;x\nDoe, Jane;1\nRoe, A, B;2\n")
    assert [c.name for c in profile.columns] == ["name", "x"]
    profile, _ = read(tmp_path, "a;b\n1;2\n", delimiter=",")
    assert [c.name for c in profile.columns] == ["a;b"]


@pytest.mark.parametrize("before", [1, LATE])
@pytest.mark.parametrize("empty", ["\n", "  \n", ",\n", " , \n", "\r\n", '"",\n'])
def test_empty_rows_are_left_out(tmp_path: Path, before: int, empty: str) -> None:
    _, rows = read(tmp_path, "a,b\n" + "1,x\n" * before + empty + "2,y\n" + empty * 2)
    assert len(rows) == before + 1
    assert rows[-1] == (2.0, "y")


@pytest.mark.parametrize("before", [1, LATE])
def test_rows_without_any_value_are_left_out(tmp_path: Path, before: int) -> None:
    _, rows = read(tmp_path, "a,b\n" + "1,2\n" * before + "NA,NaN\n-,\n3,4\n")
    assert len(rows) == before + 1
    assert rows[-1] == (3.0, 4.0)


def test_empty_lines_before_and_after_the_header(tmp_path: Path) -> None:
    assert read(tmp_path, "\n\na,b\n\n1,2\n")[1] == [(1.0, 2.0)]


def test_moments_of_many_forms_are_one_column_in_utc(tmp_path: Path) -> None:
    text = "d,n\n2024-01-31T10:00,1\n2024-01-31 10:00:05.25,2\n2024-01-31T10:00Z,3\n"
    text += "2024-01-31T10:00:00+02:00,4\n2024-01-30,5\nNA,6\n"
    profile, rows = read(tmp_path, text)
    hours = [row[0].hour if isinstance(row[0], datetime) else None for row in rows]
    assert hours == [10, 10, 10, 8, 0, None]
    d = column(profile, "d")
    assert (d.min, d.distinct, d.mean) == ("2024-01-30T00:00:00+00:00", 4, None)


def test_a_time_may_come_late_among_dates(tmp_path: Path) -> None:
    profile, rows = read(tmp_path, "d,n\n" + "2024-01-31,1\n" * LATE + "2024-02-01T10:00,1\n")
    assert column(profile, "d").max == "2024-02-01T10:00:00+00:00"
    assert rows[-1][0] == datetime(2024, 2, 1, 10, tzinfo=UTC)


def test_marks_that_pair_inside_a_cell_are_kept(tmp_path: Path) -> None:
    assert read(tmp_path, 'a,b\n1,6" x 5"\n2,\n')[1] == [(1.0, '6" x 5"'), (2.0, None)]


def test_names_that_would_mean_something_to_a_file_system_or_polars(tmp_path: Path) -> None:
    source = "a*,^b$,[c],é\n1,2,3,4\n"
    profile, rows = read(tmp_path, source)
    assert [c.name for c in profile.columns] == ["a*", "^b$", "[c]", "é"]
    assert rows == [(1.0, 2.0, 3.0, 4.0)]


@pytest.mark.parametrize("name", ["^b$", "*", "^.*$"])
@pytest.mark.parametrize("cell", [" NA ", "1", "x", "  "])
def test_such_names_whatever_the_cells_need(tmp_path: Path, name: str, cell: str) -> None:
    profile, rows = read(tmp_path, f"a,{name}\n1,{cell}\n2,-\n3,NA\n")
    assert [c.name for c in profile.columns] == ["a", name]
    assert rows[0] == (1.0, {"1": 1.0, "x": "x"}.get(cell))


def test_a_file_of_one_column(tmp_path: Path) -> None:
    assert read(tmp_path, "a\n1\n\n3\n")[1] == [(1.0,), (3.0,)]


def test_reading_again_replaces_the_rows(tmp_path: Path) -> None:
    read(tmp_path, "a,b\n1,2\n")
    assert read(tmp_path, "a,b\n3,4\n")[1] == [(3.0, 4.0)]
