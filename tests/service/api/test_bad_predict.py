"""Bodies of POST /predict that cannot be meant: a 422 that points at the place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.settings import Settings
from tests.service.api.bodies import NO_JSON, NO_NUMBER, NO_OBJECT
from tests.service.api.driving import Client, check_problem, pointers, speaking_to
from tests.service.making import Place, line

SECRET = "do-not-repeat-me"
TWO = "/models/two/predict"


@pytest.mark.parametrize("body", NO_JSON)
def test_what_is_no_json_is_refused_as_a_whole(steady_client: Client, body: bytes) -> None:
    answer = steady_client.post("/predict", body)
    assert pointers(answer) == [""]
    assert len(answer.text) < 1000


@pytest.mark.parametrize("body", NO_OBJECT)
def test_what_is_no_object_is_refused_as_a_whole(steady_client: Client, body: bytes) -> None:
    assert pointers(steady_client.post("/predict", body)) == [""]


@pytest.mark.parametrize("value", NO_NUMBER)
@pytest.mark.parametrize(
    ("road", "template", "pointer"),
    [
        ("/predict", '{"x": %s}', "/x"),
        ("/predict", '{"x": [%s]}', "/x/0"),
        ("/predict", '{"x": [0.5, %s, 0.5]}', "/x/1"),
        ("/predict", '{"rows": [{"x": 1}, {"x": %s}]}', "/rows/1/x"),
        (TWO, '{"x": [[%s, 1]]}', "/x/0/0"),
        (TWO, '{"x": [[1, 2], [3, %s]]}', "/x/1/1"),
        (TWO, '{"rows": [{"a": %s, "b": 2}]}', "/rows/0/a"),
    ],
)
def test_what_is_no_number_of_float32_is_pointed_at(
    steady_client: Client, road: str, template: str, pointer: str, value: str
) -> None:
    answer = steady_client.post(road, template % value)
    # A field that is null is as good as left out: then neither x nor rows is there.
    wanted = "" if (template, value) == ('{"x": %s}', "null") else pointer
    assert pointers(answer) == [wanted]
    assert SECRET not in answer.text
    assert len(answer.text) < 1000


BAD: list[tuple[str, str, list[str]]] = [
    ("/predict", "", [""]),
    ("/predict", "{}", [""]),
    ("/predict", '{"x": 1, "rows": [{"x": 1}]}', [""]),
    ("/predict", '{"x": null, "rows": null}', [""]),
    ("/predict", f'{{"x": 1, "{SECRET}": 1}}', [f"/{SECRET}"]),
    ("/predict", '{"X": 1}', ["/X"]),
    ("/predict", '{"x": []}', ["/x"]),
    ("/predict", '{"rows": []}', ["/rows"]),
    ("/predict", '{"rows": {}}', ["/rows"]),
    ("/predict", '{"rows": [1]}', ["/rows/0"]),
    ("/predict", '{"rows": [[1]]}', ["/rows/0"]),
    ("/predict", '{"rows": [{}]}', ["/rows/0"]),
    ("/predict", '{"rows": [{"x": 1}, {"y": 1}]}', ["/rows/1"]),
    ("/predict", '{"rows": [{"x": 1, "y": 1}]}', ["/rows/0"]),
    ("/predict", '{"x": [[]]}', ["/x/0"]),
    ("/predict", '{"x": [[1], []]}', ["/x/1"]),
    ("/predict", '{"x": [[1], [1, 2]]}', ["/x/1"]),
    ("/predict", '{"x": [[1], 2]}', ["/x/1"]),
    ("/predict", '{"x": [1, [2]]}', ["/x/1"]),
    ("/predict", '{"x": [[[1]]]}', ["/x/0/0"]),
    (TWO, '{"x": 1}', ["/x"]),
    (TWO, '{"x": [1, 2]}', ["/x"]),
    (TWO, '{"x": [[1, 2, 3]]}', ["/x/0"]),
    (TWO, '{"x": [[1, 2], [3]]}', ["/x/1"]),
    (TWO, '{"rows": [{"a": 1}]}', ["/rows/0"]),
    (TWO, '{"rows": [{"a": 1, "b": 2, "c": 3}]}', ["/rows/0"]),
    ("/predict", '{"rows": [{"line": null}]}', ["/rows/0/line"]),
    ("/predict", '{"rows": [{"a/b": null}]}', ["/rows/0/a~1b"]),
    ("/models/default/versions/1/predict", '{"x": "1"}', ["/x"]),
]


@pytest.mark.parametrize(("road", "body", "wanted"), BAD)
def test_what_cannot_be_meant_is_pointed_at(
    steady_client: Client, road: str, body: str, wanted: list[str]
) -> None:
    answer = steady_client.post(road, body.encode())
    assert pointers(answer) == wanted


def test_the_position_stands_in_the_words_too(steady_client: Client) -> None:
    body = {"x": [[1, 2], [3]]}
    problem = check_problem(steady_client.post(TWO, body), 422, "invalid_request")
    assert "expected 2 features, got 1 in row 1" in problem["detail"]


def test_an_answer_beyond_float32_is_pointed_at(steady_client: Client) -> None:
    answer = steady_client.post("/predict", {"x": [1.0, 3e38]})
    assert pointers(answer) == ["/x/1"]
    assert "model default, version 1" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "line 1: expected the header x"),
        (b"y\n1\n", "line 1: expected the header x"),
        (b"x\n", "at least one line"),
        (b"x\n1\n1,2\n", "line 3: expected 1 values, got 2"),
        (b"x\n1\ndo-not-repeat-me\n", "line 3, column x: expected a number"),
        (b"x\nNaN\n", "line 2, column x"),
        (b"x\n1e39\n", "line 2, column x"),
        (b"x\n\xff\n", "no CSV in UTF-8"),
        (b"\xff\xfex\x00\n\x00", "no CSV in UTF-8"),
    ],
)
def test_a_csv_that_cannot_be_meant_is_refused(
    steady_client: Client, body: bytes, words: str
) -> None:
    answer = steady_client.post("/predict", body, headers={"Content-Type": "text/csv"})
    assert pointers(answer) == [""]
    assert words in answer.json()["detail"]
    assert SECRET not in answer.text


@pytest.mark.parametrize("kind", ["text/plain", "application/csv", "application/octet-stream", ""])
def test_another_media_type_is_refused(steady_client: Client, kind: str) -> None:
    answer = steady_client.post("/predict", '{"x": 1}', headers={"Content-Type": kind})
    body = check_problem(answer, 415, "unsupported_media_type")
    assert "application/json or text/csv" in body["detail"]


# ---- size ----


@pytest.fixture
def narrow(place: Place, settings: Settings) -> Iterator[Client]:
    place.publish(line(2.0, 1.0))
    bounds = {"max_body_bytes": 100, "max_predict_rows": 3}
    with speaking_to(settings.model_copy(update=bounds)) as client:
        yield client


def test_a_body_at_the_bound_is_read_and_one_byte_more_is_refused(narrow: Client) -> None:
    body = b'{"x": 1}'.ljust(100)
    assert narrow.post("/predict", body).status_code == 200
    check_problem(narrow.post("/predict", body + b" "), 413, "too_large")
    assert narrow.post_chunks("/predict", [body[:9], body[9:]]).status_code == 200
    check_problem(narrow.post_chunks("/predict", [body, b" "]), 413, "too_large")


@pytest.mark.parametrize(
    ("kind", "three", "four", "pointer"),
    [
        ("application/json", '{"x": [1, 2, 3]}', '{"x": [1, 2, 3, 4]}', "/x"),
        ("application/json", '{"x": [[1], [2], [3]]}', '{"x": [[1], [2], [3], [4]]}', "/x"),
        (
            "application/json",
            '{"rows": [{"x": 1}, {"x": 2}, {"x": 3}]}',
            '{"rows": [{"x": 1}, {"x": 2}, {"x": 3}, {"x": 4}]}',
            "/rows",
        ),
        ("text/csv", "x\n1\n2\n3\n", "x\n1\n2\n3\n4\n", ""),
    ],
)
def test_rows_at_the_bound_are_answered_and_one_more_is_refused(
    narrow: Client, kind: str, three: str, four: str, pointer: str
) -> None:
    headers = {"Content-Type": kind}
    assert narrow.post("/predict", three, headers=headers).status_code == 200
    answer = narrow.post("/predict", four, headers=headers)
    assert pointers(answer) == [pointer]
    assert "rows sent, at most 3 allowed" in answer.json()["detail"]
