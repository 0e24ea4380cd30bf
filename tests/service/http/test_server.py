"""The end of a server, turn by turn."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from service.http.server import Server
from service.settings import Settings
from tests.service.http.speaking import Line, Serving, post, post_ordinary, serving
from tests.service.making import Place, line
from tests.waiting import until

PLAIN = post(b'{"x":[0.5]}')
ORDINARY = post_ordinary(b'{"x":[0.5]}')
READY = b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def server(place: Place, settings: Settings) -> Iterator[Serving]:
    place.publish(line(0.7, 0.3))
    with serving(settings.model_copy(update={"drain_seconds": 3.0})) as started:
        started.ask(PLAIN)
        yield started


def drain(server: Serving) -> None:
    server.loop.call_soon_threadsafe(server.server.handle_exit, signal.SIGTERM, None)
    until(lambda: server.parts.draining, "the drain")


def test_a_signal_before_the_start_is_over_ends_it(server: Serving) -> None:
    """The application is up, and nothing yet that could be drained."""
    early = Server(server.server.config, server.server._app)
    early.handle_exit(signal.SIGTERM, None)
    assert early.should_exit


def test_while_it_drains_it_answers_and_closes(server: Serving) -> None:
    kept = [server.line() for _ in range(3)]
    for line_ in kept:
        assert line_.ask(PLAIN).header("connection") is None
    drain(server)
    ready = server.ask(READY)
    assert (ready.status, json.loads(ready.body)["status"]) == (503, "draining")
    for line_, request in zip(kept, (PLAIN, ORDINARY, PLAIN), strict=True):
        answer = line_.ask(request)
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert line_.is_ended()
        line_.socket.close()


def test_pipelined_requests_are_all_answered_while_it_drains(server: Serving) -> None:
    with server.line() as line_:
        drain(server)
        line_.send(PLAIN + ORDINARY + PLAIN)
        answers = [line_.read() for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 3
        assert [answer.header("connection") for answer in answers] == [None, None, "close"]
        assert line_.is_ended()


def test_who_is_in_the_turn_when_it_ends_is_answered(server: Serving) -> None:
    lines: list[Line] = [server.line() for _ in range(5)]
    for line_ in lines:
        assert line_.ask(PLAIN).status == 200
    with server.held():
        for line_ in lines:
            line_.send(PLAIN)
        server.server.should_exit = True
    for line_ in lines:
        assert line_.read().status == 200
        line_.socket.close()


def test_it_ends_once_it_has_drained(server: Serving) -> None:
    with server.line() as idle:
        assert idle.ask(PLAIN).status == 200
        drain(server)
        assert idle.is_ended()
