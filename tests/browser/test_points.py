"""What is pasted into the form for points, as the page reads it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

READ = """async (text) => {
  const address = document.querySelector("script[type=module]").src.replace("app.js", "points.js");
  const { parsePoints, pointsData, pointsText } = await import(address);
  const parsed = parsePoints(text);
  const data = parsed.rows.length ? pointsData(parsed) : null;
  return { ...parsed, data, again: data && parsePoints(pointsText(data)).rows };
}"""


def read(page: Page, text: str) -> dict[str, Any]:
    told: dict[str, Any] = page.evaluate(READ, text)
    return told


@pytest.mark.parametrize(
    ("text", "rows", "between"),
    [
        ("1\t2\n3\t4", [[1, 2], [3, 4]], "tabs"),
        ("1,2\r\n3,4\r\n", [[1, 2], [3, 4]], "commas"),
        ("1, 2\n\n\n3 ,4\n", [[1, 2], [3, 4]], "commas"),
        ("1;2;3\n4;5;6", [[1, 2, 3], [4, 5, 6]], "semicolons"),
        ("  1   2\n3 4", [[1, 2], [3, 4]], "spaces"),
        # Spreadsheets of half of the world.
        ("0,5\t1,25\n-2,0\t3", [[0.5, 1.25], [-2, 3]], "tabs"),
        ("0,5;1,25\n-2,0;3", [[0.5, 1.25], [-2, 3]], "semicolons"),
        ("1e3,-.5\n+2,−3.", [[1000, -0.5], [2, -3]], "commas"),
        ('"1","2"\n"3","4"', [[1, 2], [3, 4]], "commas"),
        # What is no number stays, for the service to refuse by its place.
        ("1,2\n3,four", [[1, 2], [3, "four"]], "commas"),
        ("1,2\n3,", [[1, 2], [3, ""]], "commas"),
        ("1,2\n3,4,5", [[1, 2], [3, 4, 5]], "commas"),
        ("7,0x10\n1,Infinity", [[7, "0x10"], [1, "Infinity"]], "commas"),
    ],
)
def test_cells_between(page: Page, text: str, rows: list[list[object]], between: str) -> None:
    told = read(page, text)
    assert told["rows"] == rows
    assert told["between"] == between


def test_a_first_line_without_a_number_is_a_header(page: Page) -> None:
    told = read(page, '"floor area",rooms,price\n\n30,1,67\n45,2,112\n')
    assert told["names"] == ["floor area", "rooms", "price"]
    assert told["data"] == {
        "source": "points",
        "x": [[30, 1], [45, 2]],
        "y": [67, 112],
        "feature_names": ["floor area", "rooms"],
        "target_names": ["price"],
    }
    # As an editor counts them, so that a fault can be found.
    assert told["lines"] == [3, 4]
    assert told["again"] == [[30, 1, 67], [45, 2, 112]]


def test_one_feature_is_a_list_of_numbers(page: Page) -> None:
    told = read(page, "1,2\n3,4")
    assert told["names"] is None
    assert told["data"] == {"source": "points", "x": [1, 3], "y": [2, 4]}


@pytest.mark.parametrize("text", ["", "  \n \n"])
def test_nothing_is_no_row(page: Page, text: str) -> None:
    assert read(page, text)["rows"] == []
