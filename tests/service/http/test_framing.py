"""However a request comes, it is answered once, in order, by the same rules."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from service.http.heads import MAX_HEADS
from tests.service.http.speaking import Answer, Line, Serving, post, post_ordinary
from tests.waiting import until

PLAIN = post(b'{"x":[0.5,0.6]}')
ORDINARY = post_ordinary(b'{"x":[1.5]}')
BAD = post(b'{"x":"no"}')


@pytest.fixture
def line(server: Serving) -> Iterator[Line]:
    server.ask(PLAIN)
    with server.line() as line:
        yield line


def y_of(answer: Answer) -> list[float]:
    assert answer.status == 200, answer.body
    told: list[float] = json.loads(answer.body)["y"]
    return told


@pytest.mark.parametrize("request_", [PLAIN, ORDINARY, BAD], ids=["plain", "ordinary", "bad"])
def test_a_request_may_be_cut_anywhere(server: Serving, line: Line, request_: bytes) -> None:
    whole = line.ask(request_)
    for place in range(1, len(request_)):
        line.send(request_[:place])
        if place % 3 == 0:
            time.sleep(0.002)
        assert line.ask(request_[place:]).told == whole.told, place


def test_a_request_may_come_byte_by_byte(server: Serving, line: Line) -> None:
    whole = line.ask(PLAIN)
    for _ in range(3):
        for byte in PLAIN:
            line.send(bytes([byte]))
        assert line.read().told == whole.told


def test_head_and_body_in_two_segments_take_the_plain_road(server: Serving, line: Line) -> None:
    head, _, body = PLAIN.partition(b"\r\n\r\n")
    before = server.plain
    for _ in range(5):
        line.send(head + b"\r\n\r\n")
        time.sleep(0.01)
        assert line.ask(body).status == 200
    assert server.plain == before + 5


@pytest.mark.parametrize("count", [2, 3, 20, 500])
def test_pipelined_requests_are_answered_in_order(server: Serving, line: Line, count: int) -> None:
    line.send(b"".join(post(b'{"x":[%d]}' % i) for i in range(count)))
    assert [y_of(line.read()) for _ in range(count)] == [
        y_of(server.ask(post(b'{"x":[%d]}' % i))) for i in range(count)
    ]


MIXES = [
    [PLAIN, ORDINARY, PLAIN],
    [ORDINARY, PLAIN, PLAIN, ORDINARY],
    [BAD, PLAIN, BAD, ORDINARY],
    [PLAIN, BAD],
    [b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", PLAIN, BAD],
    [
        post(b'{"x":0.5}', "/models/mlp/predict"),
        PLAIN,
        post(b'{"x":[[1,2]]}', "/models/two/predict"),
    ],
]


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("parts", [1, 2, 7])
def test_mixed_requests_are_answered_in_order(
    server: Serving, line: Line, mix: list[bytes], parts: int
) -> None:
    alone = [server.ask(request).told for request in mix]
    for _ in range(3):
        data = b"".join(mix)
        size = len(data) // parts + 1
        for begin in range(0, len(data), size):
            line.send(data[begin : begin + size])
            time.sleep(0.001)
        assert [line.read().told for _ in mix] == alone


def test_a_client_that_does_not_wait_is_answered_in_order(server: Serving, line: Line) -> None:
    # One segment a request: the second finds the first in the turn.
    with server.held():
        for request in (PLAIN, ORDINARY, PLAIN):
            line.send(request)
    answers = [line.read() for _ in range(3)]
    assert answers[0].told == answers[2].told
    assert y_of(answers[1]) != y_of(answers[0])


# ---- what is no request ----

GARBAGE = [
    b"\x00\x01\x02\r\n\r\n",
    b"POST\r\n\r\n",
    b"post /predict HTTP/1.1\r\nContent-Length: 7\r\n\r\n" + b'{"x":1}',
    b"POST /predict HTTP/9.9\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nContent-Length: +5\r\n\r\n12345",
    b"POST /predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
    b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n12345",
    b"POST /predict HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nno colon\r\n\r\n",
    b"POST /predict HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}",
    b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_is_no_request_is_told_and_ends_the_connection(
    server: Serving, garbage: bytes
) -> None:
    with server.line() as line:
        answer = line.ask(garbage)
        assert (answer.status, answer.header("connection")) == (400, "close")
        assert json.loads(answer.body)["code"] == "malformed_http"
        assert line.is_ended()


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("before", [[PLAIN], [ORDINARY], [PLAIN, ORDINARY, BAD, PLAIN]])
def test_what_was_asked_before_it_is_answered_first(
    server: Serving, line: Line, before: list[bytes], garbage: bytes
) -> None:
    alone = [server.ask(request).told for request in before]
    line.send(b"".join(before) + garbage + PLAIN)
    assert [line.read().told for _ in before] == alone
    answer = line.read()
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "malformed_http")
    assert line.is_ended()


@pytest.mark.parametrize("size", [70_000, 300_000])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_head_that_is_too_large_is_refused(server: Serving, size: int, is_whole: bool) -> None:
    with server.line() as line:
        request = post(b'{"x":1}', headers=b"X-Long: " + b"x" * size + b"\r\n")
        if is_whole:
            line.send(request)
        else:
            for begin in range(0, 66_000, 1000):
                line.send(request[begin : begin + 1000])
        answer = line.read()
        assert (answer.status, answer.header("connection")) == (431, "close")
        assert json.loads(answer.body)["code"] == "head_too_large"
        assert line.is_ended()


def test_many_small_requests_at_once_are_no_large_head(server: Serving, line: Line) -> None:
    count = 1000
    data = post_ordinary(b'{"x":1}') * count
    line.send(data[:-200])
    line.send(data[-200:])
    assert {line.read().status for _ in range(count)} == {200}


# ---- heads ----


def test_bytes_before_a_request_are_no_head(server: Serving) -> None:
    """Learned, an empty line would make a prediction of whatever comes after it."""
    for _ in range(3):
        with server.line() as line:
            assert line.ask(b"\r\n\r\n" + PLAIN).status == 200
    with server.line() as line:
        assert line.ask(b"\r\n\r\n" + PLAIN.partition(b"\r\n\r\n")[2]).status == 400


def test_a_body_with_an_empty_line_does_not_end_a_head(server: Serving, line: Line) -> None:
    body = b'{"x":\r\n\r\n[0.5]}'
    for _ in range(3):
        assert y_of(line.ask(post(body))) == y_of(line.ask(post(b'{"x":[0.5]}')))


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\r\n" + b'{"x":1}',
        b"POST /predict HTTP/1.1\r\nHOST: x\r\nCONTENT-LENGTH: 7\r\n\r\n" + b'{"x":1}',
        b"POST /predict HTTP/1.1\r\nContent-Length: 07\r\n\r\n" + b'{"x":1}',
        b"POST /predict HTTP/1.1\r\nContent-Length:7  \r\n\r\n" + b'{"x":1}',
        b"POST http://other/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n" + b'{"x":1}',
        b"\r\nPOST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n" + b'{"x":1}',
        post(b'{"x":1}', "/models/%64efault/predict"),
        post(b'{"x":1}', "/models/many.of_them-1/predict"),
        post(b'{"x":1}', "/models/many%2Eof_them-1/predict"),
        post(b'{"x":1}', "/models/a%2Fpredict"),
        post(b'{"x":1}', "/models/nobody/predict"),
        post(b'{"x":1}', "/models/default/versions/1/predict"),
        post(b'{"x":1}', "/predict/"),
        post(b'{"x":1}', "/predict?"),
        post(b'{"x":1}', "/predict?explain=true"),
        post(b'{"x":1}', "/predict?explain=maybe"),
        post(b'{"x":1}', "/predict#there"),
        post(b'{"x":1}', "//predict"),
        post(b'{"x":1}', headers=b"Content-Type: text/csv\r\n"),
        post(b"x\n1\n", headers=b"X: 1\r\n").replace(b"application/json", b"text/csv"),
        PLAIN.replace(b"application/json", b"application/json; charset=utf-8"),
        PLAIN.replace(b"application/json", b"APPLICATION/JSON"),
        PLAIN.replace(b"application/json", b"text/plain"),
        post(b'{"x":1}', headers=b"X-Request-Id: mine\r\n"),
        post(b'{"x":1}', headers=b"Content-Encoding: gzip\r\n"),
        post(b'{"x":1}', headers=b"Connection: Keep-Alive\r\n"),
        post(b'{"x":1}', headers=b"Accept: text/html\r\nUser-Agent: x\r\n"),
    ],
)
def test_a_head_that_is_known_is_answered_as_the_first_time(
    server: Serving, line: Line, request_: bytes
) -> None:
    first, *again = [line.ask(request_) for _ in range(4)]
    assert [answer.told for answer in again] == [first.told] * 3
    with server.held():
        line.send(request_)
    assert line.read().told == first.told


@pytest.mark.parametrize(
    "request_",
    [
        post(b'{"x":1}', headers=b"Connection: close\r\n"),
        post(b'{"x":1}').replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_who_wants_the_end_gets_it(server: Serving, request_: bytes) -> None:
    for _ in range(3):
        with server.line() as line:
            answer = line.ask(request_)
            assert (answer.status, answer.header("connection")) == (200, "close")
            assert line.is_ended()


def test_a_chunked_body_is_read(line: Line) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(3):
        assert y_of(line.ask(head + b'4\r\n{"x"\r\n3\r\n:1}\r\n0\r\n\r\n')) == [1.0]


def test_who_expects_to_be_told_to_go_on_is_told(line: Line) -> None:
    request = post(b'{"x":1}', headers=b"Expect: 100-continue\r\n")
    head, _, body = request.partition(b"\r\n\r\n")
    for _ in range(3):
        line.send(head + b"\r\n\r\n")
        assert line.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert y_of(line.ask(body)) == [1.0]


def test_more_or_fewer_bytes_than_told(server: Serving, line: Line) -> None:
    told_less = PLAIN.replace(b"Content-Length: 15", b"Content-Length: 14")
    for _ in range(2):
        with server.line() as other:
            assert other.ask(told_less).status == 422
            assert other.read().status == 400
    line.send(PLAIN.replace(b"Content-Length: 15", b"Content-Length: 16"))
    assert not line.is_ended(0.2)
    line.socket.settimeout(30)
    assert y_of(line.ask(b" ")) == y_of(server.ask(PLAIN))


def test_heads_that_are_remembered_are_bounded(server: Serving, line: Line) -> None:
    known = server.server.heads
    for i in range(MAX_HEADS + 10):
        line.send(post(b'{"x":1}', headers=b"User-Agent: %d\r\n" % i))
        if i % 50 == 49:
            for _ in range(50):
                line.read()
    for _ in range((MAX_HEADS + 10) % 50):
        line.read()
    assert 0 < len(known) <= MAX_HEADS
    before = server.plain
    line.ask(PLAIN)
    line.ask(PLAIN)
    assert server.plain > before, "what was forgotten is learned anew"


# ---- clients that end ----


@pytest.mark.parametrize("request_", [PLAIN, ORDINARY, BAD, PLAIN + ORDINARY + PLAIN])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_client_that_has_ended_its_side_is_answered(
    server: Serving, request_: bytes, at_once: bool
) -> None:
    count = request_.count(b"POST")
    server.ask(PLAIN)
    with server.line() as line:
        if at_once:
            with server.held():
                line.send(request_)
                line.socket.shutdown(1)
        else:
            line.send(request_)
            line.socket.shutdown(1)
        for _ in range(count):
            assert line.read().status in (200, 422)
        assert line.is_ended()


def test_a_client_that_leaves_in_the_turn_harms_nobody(server: Serving, line: Line) -> None:
    server.ask(PLAIN)
    with server.held():
        with server.line() as leaves:
            leaves.send(PLAIN)
        with server.line() as resets:
            resets.socket.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SO_LINGER
            resets.send(PLAIN)
        line.send(PLAIN)
    assert line.read().status == 200
    until(lambda: len(server.server.connections) == 1, "the others to be gone")
