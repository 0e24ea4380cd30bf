"""Rows with categories and booleans, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ml.artifact import Bundle
from ml.data.encoding import encode
from service.errors import InvalidRequestError, UnseenCategoryError
from service.schemas.predict import MAX_TEXT, PredictRequest
from service.serving.rows import MAX_NAMED_WORDS, Rows, rows_of, rows_of_csv
from tests.service.making import line

SECRET = "do-not-repeat-me"

COLOURS = (" red", "blue", "dark, red", "red")
SIZES = ("large", "small")


def bundle(
    features: tuple[str, ...],
    categories: dict[str, tuple[str, ...]] | None = None,
    booleans: tuple[str, ...] = (),
) -> Bundle:
    """A linear model of such features."""
    categories = categories or {}
    columns = len(features) + sum(len(words) - 1 for words in categories.values())
    made = line([float(i) for i in range(columns)])
    return replace(made, feature_names=features, categories=categories, booleans=booleans)


HOUSES = bundle(
    ("area", "colour", "garden", "size"), {"size": SIZES, "colour": COLOURS}, ("garden",)
)
"""Columns: area, one for each of four colours, garden, one for each of two sizes."""

PLAIN = bundle(("area", "garden"), booleans=("garden",))


def json_rows(model: Bundle, *rows: dict[str, Any]) -> Rows:
    return rows_of(PredictRequest.model_validate_json(json.dumps({"rows": rows})), model)


def csv_rows(model: Bundle, text: str, max_rows: int = 10) -> Rows:
    return rows_of_csv(text.encode(), model, max_rows)


def house(**changes: Any) -> dict[str, Any]:
    return {"area": 60, "colour": "red", "garden": True, "size": "small", **changes}


# ---- what the model takes ----


def test_each_word_has_a_column_in_the_order_of_features_and_words() -> None:
    x_NF = json_rows(
        HOUSES, house(), house(area=1.5, colour="dark, red", garden=False, size="large")
    ).x_NF
    assert x_NF.dtype == torch.float64
    assert x_NF.tolist() == [
        [60, 0, 0, 0, 1, 1, 0, 1],
        [1.5, 0, 0, 1, 0, 0, 1, 0],
    ]


def test_a_boolean_may_come_as_a_number() -> None:
    # Clients that read the dataset elsewhere hold 0 and 1.
    x_NF = json_rows(PLAIN, {"area": 1, "garden": True}, {"area": 2, "garden": 0}).x_NF
    assert x_NF.tolist() == [[1, 1], [2, 0]]
    assert csv_rows(PLAIN, "area,garden\n1,True\n2, FALSE \n3,1\n4,0\n").x_NF.tolist() == [
        [1, 1],
        [2, 0],
        [3, 1],
        [4, 0],
    ]


def test_numbers_by_place_go_on_where_there_is_no_text() -> None:
    asked = PredictRequest.model_validate_json('{"x": [[1, 1], [2, 0]]}')
    assert rows_of(asked, PLAIN).x_NF.tolist() == [[1, 1], [2, 0]]


def test_a_model_of_nothing_but_text_has_rows_too() -> None:
    model = bundle(("size", "colour"), {"size": SIZES, "colour": COLOURS})
    expected = [[0, 1, 0, 1, 0, 0]]
    assert json_rows(model, {"colour": "blue", "size": "small"}).x_NF.tolist() == expected
    assert csv_rows(model, "size,colour\nsmall,blue\n").x_NF.tolist() == expected


CELLS = st.tuples(
    st.floats(-1e30, 1e30),
    st.sampled_from(range(len(COLOURS))),
    st.booleans(),
    st.sampled_from(range(len(SIZES))),
)


@given(st.lists(CELLS, min_size=1, max_size=5), st.permutations(HOUSES.feature_names))
@hypothesis_settings(deadline=None, max_examples=60)
def test_json_and_csv_in_any_order_are_the_rows_of_the_training(
    cells: list[tuple[float, int, bool, int]], order: list[str]
) -> None:
    numbers_NC = np.array([[area, float(garden)] for area, _, garden, _ in cells])
    codes_NK = np.array([[colour, size] for _, colour, _, size in cells])
    wanted = encode(numbers_NC, codes_NK, HOUSES.feature_names, HOUSES.categories).tolist()
    rows = [
        {"area": area, "colour": COLOURS[colour], "garden": garden, "size": SIZES[size]}
        for area, colour, garden, size in cells
    ]
    shuffled = [{name: row[name] for name in order} for row in rows]
    assert json_rows(HOUSES, *shuffled).x_NF.tolist() == wanted
    text = io.StringIO()
    writer = csv.DictWriter(text, order)
    writer.writeheader()
    writer.writerows(shuffled)
    assert csv_rows(HOUSES, text.getvalue()).x_NF.tolist() == wanted


def test_the_word_is_taken_to_the_letter() -> None:
    # " red" and "red" may both be words: what strips one would make it the other.
    both = csv_rows(HOUSES, "area,colour,garden,size\n1, red,true,small\n1,red,true,small\n").x_NF
    assert both[:, 1:5].tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    for near in ("red ", "Red", "red\u00a0", " blue", ""):
        with pytest.raises(UnseenCategoryError):
            json_rows(HOUSES, house(colour=near))
        with pytest.raises(UnseenCategoryError):
            csv_rows(HOUSES, f'area,colour,garden,size\n1,"{near}",true,small\n')


# ---- what is refused, and where ----


@pytest.mark.parametrize(
    ("changes", "feature", "detail"),
    [
        ({"colour": 5}, "colour", "row 1: feature colour takes text, got a number"),
        ({"colour": True}, "colour", "row 1: feature colour takes text, got a boolean"),
        ({"area": "60"}, "area", "row 1: feature area takes a number, got text"),
        ({"area": True}, "area", "row 1: feature area takes a number, got a boolean"),
        ({"garden": "true"}, "garden", "row 1: feature garden takes true or false, got text"),
    ],
)
def test_a_cell_of_another_kind_is_pointed_at(
    changes: dict[str, Any], feature: str, detail: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        json_rows(HOUSES, house(), house(**changes))
    assert caught.value.code == "invalid_request"
    (fault,) = caught.value.faults
    assert (fault.pointer, fault.detail) == (f"/rows/1/{feature}", detail)


@pytest.mark.parametrize("model", [HOUSES, PLAIN])
def test_the_kind_is_checked_before_the_first_row_that_is_not_complete(model: Bundle) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        json_rows(model, {"area": 1})
    assert [fault.pointer for fault in caught.value.faults] == ["/rows/0"]
    assert "missing" in caught.value.detail


def test_numbers_by_place_are_refused_where_there_is_text() -> None:
    for x in (1, [1, 2], [[60, 1, 1, 0]], [[0.0] * 8]):
        asked = PredictRequest.model_validate_json(json.dumps({"x": x}))
        with pytest.raises(InvalidRequestError, match="send `rows`") as caught:
            rows_of(asked, HOUSES)
        assert [fault.pointer for fault in caught.value.faults] == ["/x"]
        assert caught.value.code == "invalid_request"


def test_an_unseen_word_is_pointed_at_and_not_repeated() -> None:
    with pytest.raises(UnseenCategoryError) as caught:
        json_rows(HOUSES, house(), house(colour=SECRET))
    assert caught.value.code == "unseen_category"
    (fault,) = caught.value.faults
    assert fault.pointer == "/rows/1/colour"
    assert fault.detail == caught.value.detail
    assert fault.detail.startswith("row 1: feature colour holds a value that no training row had")
    assert fault.detail.endswith("known are  red, blue, dark, red, red")
    assert SECRET not in fault.detail


def test_an_unseen_word_of_a_csv_is_named_by_its_line() -> None:
    text = f"size,colour,garden,area\n\nsmall,blue,true,1\n\nlarge,{SECRET},false,1\n"
    with pytest.raises(UnseenCategoryError) as caught:
        csv_rows(HOUSES, text)
    (fault,) = caught.value.faults
    assert fault.pointer == ""
    assert fault.detail.startswith("line 5: feature colour holds a value that no training row had")
    assert SECRET not in fault.detail


def test_of_a_thousand_words_some_are_named() -> None:
    words = tuple(f"{i:0256}" for i in range(1000))
    model = bundle(("town",), {"town": words})
    with pytest.raises(UnseenCategoryError) as caught:
        json_rows(model, {"town": "nowhere"})
    assert caught.value.detail.endswith(f"{words[MAX_NAMED_WORDS - 1]} and 980 more")
    assert words[MAX_NAMED_WORDS] not in caught.value.detail
    assert len(caught.value.detail) < 6000


@pytest.mark.parametrize(
    ("name", "pointer"),
    [("a/b", "/rows/0/a~1b"), ("c~d", "/rows/0/c~0d"), ("~1", "/rows/0/~01"), ("0", "/rows/0/0")],
)
def test_pointers_are_escaped(name: str, pointer: str) -> None:
    with pytest.raises(UnseenCategoryError) as unseen:
        json_rows(bundle((name,), {name: ("a",)}), {name: "b"})
    with pytest.raises(InvalidRequestError) as wrong:
        json_rows(bundle((name,)), {name: "b"})
    for error in (unseen.value, wrong.value):
        assert [fault.pointer for fault in error.faults] == [pointer]


# ---- CSV ----


def test_a_line_break_in_a_word_does_not_move_the_lines_below_it() -> None:
    model = bundle(("address", "area"), {"address": ("1 High St\nLeeds",)})
    header, row = "address,area\n", '"1 High St\nLeeds",1\n'
    assert csv_rows(model, header + row).x_NF.tolist() == [[1, 1]]
    with pytest.raises(InvalidRequestError, match=r"^line 6, column area: expected a number"):
        csv_rows(model, header + row + row + '"1 High St\nLeeds",x\n')
    with pytest.raises(UnseenCategoryError, match=r"^line 4: feature address"):
        csv_rows(model, header + row + "London,1\n")
    with pytest.raises(InvalidRequestError, match=r"^line 4: expected 2 values, got 1"):
        csv_rows(model, header + row + "London\n")


@pytest.mark.parametrize(
    ("cell", "detail"),
    [
        ("yes", "line 2, column garden: expected true, false or a number within float32"),
        ("", "line 2, column garden: expected true, false or a number within float32"),
        ("truee", "line 2, column garden: expected true, false or a number within float32"),
        ("nan", "line 2, column garden: expected true, false or a number within float32"),
    ],
)
def test_what_is_no_boolean_is_named_by_line_and_column(cell: str, detail: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        csv_rows(PLAIN, f"area,garden\n1,{cell}\n")
    assert [fault.detail for fault in caught.value.faults] == [detail]


def test_true_is_no_number_where_the_training_had_none() -> None:
    with pytest.raises(InvalidRequestError, match="column area: expected a number within float32"):
        csv_rows(PLAIN, "area,garden\ntrue,true\n")


def test_a_word_that_reads_like_a_number_stays_a_word() -> None:
    model = bundle(("code",), {"code": ("007", "7")})
    assert csv_rows(model, "code\n007\n7\n").x_NF.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(UnseenCategoryError):
        csv_rows(model, "code\n7.0\n")


def test_a_csv_with_text_is_read_no_further_than_it_may_go() -> None:
    text = "area,colour,garden,size\n" + "1,blue,true,small\n" * 3
    assert len(csv_rows(HOUSES, text, 3).x_NF) == 3
    with pytest.raises(InvalidRequestError, match="more than 2 rows sent, at most 2 allowed"):
        csv_rows(HOUSES, text, 2)


@given(st.binary(max_size=100) | st.text(max_size=100).map(lambda text: text.encode("utf-8")))
@hypothesis_settings(deadline=None, max_examples=200)
def test_no_bytes_make_the_reader_of_categories_stumble(body: bytes) -> None:
    for content in (body, b"area,colour,garden,size\n" + body, b"colour,size,area,garden\n" + body):
        try:
            rows = rows_of_csv(content, HOUSES, 1000)
        except InvalidRequestError:
            continue
        assert bool(rows.x_NF.isfinite().all())


# ---- what the schema keeps out ----


@pytest.mark.parametrize("cell", ["null", "[]", "{}", '["red"]', f'"{"x" * (MAX_TEXT + 1)}"'])
def test_a_cell_is_a_number_a_word_or_a_boolean(cell: str) -> None:
    with pytest.raises(ValueError):
        PredictRequest.model_validate_json(f'{{"rows": [{{"colour": {cell}}}]}}')


def test_the_longest_word_may_be_sent() -> None:
    text = "x" * MAX_TEXT
    asked = PredictRequest.model_validate_json(f'{{"rows": [{{"colour": "{text}"}}]}}')
    assert rows_of(asked, bundle(("colour",), {"colour": (text,)})).x_NF.tolist() == [[1]]
