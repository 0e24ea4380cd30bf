"""W3C Trace Context: what is continued, and what is not."""

from __future__ import annotations

import re

import pytest

from service.observability.trace import continue_trace

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize("flags", ["00", "01", "ff"])
def test_a_valid_one_is_continued_with_a_span_of_our_own(flags: str) -> None:
    trace = continue_trace(f"00-{TRACE}-{SPAN}-{flags}".encode())
    assert trace is not None
    assert (trace.trace_id, trace.flags) == (TRACE, flags)
    assert re.fullmatch("[0-9a-f]{16}", trace.span_id)
    assert trace.span_id != SPAN
    assert trace.header == f"00-{TRACE}-{trace.span_id}-{flags}".encode()
    again = continue_trace(trace.header)
    assert again is not None
    assert again.span_id != trace.span_id


@pytest.mark.parametrize("rest", ["", "-what the future brings"])
def test_of_a_later_version_the_known_part_is_read(rest: str) -> None:
    trace = continue_trace(f"01-{TRACE}-{SPAN}-01{rest}".encode())
    assert trace is not None
    assert trace.header.startswith(f"00-{TRACE}-".encode())


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"01-{TRACE}-{SPAN}-01more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        "é",
    ],
)
def test_an_invalid_one_is_not(header: str) -> None:
    assert continue_trace(header.encode()) is None
