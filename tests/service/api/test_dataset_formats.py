"""Each format through the real reader, and what is said of files that are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest

from service.settings import Settings
from tests.service.api.driving import Client, check_problem, speaking_to

CSV = "text/csv"
NDJSON = "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"

ROWS = {"area": [30.5, 45.0, 60.25], "rooms": [1, 2, 2], "town": ["b", "a", "b"]}


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    bounds = {"max_dataset_rows": 1000, "max_dataset_columns": 5}
    with speaking_to(settings.model_copy(update=bounds)) as client:
        yield client


def send(client: Client, kind: str, content: bytes | str, query: str = "") -> httpx.Response:
    headers = {"Content-Type": kind}
    return client.request("POST", f"/datasets{query}", content=content, headers=headers)


def file_of(kind: str, tmp_path: Path) -> bytes:
    frame, file = pl.DataFrame(ROWS), tmp_path / "sent"
    match kind:
        case "text/csv":
            frame.write_csv(file)
        case "application/x-ndjson":
            frame.write_ndjson(file)
        case _:
            frame.write_parquet(file)
    return file.read_bytes()


@pytest.mark.parametrize("kind", [CSV, NDJSON, PARQUET])
def test_each_format_tells_the_same_of_the_same_rows(
    client: Client, settings: Settings, tmp_path: Path, kind: str
) -> None:
    answer = send(client, kind, file_of(kind, tmp_path))
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["rows"] == 3
    area, rooms, town = body["columns"]
    assert [column["name"] for column in body["columns"]] == list(ROWS)
    assert (area["type"], area["min"], area["max"], area["nulls"]) == ("number", 30.5, 60.25, 0)
    assert area["mean"] == pytest.approx(45.25)
    assert (rooms["type"], rooms["distinct"]) == ("integer", 2)
    assert (town["type"], town["categories"], town["mean"]) == ("text", ["a", "b"], None)
    file = settings.datasets_dir / body["id"] / "rows.arrow"
    assert pl.read_ipc(file)["area"].to_list() == ROWS["area"]


def test_how_csv_is_written_may_be_told(client: Client) -> None:
    german = "preis;plz\n1,5;01099\n2,5;80331\n"
    query = "?delimiter=semicolon&decimal=comma&text=plz"
    price, postcode = send(client, CSV, german, query).json()["columns"]
    assert (price["type"], price["min"], price["max"]) == ("number", 1.5, 2.5)
    assert (postcode["type"], postcode["categories"]) == ("text", ["01099", "80331"])


def test_the_same_bytes_as_another_format_are_another_dataset(client: Client) -> None:
    content = '{"a": 1}\n{"a": 2}\n'
    as_ndjson = send(client, NDJSON, content)
    assert as_ndjson.status_code == 201
    as_csv = send(client, CSV, content)
    assert as_csv.status_code in (201, 422)
    if as_csv.status_code == 201:
        assert as_csv.json()["id"] != as_ndjson.json()["id"]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (CSV, "a,b\n"),
        (CSV, "a,b\n1,2\n3,4,5\n"),
        (CSV, "a,a\n1,2\n"),
        (CSV, b"a,b\n1,\xff\n"),
        (CSV, b"\x1f\x8b\x08\x00rest"),
        (CSV, "a,b\n1,2\n" * 2000),
        (CSV, "a,b,c,d,e,f\n1,2,3,4,5,6\n"),
        (CSV, "a,b\n1,secret\n2,secret,secret\n"),
        (NDJSON, '{"a": 1}\n{"a": secret}\n'),
        (NDJSON, "[1, 2]\n"),
        (NDJSON, "\n\n"),
        (PARQUET, "a,b\n1,2\n"),
        (PARQUET, b"PAR1" + b"\0" * 100 + b"PAR1"),
        (PARQUET, b"PAR1"),
    ],
)
def test_what_is_no_file_of_rows_is_refused_in_words(
    client: Client, settings: Settings, kind: str, content: bytes | str
) -> None:
    answer = send(client, kind, content)
    body = check_problem(answer, 422, "bad_file")
    assert "broke off" not in body["detail"]
    assert "memory" not in body["detail"]
    assert "secret" not in answer.text
    assert list(settings.datasets_dir.iterdir()) == []


def test_a_bad_line_is_named(client: Client) -> None:
    body = check_problem(send(client, CSV, "a,b\n1,2\n3,4,5\n"), 422, "bad_file")
    assert body["errors"][0]["line"] == 3
    body = check_problem(send(client, NDJSON, '{"a": 1}\n{"a": 2\n'), 422, "bad_file")
    assert body["errors"][0]["line"] == 2
