"""What proxies and tracers add to a head keeps no prediction from the plain road."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.http.speaking import Line, Serving, post, post_ordinary

BODY = b'{"x":[0.5]}'


@pytest.fixture
def line(server: Serving) -> Iterator[Line]:
    with server.line() as line:
        yield line


ENVOY = b"""\
x-forwarded-for: 10.1.2.3, 10.1.2.4\r
x-forwarded-proto: https\r
x-envoy-expected-rq-timeout-ms: 15000\r
x-request-id: %(uuid)s\r
traceparent: 00-%(trace)s-%(span)s-01\r
tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE\r
"""
NGINX = b"""\
X-Real-IP: 10.1.2.3\r
X-Forwarded-For: 10.1.2.3\r
X-Forwarded-Proto: https\r
X-Request-ID: %(uuid)s\r
Via: 1.1 edge (nginx/1.27.2)\r
"""
ZIPKIN = b"X-B3-TraceId: %(trace)s\r\nX-B3-SpanId: %(span)s\r\nX-B3-Sampled: 1\r\n"


def filled(headers: bytes) -> bytes:
    """With ids that nobody has sent before."""
    ids = {b"uuid": secrets.token_hex(8), b"trace": secrets.token_hex(16)}
    values = {name: value.encode() for name, value in ids.items()}
    return headers % {**values, b"span": secrets.token_hex(8).encode()}


@pytest.mark.parametrize("headers", [ENVOY, NGINX, ZIPKIN], ids=["envoy", "nginx", "zipkin"])
def test_ids_that_differ_each_time_take_the_plain_road(
    server: Serving, line: Line, headers: bytes
) -> None:
    line.ask(post(BODY, headers=filled(headers)))
    for _ in range(3):
        before, sent = server.plain, filled(headers)
        answer = line.ask(post(BODY, headers=sent))
        assert server.plain == before + 1
        assert answer.told == line.ask(post_ordinary(BODY, headers=sent)).told


def test_the_id_and_the_trace_come_back(server: Serving, line: Line) -> None:
    trace, span = secrets.token_hex(16).encode(), secrets.token_hex(8).encode()
    headers = b"X-REQUEST-ID: my.own_id-1\r\nTraceparent: 00-%b-%b-00\r\n" % (trace, span)
    line.ask(post(BODY))
    before = server.plain
    answers = [line.ask(post(BODY, headers=headers)) for _ in range(2)]
    assert server.plain == before + 2
    assert {answer.header("x-request-id") for answer in answers} == {"my.own_id-1"}
    told = [(answer.header("traceparent") or "").split("-") for answer in answers]
    assert [parts[:2] + parts[3:] for parts in told] == [["00", trace.decode(), "00"]] * 2
    assert len({span.decode(), told[0][2], told[1][2]}) == 3, "each answer has a span of its own"


def test_requests_of_one_turn_keep_their_own_ids(server: Serving) -> None:
    names = [f"caller-{number}" for number in range(8)]
    lines = [server.line() for _ in names]
    try:
        for line in lines:
            line.ask(post(BODY))
        with server.held():
            for line, name in zip(lines, names, strict=True):
                own = b"" if name == "caller-3" else b"X-Request-Id: %b\r\n" % name.encode()
                line.send(post(BODY, headers=own))
        found = [line.read().header("x-request-id") for line in lines]
    finally:
        for line in lines:
            line.socket.close()
    assert found[3] not in names
    assert found[:3] + found[4:] == names[:3] + names[4:]


NAMES = [
    *(b"x-request-id", b"X-Request-ID", b"traceparent", b"Traceparent", b"tracestate", b"Via"),
    *(b"X-Forwarded-For", b"forwarded", b"x-b3-traceid", b"cf-ray", b"X-Real-Ip"),
    # Not among them, and of some meaning.
    *(b"Content-Encoding", b"X-Request-Id2", b"Connection", b"Expect"),
]
_TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
VALUES = [
    *(b"", b"a", b"a b", b"a  b", b" a", b"a ", b"\ta", b"a\t", b"a\tb", b"\xe9", b"a\xe9", b","),
    *(b"x" * 128, b"x" * 129, b"x" * 600, b"x: y", b"keep-alive", b"close", b"gzip", b'"'),
    b"00-" + _TRACE + b"-00f067aa0ba902b7-01",
    b"01-" + _TRACE + b"-00f067aa0ba902b7-01-more",
    b"00-" + _TRACE + b"-0000000000000000-01",
    b"a\r\n folded",
    b"a\nx-request-id: b",
    b"a\x00",
    b"\x7f",
]
separators = st.sampled_from([b": "] * 8 + [b":", b":  ", b" : ", b":\t"])
lines = st.tuples(st.sampled_from(NAMES), separators, st.sampled_from(VALUES)).map(b"".join)


@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(added=st.lists(lines, max_size=4).map(lambda found: b"".join(f + b"\r\n" for f in found)))
def test_whatever_is_added_is_answered_as_on_the_ordinary_road(
    server: Serving, added: bytes
) -> None:
    def ask(request: bytes) -> tuple[bytes, bytes | None]:
        with server.line() as line:
            first = line.ask(request)
            try:
                return first.told, line.ask(request).told
            except ConnectionError:
                # The first had `Connection: close`, or was no HTTP.
                return first.told, None

    expected = ask(post_ordinary(BODY, headers=added))
    assert ask(post(BODY, headers=added)) == expected
    assert ask(post(BODY, headers=added)) == expected, "when the head is known"
