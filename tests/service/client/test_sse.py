"""Bytes of an event stream, in any pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.remote.sse import MAX_LINE, Parser, ServerEvent

STREAM = (
    "retry: 1000\n\n"
    'id: 1\nevent: state\ndata: {"state": "queued"}\n\n'
    ": still here\n\n"
    "id: 2\r\nevent: point\r\ndata: zwölf\r\ndata:  ½\r\n\r\n"
    "data\rdata: x\r\r"
    "id: 9\n\n"
    "id: a\0b\nunknown: field\ndata: last\n\n"
    "data: never ended\n"
).encode()

EVENTS = [
    ServerEvent("1", "state", '{"state": "queued"}'),
    ServerEvent("2", "point", "zwölf\n ½"),
    ServerEvent("2", "message", "\nx"),
    ServerEvent("9", "message", "last"),
]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_events_are_the_same_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    parser, places = Parser(), [0, *sorted(cuts), len(STREAM)]
    pieces = (STREAM[a:b] for a, b in pairwise(places))
    assert [event for piece in pieces for event in parser.feed(piece)] == EVENTS
    assert parser.retry_seconds == 1


def test_events_are_told_as_soon_as_they_are_complete() -> None:
    parser = Parser()
    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\n") == [ServerEvent("", "message", "a")]


def test_a_byte_order_mark_is_passed_over_at_the_beginning_only() -> None:
    parser = Parser()
    assert parser.feed("\ufeffdata: \ufeff\n\n".encode()) == [ServerEvent("", "message", "\ufeff")]


@pytest.mark.parametrize("retry", ["soon", "-1", "1.5", ""])
def test_a_retry_that_is_no_number_is_passed_over(retry: str) -> None:
    parser = Parser()
    parser.feed(f"retry: {retry}\n\n".encode())
    assert parser.retry_seconds is None


def test_a_line_without_end_is_given_up() -> None:
    parser = Parser()
    assert parser.feed(b"x" * MAX_LINE) == []
    with pytest.raises(ValueError, match="characters"):
        parser.feed(b"x")
