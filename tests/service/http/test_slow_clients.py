"""A client that is too slow is sent away in its time; an honest one never is."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from service.settings import Settings
from tests.service.http.speaking import Line, Serving, post, post_ordinary, serving
from tests.service.making import Place, line

TIMEOUT = 1.0
PATIENCE = 15.0
"""For what must happen within `TIMEOUT`, on a machine that is busy with other things."""

PLAIN = post(b'{"x":[0.5,0.6]}')
ORDINARY = post_ordinary(b'{"x":[0.5,0.6]}')


@pytest.fixture
def narrow(settings: Settings) -> Settings:
    changes = {"client_timeout": TIMEOUT, "keep_alive_seconds": 6.0, "max_connections": 20}
    return settings.model_copy(update=changes)


@pytest.fixture
def server(place: Place, narrow: Settings) -> Iterator[Serving]:
    place.publish(line(0.7, 0.3))
    wide = line([[1.0]] * 40, [0.0] * 40)
    place.publish(wide, model="loud")
    with serving(narrow) as started:
        started.ask(PLAIN)
        yield started


def told_to_hurry(line_: Line) -> None:
    answer = line_.read()
    assert (answer.status, answer.header("connection")) == (408, "close")
    assert json.loads(answer.body)["code"] == "client_too_slow"
    assert line_.is_ended()


def test_one_that_says_nothing_is_closed(server: Serving) -> None:
    with server.line() as line_:
        began = time.monotonic()
        assert line_.is_ended(PATIENCE)
        assert time.monotonic() - began > TIMEOUT / 2


@pytest.mark.parametrize(
    "beginning",
    [
        b"P",
        PLAIN[:40],
        PLAIN[:-1],
        PLAIN.partition(b"\r\n\r\n")[0],
        PLAIN.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
        ORDINARY[:-1],
        ORDINARY.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"POST /datasets?name=a HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
        b"Content-Length: 100\r\n\r\na,b\n",
        PLAIN + PLAIN[:40],
    ],
)
def test_one_that_stops_in_the_midst_is_told_and_closed(server: Serving, beginning: bytes) -> None:
    with server.line() as line_:
        line_.send(beginning)
        line_.socket.settimeout(PATIENCE)
        if beginning.startswith(PLAIN):
            assert line_.read().status == 200
        told_to_hurry(line_)


@pytest.mark.parametrize("request_", [PLAIN, ORDINARY], ids=["plain", "ordinary"])
@pytest.mark.parametrize("known", ["nothing", "head"])
def test_one_that_trickles_is_told_and_closed(server: Serving, request_: bytes, known: str) -> None:
    """Each byte comes in time; the whole would take minutes."""
    head, _, body = request_.partition(b"\r\n\r\n")
    if known == "head":
        body = body + b" " * 600
        head = head.replace(b"Content-Length: 15", b"Content-Length: %d" % len(body))
        server.ask(head + b"\r\n\r\n" + body)
    with server.line() as line_:
        rest = head + b"\r\n\r\n" + body
        if known == "head":
            line_.send(head + b"\r\n\r\n")
            rest = body
        began = time.monotonic()
        line_.socket.settimeout(0.05)
        got = b""
        for byte in rest:
            try:
                line_.send(bytes([byte]))
                got = line_.socket.recv(4096)
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert got.startswith(b"HTTP/1.1 408"), got
        assert time.monotonic() - began < PATIENCE


def big() -> bytes:
    return post(b'{"x":[' + b",".join([b"0.5"] * 50_000) + b"]}", "/models/loud/predict")


def test_one_that_does_not_read_its_answer_is_cut(server: Serving) -> None:
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(PATIENCE)
        slow.connect(("127.0.0.1", server.port))
        slow.sendall(big())
        deadline = time.monotonic() + 2 * PATIENCE
        while not len(server.server.connections) and time.monotonic() < deadline:
            time.sleep(0.01)
        while len(server.server.connections) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not len(server.server.connections)


def test_one_that_reads_a_large_answer_slowly_but_steadily_gets_it_all(server: Serving) -> None:
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        slow.settimeout(PATIENCE)
        slow.connect(("127.0.0.1", server.port))
        slow.sendall(big())
        began, got = time.monotonic(), 0
        head = slow.recv(4096)
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        got = len(head) - head.index(b"\r\n\r\n") - 4
        while got < length:
            if time.monotonic() - began < 4 * TIMEOUT:
                time.sleep(0.02)
            more = slow.recv(16384)
            assert more, f"cut after {got:,} of {length:,} bytes"
            got += len(more)
        assert time.monotonic() - began > 3 * TIMEOUT


def test_one_that_takes_long_but_goes_on_is_not_cut(server: Serving) -> None:
    rows = b"a,b\n" + b"1.5,2.5\n" * 4000
    head = b"POST /datasets?name=a HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
    with server.line() as line_:
        line_.send(head + b"Content-Length: %d\r\n\r\n" % len(rows))
        began = time.monotonic()
        for start in range(0, len(rows), 1600):
            line_.send(rows[start : start + 1600])
            time.sleep(0.2)
        assert line_.read().status in (200, 201)
        assert time.monotonic() - began > 3 * TIMEOUT


def test_each_that_is_told_to_hurry_is_counted(server: Serving) -> None:
    lines = [server.line() for _ in range(3)]
    for line_ in lines:
        line_.send(PLAIN[:-1])
    for line_ in lines:
        line_.socket.settimeout(PATIENCE)
        told_to_hurry(line_)
        line_.socket.close()
    assert server.parts.metrics.shared.counters.find("problems client_too_slow") == [3]


@pytest.mark.parametrize("slowly", ["head", "body"])
def test_an_honest_one_with_a_pause_is_answered(server: Serving, slowly: str) -> None:
    for request in (PLAIN, ORDINARY):
        place = 30 if slowly == "head" else len(request) - 5
        with server.line() as line_:
            for _ in range(3):
                line_.send(request[:place])
                time.sleep(TIMEOUT / 4)
                assert line_.ask(request[place:]).status == 200


def test_an_idle_connection_is_kept_for_its_time_and_no_longer(server: Serving) -> None:
    with server.line() as line_:
        assert line_.ask(PLAIN).status == 200
        time.sleep(2 * TIMEOUT)
        assert line_.ask(ORDINARY).status == 200
        time.sleep(2 * TIMEOUT)
        assert line_.ask(PLAIN).status == 200
        began = time.monotonic()
        assert line_.is_ended(PATIENCE + 6)
        assert time.monotonic() - began > 4


def test_who_waits_for_us_is_not_cut(server: Serving, place: Place) -> None:
    job = place.queue()
    with server.line() as stream, server.line() as waiting:
        stream.send(b"GET /jobs/%b/events HTTP/1.1\r\nHost: x\r\n\r\n" % job.id.encode())
        assert stream.socket.recv(4096).startswith(b"HTTP/1.1 200")
        body = b"{}"
        waiting.send(
            b"POST /train HTTP/1.1\r\nHost: x\r\nPrefer: wait=4\r\nContent-Length: 2\r\n\r\n" + body
        )
        began = time.monotonic()
        assert waiting.read().status == 202
        assert time.monotonic() - began > 3 * TIMEOUT
        got = b""
        stream.socket.settimeout(0.01)
        while True:
            try:
                more = stream.socket.recv(4096)
            except TimeoutError:
                break
            assert more, "the stream was cut"
            got += more


def test_a_client_that_leaves_ends_its_stream(server: Serving, place: Place) -> None:
    job = place.queue()
    with server.line() as stream:
        stream.send(b"GET /jobs/%b/events HTTP/1.1\r\nHost: x\r\n\r\n" % job.id.encode())
        assert stream.socket.recv(4096).startswith(b"HTTP/1.1 200")
        assert server.parts.event_streams == 1
    wait_for(lambda: server.parts.event_streams == 0)


# ---- the budget of connections ----


def test_those_idle_longest_make_room(server: Serving) -> None:
    lines = [server.line() for _ in range(20)]
    for line_ in lines:
        assert line_.ask(PLAIN).status == 200
        time.sleep(0.01)  # the clock of the loop counts milliseconds
    wait_for(lambda: len(server.server.connections) == 20)
    for _ in range(3):
        lines.append(server.line())
        assert lines[-1].ask(PLAIN).status == 200
    assert [line_.is_ended(0.2) for line_ in lines[:3]] == [True] * 3
    assert [line_.is_ended(0.01) for line_ in lines[3:]] == [False] * 20
    for line_ in lines:
        line_.socket.close()


def test_where_all_are_in_use_a_new_one_is_told(place: Place, narrow: Settings) -> None:
    place.publish(line())
    jobs = [place.queue() for _ in range(3)]
    with serving(narrow.model_copy(update={"max_connections": 3})) as server:
        lines = [server.line() for _ in jobs]
        for line_, job in zip(lines, jobs, strict=True):
            line_.send(b"GET /jobs/%b/events HTTP/1.1\r\nHost: x\r\n\r\n" % job.id.encode())
            assert line_.socket.recv(4096).startswith(b"HTTP/1.1 200")
        with server.line() as late:
            late.send(PLAIN)
            answer = late.read()
            assert (answer.status, answer.header("connection")) == (503, "close")
            assert json.loads(answer.body)["code"] == "too_many_connections"
            assert int(answer.header("retry-after") or 0) >= 1
            assert late.is_ended()
        lines.pop().socket.close()
        wait_for(lambda: server.ask(PLAIN).status == 200)
        for line_ in lines:
            line_.socket.close()


def test_idle_connections_are_no_overload(server: Serving) -> None:
    lines = [server.line() for _ in range(19)]
    answers: list[int] = []

    def ask() -> None:
        answers.append(server.ask(PLAIN).status)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 10
    for line_ in lines:
        line_.socket.close()


def wait_for(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 2 * PATIENCE
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)
