"""Connections spread over the web workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.e2e.running import RunningService
from tests.service.http.speaking import Line, post
from tests.service.making import at_once

pytestmark = pytest.mark.e2e

CONNECTIONS = 64
ASKED = post(b'{"x":[0.5]}')


def worker_of(line: Line) -> str:
    """The prefix of the ids that a process gives on the plain road is its own."""
    answers = [line.ask(ASKED) for _ in range(2)]
    assert {answer.status for answer in answers} == {200}
    found = answers[1].header("x-request-id")
    assert found is not None
    return found[:20]


def one_after_another(open_line: Callable[[int], Line]) -> list[Line]:
    return [open_line(index) for index in range(CONNECTIONS)]


def all_at_once(open_line: Callable[[int], Line]) -> list[Line]:
    return at_once(CONNECTIONS, open_line)


@pytest.mark.parametrize("opened", [one_after_another, all_at_once])
def test_each_worker_gets_a_fair_part(
    service: RunningService, opened: Callable[[Callable[[int], Line]], list[Line]]
) -> None:
    port = int(service.url.rpartition(":")[2])
    lines = opened(lambda _: Line(port))
    counts = Counter(worker_of(line) for line in lines)
    for line in lines:
        line.socket.close()
    assert len(counts) == 2, counts
    assert min(counts.values()) >= CONNECTIONS / 4, counts
