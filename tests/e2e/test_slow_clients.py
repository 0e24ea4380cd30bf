"""Slow clients of a real service are sent away, and honest ones do not notice."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import running
from tests.service.http.speaking import Line, post

pytestmark = pytest.mark.e2e

ASKED = post(b'{"x":[0.5]}')
BEGINNINGS = (b"", ASKED[:30], ASKED[:-3], ASKED.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
COUNT = 1200


@pytest.fixture(autouse=True)
def _few_files() -> Iterator[None]:
    """The service starts with the soft limit of most machines; the test itself may open more."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 4096:
        pytest.skip(f"{most} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def is_closed(line: Line) -> bool:
    try:
        while line.socket.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def test_more_slow_clients_than_the_usual_limit_of_files(data_dir: Path) -> None:
    with running(data_dir, client_timeout=3, workers=1) as service:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, most))
        port = int(service.url.rpartition(":")[2])
        with Line(port) as honest:
            assert honest.ask(ASKED).status == 200
            slow = [Line(port) for _ in range(COUNT)]
            for index, line in enumerate(slow):
                line.send(BEGINNINGS[index % len(BEGINNINGS)])
                line.socket.setblocking(False)
            deadline = time.monotonic() + 60
            left, answered = slow, 0
            while left and time.monotonic() < deadline:
                assert honest.ask(ASKED).status == 200
                with Line(port) as another:
                    assert another.ask(ASKED).status == 200
                answered += 2
                left = [line for line in left if not is_closed(line)]
                time.sleep(0.01)
            assert not left
            assert answered > 20
        for line in slow:
            line.socket.close()
        assert service.client.get("/health").status_code == 200
        assert "cannot take a connection" not in service.log
