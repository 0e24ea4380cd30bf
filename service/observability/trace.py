"""Which request a process works for: its id, and its place in a trace (W3C Trace Context)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

_ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")
"""Ids of clients that are taken over."""

_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z"
)


@dataclass(frozen=True)
class Trace:
    """The part of a trace that is ours."""

    trace_id: str
    """32 hexadecimal digits, given by who called us."""
    span_id: str
    """16 hexadecimal digits, ours."""
    flags: str
    """As they came: whether the caller records the trace."""

    @property
    def header(self) -> bytes:
        """The `traceparent` that names our span."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}".encode()


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request tells of itself."""

    request_id: bytes | None
    """None where it brings none that could be taken over."""
    trace: Trace | None

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """From its headers, whose names are in lower case."""
        request_id, traceparents = b"", []
        for name, value in headers:
            if name == b"x-request-id":
                request_id = request_id or value
            elif name == b"traceparent":
                traceparents.append(value)
        # Two of them are as invalid as none.
        trace = continue_trace(traceparents[0]) if len(traceparents) == 1 else None
        return cls(request_id if _ACCEPTED.match(request_id) else None, trace)

    def told(self, own_id: bytes) -> list[tuple[bytes, bytes]]:
        """The headers of the answer; ``own_id`` is for a request that brings no id."""
        headers = [(b"x-request-id", self.request_id or own_id)]
        if self.trace is not None:
            headers.append((b"traceparent", self.trace.header))
        return headers


@dataclass(frozen=True)
class RequestContext:
    """What every log line of a request tells."""

    request_id: str
    trace: Trace | None


CURRENT: ContextVar[RequestContext | None] = ContextVar("refit_request", default=None)
"""The request that this task or thread works for."""


def continue_trace(traceparent: bytes) -> Trace | None:
    """The trace of a `traceparent` header, with a span of our own; None where it is invalid.

    Of versions later than 00 the known part is read, as the standard wants.
    """
    found = _TRACEPARENT.match(traceparent)
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    return Trace(found[2].decode(), secrets.token_hex(8), found[4].decode())
