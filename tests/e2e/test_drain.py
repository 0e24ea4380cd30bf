"""SIGTERM under load: not ready at once, and nobody who asks is left without an answer."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.e2e.running import running
from tests.service.http.speaking import Line, post
from tests.waiting import until

pytestmark = pytest.mark.e2e

CYCLES = int(os.environ.get("DRAIN_CYCLES", "6"))
ASKED = post(b'{"x":[0.5]}')


@dataclass
class Tally:
    """What clients have seen: a connection that is refused, once the service is gone, is none of
    its failures; one that is taken and not answered is."""

    answered: Counter[int] = field(default_factory=Counter)
    closed: int = 0
    """Answers that told the client to go elsewhere."""
    failed: list[str] = field(default_factory=list)


def keep_asking(port: int, tally: Tally, stop: threading.Event) -> None:
    """One connection for as long as the service keeps it."""
    line: Line | None = None
    while not stop.is_set():
        try:
            line = line or Line(port)
        except ConnectionRefusedError:
            return
        except OSError as error:
            tally.failed.append(f"connecting: {error!r}")
            return
        try:
            answer = line.ask(ASKED)
        except OSError as error:
            tally.failed.append(f"asking: {error!r}")
            break
        tally.answered[answer.status] += 1
        if answer.header("connection") == "close":
            tally.closed += 1
            line.socket.close()
            line = None
    if line is not None:
        line.socket.close()


def ask_anew(port: int, tally: Tally, stop: threading.Event) -> None:
    """A connection for each request."""
    while not stop.is_set():
        try:
            with Line(port) as line:
                try:
                    tally.answered[line.ask(ASKED).status] += 1
                except OSError as error:
                    tally.failed.append(f"asking anew: {error!r}")
        except ConnectionRefusedError:
            return
        except OSError as error:
            tally.failed.append(f"connecting anew: {error!r}")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: only the first start trains."""
    return tmp_path_factory.mktemp("refit") / "data"


@pytest.mark.parametrize("cycle", range(CYCLES))
def test_nobody_is_left_without_an_answer(data_dir: Path, cycle: int) -> None:
    with running(data_dir, drain_seconds=0.5) as service:
        port = int(service.url.rpartition(":")[2])
        tally, stop = Tally(), threading.Event()
        clients = [
            threading.Thread(target=target, args=(port, tally, stop))
            for target in (keep_asking, keep_asking, keep_asking, ask_anew, ask_anew)
        ]
        for client in clients:
            client.start()
        until(lambda: tally.answered[200] > 50 or tally.failed, "some load")
        time.sleep(cycle * 0.02)
        began = time.monotonic()
        code = service.stop(seconds=30)
        took = time.monotonic() - began
        stop.set()
        for client in clients:
            client.join(30)
        assert tally.failed == []
        assert set(tally.answered) == {200}
        assert tally.closed >= 1, "keep-alive clients are told to go elsewhere"
        assert code == 0
        assert took < 10


def test_it_is_not_ready_at_once_and_still_answers(data_dir: Path) -> None:
    with running(data_dir, drain_seconds=3) as service:
        with httpx.Client(base_url=service.url, timeout=30) as client:
            assert client.get("/health/ready").status_code == 200
            service.process.terminate()
            seen: set[tuple[int, str]] = set()
            deadline = time.monotonic() + 2
            while time.monotonic() < deadline:
                ready = client.get("/health/ready")
                if ready.status_code == 503:
                    seen.add((ready.status_code, ready.json()["status"]))
                    answer = client.post("/predict", json={"x": 0.5})
                    assert answer.status_code == 200
                    assert answer.headers["connection"] == "close"
                time.sleep(0.02)
            assert seen == {(503, "draining")}
        assert service.process.wait(30) == 0


def test_what_is_under_way_is_finished(data_dir: Path) -> None:
    """A body that is still being sent when the signal comes, and after the drain."""
    body = b'{"x":[' + b",".join([b"0.5"] * 20_000) + b"]}"
    with running(data_dir, drain_seconds=0.2, workers=1) as service:
        port = int(service.url.rpartition(":")[2])
        with Line(port) as late, Line(port) as plain:
            assert plain.ask(ASKED).status == 200
            request = post(body)
            late.send(request[:10_000])
            plain.send(ASKED[:-3])
            time.sleep(0.3)
            service.process.terminate()
            time.sleep(1.0)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)
            for line, rest in ((late, request[10_000:]), (plain, ASKED[-3:])):
                answer = line.ask(rest)
                assert (answer.status, answer.header("connection")) == (200, "close")
        assert service.process.wait(30) == 0
