"""Files of rows sent to the real thing: large ones, broken ones, and readers that are killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.running import RunningService, alive, running
from tests.waiting import until

pytestmark = pytest.mark.e2e

CSV = {"Content-Type": "text/csv"}
LINE = b"0.123456789012,0.987654321098,3.141592653589\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    data_dir = tmp_path_factory.mktemp("datasets") / "data"
    with running(data_dir, bootstrap=False, max_dataset_bytes=200_000_000) as started:
        yield started


def csv(megabytes: int, first: str = "1") -> Iterator[bytes]:
    """A file of three columns, a megabyte at a time."""
    yield f"a,b,c\n{first},2,3\n".encode()
    block = LINE * (1_000_000 // len(LINE))
    for _ in range(megabytes):
        yield block


def webs(service: RunningService) -> list[int]:
    """The processes that answer."""
    return [int(pid) for pid in re.findall(r"web worker \d+ runs as process (\d+)", service.log)]


def peak_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def readers(service: RunningService) -> list[int]:
    """Processes that read a file right now."""
    # `descendants` sees children of first threads only; these are started by others.
    found, ours = [], webs(service)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"ml.datasets" in words and parent in ours:
            found.append(int(folder.name))
    return found


def under_way(service: RunningService) -> list[str]:
    """Folders of uploads that have not ended."""
    return [path.name for path in (service.data_dir / "datasets").glob(".unfinished-*")]


def send(service: RunningService, content: Any, query: str = "") -> httpx.Response:
    # Each on a connection of its own: either web process may take it.
    url = f"{service.url}/datasets{query}"
    return httpx.post(url, content=content, headers=CSV, timeout=120)


def begin_by_hand(service: RunningService, promised: int) -> socket.socket:
    """A connection on which a body of ``promised`` bytes was announced."""
    url = httpx.URL(service.url)
    connection = socket.create_connection((url.host, url.port), timeout=30)
    head = "POST /datasets HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
    connection.sendall(f"{head}Content-Length: {promised}\r\n\r\n".encode())
    return connection


def test_a_large_file_goes_by_and_leaves_the_memory_as_it_was(service: RunningService) -> None:
    send(service, b"warm,up\n1,2\n")
    before = {pid: peak_memory(pid) for pid in webs(service)}
    answer = send(service, csv(100), "?name=large")
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["bytes"] > 99_000_000
    assert body["rows"] == 1 + 100 * (1_000_000 // len(LINE))
    assert [column["name"] for column in body["columns"]] == ["a", "b", "c"]
    assert body["columns"][0]["max"] == 1
    grown = {pid: peak_memory(pid) - size for pid, size in before.items()}
    assert max(grown.values()) < 25_000_000, grown
    for pid in before:
        assert "polars" not in Path(f"/proc/{pid}/maps").read_text()
    again = send(service, csv(100))
    assert (again.status_code, again.json()) == (200, body)
    assert service.client.delete(answer.headers["location"]).status_code == 204


def test_others_are_answered_while_a_large_file_comes_in(service: RunningService) -> None:
    slowest = 0.0

    def chunks() -> Iterator[bytes]:
        nonlocal slowest
        for index, chunk in enumerate(csv(60)):
            yield chunk
            if index % 5 == 0:
                for _ in range(4):
                    begun = time.monotonic()
                    assert httpx.get(f"{service.url}/health/live").status_code == 200
                    slowest = max(slowest, time.monotonic() - begun)

    answer = send(service, chunks())
    assert answer.status_code == 201
    assert slowest < 1
    service.client.delete(answer.headers["location"])


def test_a_client_that_goes_while_sending_leaves_nothing(service: RunningService) -> None:
    connection = begin_by_hand(service, 10_000_000)
    for chunk in csv(2):
        connection.sendall(chunk)
    until(lambda: under_way(service), "the upload to begin")
    connection.close()
    until(lambda: not under_way(service), "the upload to be given up")


def test_a_client_that_goes_while_its_file_is_read_ends_the_reading(
    service: RunningService,
) -> None:
    content = b"".join(csv(60))
    connection = begin_by_hand(service, len(content))
    connection.sendall(content)
    (reader,) = until(lambda: readers(service), "the reader to start")
    connection.close()
    until(lambda: not alive(reader), "the reader to end", 5)
    until(lambda: not under_way(service), "the upload to be given up", 5)


def test_a_reader_that_is_killed_costs_one_file(service: RunningService) -> None:
    content = b"".join(csv(60, first="7"))
    connection = begin_by_hand(service, len(content))
    connection.sendall(content)
    (reader,) = until(lambda: readers(service), "the reader to start")
    os.kill(reader, signal.SIGKILL)
    answer = b""
    while b"request_id" not in answer:
        answer += connection.recv(65536)
    connection.close()
    assert answer.startswith(b"HTTP/1.1 422")
    assert b'"code":"bad_file"' in answer
    assert b"within the memory" in answer
    assert "was killed by SIGKILL" in service.log
    assert under_way(service) == []
    assert send(service, b"a,b\n1,2\n").status_code in (200, 201)


def test_a_file_beyond_the_bound_is_refused_before_it_is_sent(service: RunningService) -> None:
    connection = begin_by_hand(service, 200_000_001)
    answer = connection.recv(65536)
    connection.close()
    assert answer.startswith(b"HTTP/1.1 413")
    answer_in_full = send(service, b"x" * 200_000_001)
    assert answer_in_full.status_code == 413


def test_a_killed_service_leaves_no_reader_and_starts_again(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running(data_dir, bootstrap=False) as service:
        content = b"".join(csv(60))
        connection = begin_by_hand(service, len(content))
        connection.sendall(content)
        (reader,) = until(lambda: readers(service), "the reader to start")
        service.process.kill()
        until(lambda: not alive(reader), "the reader to end", 10)
        connection.close()
    with running(data_dir, bootstrap=False) as service:
        assert service.client.get("/datasets").json() == {"datasets": [], "next": None}
        assert send(service, content).status_code == 201
