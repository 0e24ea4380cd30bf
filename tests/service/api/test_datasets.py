"""/datasets over HTTP: what is taken in, what is refused, and what is left when somebody goes."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

import service.api.upload
from service.artifacts.disk import trouble_in_words
from service.datasets.intake import Upload
from service.settings import Settings
from tests.e2e.running import alive
from tests.service.api.driving import Client, check_problem, speaking_to
from tests.service.datasets.faking import fake_reader, pid_in
from tests.service.making import NOW, Place, at_once, new_dataset, new_job
from tests.waiting import until

CSV = {"Content-Type": "text/csv"}
UNKNOWN = "/datasets/" + "0" * 32


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "started"
    fake_reader(monkeypatch, file)
    return file


@pytest.fixture
def client(settings: Settings, started: Path) -> Iterator[Client]:
    bounds = {"max_dataset_bytes": 1_000_000, "max_datasets": 4, "max_uploads": 2}
    with speaking_to(settings.model_copy(update=bounds)) as client:
        yield client


def send(
    client: Client, content: bytes | str = "1\n2\n3\n", query: str = "", **headers: str
) -> httpx.Response:
    sent = CSV | {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request("POST", f"/datasets{query}", content=content, headers=sent)


def left(settings: Settings) -> list[str]:
    root = settings.datasets_dir
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


# ---- taken in ----


def test_a_file_becomes_a_dataset(client: Client) -> None:
    answer = send(client, query="?name=houses")
    assert answer.status_code == 201
    body = answer.json()
    assert answer.headers["location"] == body["links"]["self"] == f"/datasets/{body['id']}"
    assert body["created_at"].endswith("Z")
    del body["created_at"]
    assert body == {
        "id": body["id"],
        "name": "houses",
        "sha256": hashlib.sha256(b"1\n2\n3\n").hexdigest(),
        "bytes": 6,
        "format": "csv",
        "options": {"delimiter": None, "decimal": "point", "text": []},
        "rows": 3,
        "columns": [
            {
                "name": "area",
                "type": "number",
                "nulls": 0,
                "distinct": 3,
                "min": 1.0,
                "max": 3.0,
                "mean": 2.0,
                "std": 0.5,
                "categories": None,
            }
        ],
        "links": {"self": f"/datasets/{body['id']}", "train": "/train"},
    }
    shown = client.get(answer.headers["location"])
    assert shown.json() == answer.json()


def test_the_same_bytes_are_the_same_dataset_under_its_first_name(client: Client) -> None:
    first = send(client, query="?name=houses")
    again = send(client, query="?name=other")
    assert again.status_code == 200
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("text/csv", "csv"),
        ("Text/CSV; charset=utf-8", "csv"),
        ("application/vnd.apache.parquet", "parquet"),
        ("application/x-ndjson", "ndjson"),
        ("application/ndjson", "ndjson"),
        ("application/jsonl", "ndjson"),
    ],
)
def test_each_format_has_its_media_types(client: Client, kind: str, told: str) -> None:
    answer = send(client, Content_Type=kind)
    assert answer.status_code == 201
    assert answer.json()["format"] == told


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {}),
        ("?delimiter=semicolon&decimal=comma", {"delimiter": ";", "decimal": "comma"}),
        ("?delimiter=;", {"delimiter": ";"}),
        ("?delimiter=%09", {"delimiter": "\t"}),
        ("?delimiter=tab", {"delimiter": "\t"}),
        ("?delimiter=|", {"delimiter": "|"}),
        ("?delimiter=,", {"delimiter": ","}),
        ("?text=b&text=a&text=b", {"text": ["a", "b"]}),
        ("?text=b,a", {"text": ["a", "b"]}),
        ("?text=%22a,b%22,c", {"text": ["a,b", "c"]}),
    ],
)
def test_options_are_told_in_one_form(
    client: Client, query: str, options: dict[str, object]
) -> None:
    wanted = {"delimiter": None, "decimal": "point", "text": [], **options}
    assert send(client, query=query).json()["options"] == wanted


@pytest.mark.usefixtures("started")
def test_the_same_sent_by_many_at_once_is_answered_alike(settings: Settings) -> None:
    with speaking_to(settings.model_copy(update={"max_uploads": 6})) as client:
        answers = at_once(6, lambda _: send(client))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert left(settings) == [answers[0].json()["id"]]


def test_categories_and_long_text_are_bounded(client: Client, place: Place) -> None:
    profile = new_dataset().profile
    column = replace(profile.columns[0], type="text", min="a" * 500, max="z" * 100)
    few, many = tuple("abc"), tuple(f"{i:04}" for i in range(101))
    long = ("x" * 600_000,)
    columns = [replace(column, vocabulary=words) for words in (few, many, None, long, long, few)]
    new = new_dataset(profile=replace(profile, columns=tuple(columns)))
    with place.database.write() as stores:
        stores.datasets.add(new, NOW)
    told = client.get(f"/datasets/{new.id}").json()["columns"]
    shown = [column["categories"] for column in told]
    assert shown == [list(few), None, None, list(long), None, list(few)]
    assert told[0]["min"] == "a" * 99 + "…"
    assert told[0]["max"] == "z" * 100


# ---- refused ----


def test_a_bad_row_is_refused_with_its_place(client: Client, settings: Settings) -> None:
    body = check_problem(send(client, "bad\n"), 422, "bad_file")
    assert body["detail"] == "line 3, column area: expected a number"
    assert body["errors"] == [
        {"pointer": "", "detail": body["detail"], "line": 3, "column": "area"}
    ]
    assert left(settings) == []


@pytest.mark.parametrize("content", ["", "kill\n", "bug\n", "silent\n", "nan\n"])
def test_a_file_that_cannot_be_read_is_the_clients_to_mend(
    client: Client, settings: Settings, content: str
) -> None:
    body = check_problem(send(client, content), 422, "bad_file")
    assert body["errors"] == [{"pointer": "", "detail": body["detail"]}]
    assert left(settings) == []


def test_without_a_type_that_is_read_nothing_is(client: Client, settings: Settings) -> None:
    for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain"):
        body = check_problem(send(client, Content_Type=kind), 415, "unsupported_media_type")
        assert "text/csv or application/vnd.apache.parquet" in body["detail"]
    answer = client.request("POST", "/datasets", content=b"a\n1\n")
    check_problem(answer, 415, "unsupported_media_type")
    body = check_problem(send(client, Content_Encoding="gzip"), 415, "unsupported_media_type")
    assert "Content-Encoding" in body["detail"]
    assert send(client, Content_Encoding="identity").status_code == 201


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("?name=", "name"),
        ("?name=%20", "name"),
        ("?name=a%0Ab", "name"),
        ("?name=a%00b", "name"),
        ("?name=" + "x" * 129, "name"),
        ("?delimiter=colon", "delimiter"),
        ("?delimiter=", "delimiter"),
        ("?decimal=.", "decimal"),
        ("?delimeter=comma", "delimeter"),
        ("?text=" + "&text=".join(map(str, range(2001))), "text"),
        ("?" + "x" * 5000 + "=1", "x" * 100),
    ],
)
def test_parameters_that_cannot_be_meant_are_named(client: Client, query: str, named: str) -> None:
    answer = send(client, query=query)
    body = check_problem(answer, 422, "invalid_request")
    assert f"query parameter {named}" in body["detail"]
    assert len(answer.text) < 2000


def test_what_goes_with_csv_goes_with_nothing_else(client: Client) -> None:
    for option in ("delimiter=comma", "decimal=point"):
        answer = send(client, query=f"?{option}", Content_Type="application/x-ndjson")
        body = check_problem(answer, 422, "invalid_request")
        assert "goes with Content-Type: text/csv only" in body["detail"]
    kinds = ("application/x-ndjson", "application/vnd.apache.parquet")
    for kind in kinds:
        assert send(client, query="?text=a", Content_Type=kind).status_code == 201


def test_too_many_bytes_are_refused_by_their_header_and_by_their_number(
    client: Client, settings: Settings
) -> None:
    for content in (b"x" * 1_000_001, b"x"):
        told = {} if len(content) > 1 else {"Content_Length": "1" * 19}
        answer = send(client, content, **told)
        body = check_problem(answer, 413, "too_large")
        assert "at most 1000000 are allowed" in body["detail"]
        assert answer.headers["connection"] == "close"

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100_000

    answer = client.request("POST", "/datasets", content=chunks(), headers=CSV)
    check_problem(answer, 413, "too_large")
    assert left(settings) == []


def test_one_dataset_more_than_are_allowed_is_refused(client: Client, settings: Settings) -> None:
    ids = [send(client, f"{i}\n2\n3\n").json()["id"] for i in range(4)]
    body = check_problem(send(client, "9\n"), 409, "too_many_datasets")
    assert "delete one" in body["detail"]
    assert send(client, "1\n2\n3\n").status_code == 200
    assert client.request("DELETE", f"/datasets/{ids[0]}").status_code == 204
    assert send(client, "9\n").status_code == 201


def test_a_full_disk_is_told_and_the_next_upload_is_taken(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(self: Upload, block: bytes) -> None:
        with trouble_in_words("an upload"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Upload, "write", fill)
        answer = send(client)
    check_problem(answer, 507, "storage_full")
    assert answer.headers["connection"] == "close"
    assert left(settings) == []
    check_problem(send(client, "full\n"), 507, "storage_full")
    assert send(client).status_code == 201


# ---- leaving, stalling, crowding ----


def test_a_client_that_leaves_while_sending_leaves_nothing(
    client: Client, settings: Settings
) -> None:
    seen: list[list[str]] = []
    client.post_and_leave(
        "/datasets", [b"1\n", b"2\n"], CSV, in_full=False, when=lambda: seen.append(left(settings))
    )
    assert len(seen[0]) == 1, "it was being written"
    assert left(settings) == []
    assert client.parts.uploads == 0


def test_a_client_that_leaves_while_its_file_is_read_ends_the_reading(
    client: Client, settings: Settings, started: Path
) -> None:
    pids: list[int] = []
    client.post_and_leave(
        "/datasets", [b"hang\n"], CSV, in_full=True, when=lambda: pids.append(pid_in(started))
    )
    assert not alive(pids[0])
    assert left(settings) == []
    assert client.parts.uploads == 0


@pytest.mark.parametrize("in_full", [True, False])
def test_an_upload_that_the_server_cancels_leaves_nothing(
    client: Client, settings: Settings, started: Path, in_full: bool
) -> None:
    client.post_and_leave(
        "/datasets",
        [b"hang\n"],
        CSV,
        in_full=in_full,
        when=lambda: pid_in(started) if in_full else None,
        cancel=True,
    )
    until(lambda: not left(settings), "the upload to be cleared away")
    assert client.parts.uploads == 0


def test_a_client_that_stalls_loses_its_place(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.api.upload, "STALL_SECONDS", 0.05)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"1\n"
        await asyncio.sleep(0.5)
        yield b"2\n"

    answer = client.request("POST", "/datasets", content=chunks(), headers=CSV)
    body = check_problem(answer, 408, "upload_stalled")
    assert "0.05 seconds" in body["detail"]
    assert left(settings) == []
    assert client.parts.uploads == 0


def test_one_upload_too_many_is_to_come_back(
    client: Client, settings: Settings, started: Path
) -> None:
    leave = threading.Event()

    def hang(index: int) -> Any:
        if index < 2:
            return client.post_and_leave(
                "/datasets", [b"hang\n"], CSV, in_full=True, when=lambda: leave.wait(20)
            )
        try:
            while client.parts.uploads < 2:
                assert not leave.wait(0.01)
            return send(client)
        finally:
            leave.set()

    answer = at_once(3, hang)[2]
    check_problem(answer, 429, "too_many_uploads")
    assert answer.headers["retry-after"] == "5"
    assert send(client).status_code == 201


# ---- list, show, delete ----


def test_lists_are_paged_newest_first(client: Client) -> None:
    ids = [send(client, f"{i}\n2\n3\n").json()["id"] for i in range(4)]
    first = client.get("/datasets?limit=3").json()
    assert [dataset["id"] for dataset in first["datasets"]] == ids[:0:-1]
    assert "columns" not in first["datasets"][0]
    rest = client.get(f"/datasets?limit=3&after={first['next']}").json()
    assert [dataset["id"] for dataset in rest["datasets"]] == [ids[0]]
    assert rest["next"] is None
    for query in ("limit=0", "limit=101", "after=x"):
        check_problem(client.get(f"/datasets?{query}"), 422, "invalid_request")


def test_what_is_not_there_is_not_found(client: Client) -> None:
    for method in ("GET", "DELETE"):
        for path in (UNKNOWN, "/datasets/x", "/datasets/" + "A" * 32, "/datasets/%00"):
            check_problem(client.request(method, path), 404, "dataset_not_found")


def test_a_deleted_dataset_is_gone_and_may_come_again(client: Client, settings: Settings) -> None:
    path = send(client).headers["location"]
    answer = client.request("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    check_problem(client.get(path), 404, "dataset_not_found")
    check_problem(client.request("DELETE", path), 404, "dataset_not_found")
    assert left(settings) == []
    again = send(client)
    assert (again.status_code, again.headers["location"]) == (201, path)


def test_a_dataset_that_a_job_reads_is_not_deleted(
    client: Client, settings: Settings, place: Place
) -> None:
    path = send(client).headers["location"]
    here = path.rpartition("/")[2]
    with place.database.write() as stores:
        job = stores.jobs.add(replace(new_job(), dataset=here), NOW)
    check_problem(client.request("DELETE", path), 409, "dataset_in_use")
    assert client.get(path).status_code == 200
    with place.database.write() as stores:
        stores.jobs.request_cancel(job.id, NOW)
    assert client.request("DELETE", path).status_code == 204


def test_damage_is_mended_by_sending_the_file_again(client: Client, settings: Settings) -> None:
    first = send(client)
    file = settings.datasets_dir / first.json()["id"] / "rows.arrow"
    file.unlink()
    again = send(client)
    assert (again.status_code, again.json()) == (200, first.json())
    assert file.read_bytes() == b"1\n2\n3\n"
