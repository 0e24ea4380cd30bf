"""Predictions that own up to going beyond what was seen, and rows with text, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from ml.artifact import Bundle
from ml.data.scaling import Range
from service.serving.light import INLINE_BYTES
from tests.service.api.driving import Client, check_problem, pointers, speaking_to
from tests.service.making import Place, line

SECRET = "do-not-repeat-me"
CSV = {"Content-Type": "text/csv"}
TEXT = "/models/text/predict"


def seen(bundle: Bundle, least: list[float], most: list[float]) -> Bundle:
    """``bundle``, trained on rows between ``least`` and ``most``."""
    x_min_F, x_max_F = (torch.tensor(limits, dtype=torch.float64) for limits in (least, most))
    return replace(bundle, range=Range(x_min_F, x_max_F))


HOUSES = replace(
    line([2.0, 10.0, 20.0, 30.0, 5.0], 1.0),
    feature_names=("area", "colour", "garden"),
    categories={"colour": ("blue", "green", "red")},
    booleans=("garden",),
)
"""y = 2 area + 10, 20 or 30 by colour + 5 with a garden + 1; no training row was red."""


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    place.publish(seen(line(2.0, 1.0), [0.0], [0.78]))
    place.publish(seen(line([2.0, 3.0], 1.0, ("a", "b")), [0.0, -1.0], [1.0, 5.0]), model="two")
    place.publish(line(2.0, 1.0), model="old")
    place.publish(seen(HOUSES, [10.0, 0, 0, 0, 0], [90.0, 1, 1, 0, 1]), model="text")
    with speaking_to(place.settings) as client:
        yield client


# ---- what was seen ----


@pytest.mark.parametrize(
    ("road", "body", "outside"),
    [
        ("/predict", {"x": 0.5}, [False]),
        ("/predict", {"x": 60}, [True]),
        ("/predict", {"x": [0.0, 0.78, 0.79, -0.01]}, [False, False, True, True]),
        ("/predict", {"x": [[0.5], [60]]}, [False, True]),
        ("/predict", {"rows": [{"x": 60}, {"x": 0.5}]}, [True, False]),
        ("/models/default/versions/1/predict", {"x": [0.5, 60]}, [False, True]),
        # One feature beyond is enough.
        ("/models/two/predict", {"x": [[1, 5], [1.1, 0], [0, -2], [9, 9]]}, [False, *[True] * 3]),
        ("/models/two/predict", {"rows": [{"b": 5, "a": 1}]}, [False]),
    ],
)
def test_who_asks_is_told_which_rows_lie_outside(
    client: Client, road: str, body: dict[str, Any], outside: list[bool]
) -> None:
    answer = client.post(road, {**body, "explain": True}).json()
    assert list(answer) == ["y", "model", "version", "extrapolating"]
    assert answer["extrapolating"] == outside
    # Who does not ask gets the same predictions and no word more.
    del answer["extrapolating"]
    assert client.post(road, body).json() == answer
    assert client.post(road, {**body, "explain": False}).json() == answer


def test_the_last_float32_of_the_range_lies_within() -> None:
    # The tutorial's x of 0.78 is 0.7799999713897705 in float32.
    limit = float(torch.tensor(0.78, dtype=torch.float32))
    of_line = Range(torch.zeros(1, dtype=torch.float64), torch.tensor([limit]).double())
    x_N1 = torch.tensor([[0.78], [limit], [0.7801]], dtype=torch.float64)
    assert of_line.is_outside(x_N1).tolist() == [False, False, True]


def test_for_a_csv_the_query_asks(client: Client) -> None:
    table = "b,a\n5,1\n0,1.1\n"
    answer = client.post("/models/two/predict?explain=true", table, headers=CSV)
    assert answer.json()["extrapolating"] == [False, True]
    assert "extrapolating" not in client.post("/models/two/predict", table, headers=CSV).json()
    # It does for JSON too.
    assert client.post("/predict?explain=true", {"x": 60}).json()["extrapolating"] == [True]


def test_a_body_for_a_thread_is_explained_the_same(client: Client) -> None:
    x = [index / 2500 for index in range(5000)]
    answer = client.post("/predict", {"x": x, "explain": True})
    assert len(answer.request.content) > INLINE_BYTES
    assert answer.json()["extrapolating"] == [value > 0.7800008 for value in x]


def test_a_version_that_kept_no_range_says_nothing(client: Client) -> None:
    answer = client.post("/models/old/predict", {"x": 60, "explain": True})
    assert answer.json() == {"y": [121], "model": "old", "version": 1}


@pytest.mark.parametrize("explain", [1, "true", None, [], {}])
def test_explain_is_a_boolean(client: Client, explain: Any) -> None:
    answer = client.post("/predict", {"x": 1, "explain": explain})
    assert pointers(answer) == ["/explain"]


def test_the_query_is_one_too(client: Client) -> None:
    answer = client.post(f"/predict?explain={SECRET}", {"x": 1})
    assert pointers(answer) == [""]
    assert "query parameter explain" in answer.json()["detail"]
    assert SECRET not in answer.text


# ---- text ----


def house(**changes: Any) -> dict[str, Any]:
    return {"area": 50, "colour": "green", "garden": True, **changes}


def test_rows_with_text_are_answered(client: Client) -> None:
    rows = [house(), house(garden=False, colour="blue"), house(area=10, garden=0)]
    answer = client.post(TEXT, {"rows": rows})
    assert answer.json() == {"y": [126, 111, 41], "model": "text", "version": 1}
    table = "garden,colour,area\ntrue,green,50\nfalse,blue,50\n0,green,10\n"
    assert client.post(TEXT, table, headers=CSV).json() == answer.json()


def test_a_word_that_was_in_the_file_but_in_no_training_row_extrapolates(client: Client) -> None:
    rows = [house(), house(colour="red"), house(area=91), house(garden=2)]
    answer = client.post(TEXT, {"rows": rows, "explain": True})
    assert answer.json()["extrapolating"] == [False, True, True, True]


def test_a_word_that_nobody_knows_has_an_error_of_its_own(client: Client) -> None:
    answer = client.post(TEXT, {"rows": [house(), house(colour=SECRET)]})
    body = check_problem(answer, 422, "unseen_category")
    assert [fault["pointer"] for fault in body["errors"]] == ["/rows/1/colour"]
    assert "known are blue, green, red" in body["detail"]
    assert SECRET not in answer.text
    table = f"area,colour,garden\n50,green,1\n50,{SECRET},1\n"
    body = check_problem(client.post(TEXT, table, headers=CSV), 422, "unseen_category")
    assert [fault["pointer"] for fault in body["errors"]] == [""]
    assert body["detail"].startswith("line 3: feature colour")
    assert SECRET not in str(body)


@pytest.mark.parametrize(
    ("row", "pointer"),
    [
        (house(colour=None), "/rows/0/colour"),
        (house(colour=["red"]), "/rows/0/colour"),
        (house(colour={"kind": "red"}), "/rows/0/colour"),
        (house(colour="x" * 1001), "/rows/0/colour"),
        (house(colour=7), "/rows/0/colour"),
        (house(area=SECRET), "/rows/0/area"),
        (house(area=True), "/rows/0/area"),
        (house(garden=SECRET), "/rows/0/garden"),
        (house(garden=1e39), "/rows/0/garden"),
        # Names that are those of our own unions, and of their discriminators.
        ({"kind": "colour", "colour": None}, "/rows/0/colour"),
        ({"source": "x", "x": None, "number": 1}, "/rows/0/x"),
        ({"number": None}, "/rows/0/number"),
        ({"text": []}, "/rows/0/text"),
        ({"boolean": {}}, "/rows/0/boolean"),
        ({"kind": None}, "/rows/0/kind"),
    ],
)
def test_a_cell_that_cannot_be_meant_is_pointed_at(
    client: Client, row: dict[str, Any], pointer: str
) -> None:
    answer = client.post(TEXT, {"rows": [row]})
    assert pointers(answer) == [pointer]
    assert SECRET not in answer.text


@pytest.mark.parametrize("x", [1, [1, 2], [[50, 0, 1, 0, 1]]])
def test_numbers_by_place_are_refused_where_there_is_text(client: Client, x: Any) -> None:
    answer = client.post(TEXT, {"x": x})
    assert pointers(answer) == ["/x"]
    assert "send `rows`" in answer.json()["detail"]


def test_parameters_say_which_column_each_weight_belongs_to(client: Client) -> None:
    params = client.get("/models/text/params").json()
    assert params["feature_names"] == ["area", "colour", "garden"]
    assert params["categories"] == {"colour": ["blue", "green", "red"]}
    assert params["columns"] == ["area", "colour=blue", "colour=green", "colour=red", "garden"]
    assert dict(zip(params["columns"], params["weight"], strict=True))["colour=green"] == 20


def test_a_word_of_any_script_is_told_as_it_is(client: Client, place: Place) -> None:
    words = ("\u00e9t\u00e9", "\u51ac", "\U0001f31e")
    place.publish(
        replace(line([1.0, 2.0, 3.0]), feature_names=("season",), categories={"season": words}),
        model="seasons",
    )
    body = json.dumps({"rows": [{"season": word} for word in words]}).encode()
    version = "/models/seasons/versions/1/predict"
    assert len(client.post(version, body).json()["y"]) == 3
    answer = client.post(version, {"rows": [{"season": "spring"}]})
    assert check_problem(answer, 422, "unseen_category")["detail"].endswith(", ".join(words))
