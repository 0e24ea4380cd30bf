"""Heads of requests that were seen before.

A client sends the same bytes before each body again and again. What uvicorn's parser made of them
once, it would make of them again, so they are not parsed again: a dictionary tells at once that
this is a plain prediction, for which model, and how long its body is.

Proxies and tracers add lines that differ from one request to the next. Those lines are cut out, and
the rest is looked for; of what they say, an answer repeats the id of the request and its trace.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from service.api.body import JSON
from service.api.v2_body import HEADER_LENGTH, OCTETS, is_length
from service.entities import DEFAULT_MODEL
from service.observability.trace import Caller

MAX_HEADS = 4096
"""Heads that are remembered; then all are forgotten, and learned anew."""

MAX_HEAD_BYTES = 2048

DEFAULT_ROUTE = "/predict"
NAMED_ROUTE = "/models/{model}/predict"
INFER_ROUTE = "/v2/models/{model}/infer"

_PATH = re.compile(r"(?:/models/([^/]+))?/predict\Z")
_INFER_PATH = re.compile(r"/v2/models/([^/]+)/infer\Z")
_HEADER_LENGTH = HEADER_LENGTH.lower().encode()

_PLAIN_HEADERS = frozenset(
    {
        *(b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language"),
        *(b"connection", b"content-type", b"content-length", b"cache-control", b"pragma"),
        *(b"origin", b"referer", b"dnt", b"priority", b"authorization", b"cookie"),
        *(b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest"),
    }
)
"""Headers that change nothing about a prediction. Any other, as an encoding of the body, goes the
ordinary road."""

_PASSING = (
    rb"(x-request-id|traceparent|tracestate|baggage|b3|x-b3-[a-z]+|x-correlation-id|x-request-start"
    rb"|x-amzn-trace-id|x-cloud-trace-context|forwarded|x-forwarded-[a-z-]+|x-real-ip|via"
    rb"|x-envoy-[a-z-]+|cf-[a-z-]+|x-datadog-[a-z-]+|sentry-trace|uber-trace-id)"
)
"""Names of headers by which proxies and tracers tell who asks: with one, the answer is the same but
for the id of the request and its trace. Those of W3C Trace Context and Baggage, Zipkin (B3), AWS,
Google Cloud, RFC 7239, nginx, Envoy, Cloudflare, Datadog, Sentry and Jaeger."""

_PASSING_NAME = re.compile(_PASSING)
# Printable ASCII: what else a value may hold, the parser decides.
_PASSING_LINE = re.compile(rb"\r\n(?i:" + _PASSING + rb"):[ \t]*([!-~]*(?: +[!-~]+)*)(?=\r\n)")


@dataclass(frozen=True, slots=True)
class PlainHead:
    """What a head asks for: a prediction by the active version of ``model``."""

    model: str
    route: str
    """The path with the names of its parameters."""
    body_bytes: int
    is_infer: bool = False
    """Whether the body is that of an inference by the Open Inference Protocol v2."""
    json_bytes: int | None = None
    """Of such a body, what is JSON; the rest are tensors. None: all of it is JSON."""


class Heads:
    """The heads of plain predictions by their bytes, which end with the empty line."""

    def __init__(self, max_body_bytes: int, max_infer_bytes: int = 0) -> None:
        self._known: dict[bytes, PlainHead] = {}
        self._max_body_bytes = max_body_bytes
        self._max_infer_bytes = max_infer_bytes
        self.find = self._known.get

    def find_among(self, head: bytes) -> tuple[PlainHead, Caller] | None:
        """The same, without the lines by which proxies and tracers tell who asks; and who does."""
        if not head.startswith(b"POST ") or len(head) > MAX_HEAD_BYTES:
            return None
        plain = self._known.get(_PASSING_LINE.sub(b"", head))
        if plain is None:
            return None
        found = _PASSING_LINE.findall(head)
        return plain, Caller.of((name.lower(), value) for name, value in found)

    def __len__(self) -> int:
        return len(self._known)

    def learn(
        self,
        head: bytes,
        method: str,
        path: str,
        query: bytes,
        http_version: str,
        headers: Collection[tuple[bytes, bytes]],
    ) -> None:
        """Remember ``head`` if what the parser made of it is a plain prediction."""
        head = _PASSING_LINE.sub(b"", head)
        headers = [header for header in headers if not _PASSING_NAME.fullmatch(header[0])]
        # What the parser saw must be these bytes and no others: from the method on, a line for each
        # header, and the empty line at the end.
        if not head.startswith(b"POST ") or not len(headers) + 2 == head.count(
            b"\r\n"
        ) == head.count(b"\n"):
            return
        if method != "POST" or http_version != "1.1" or query:
            return
        if len(head) > MAX_HEAD_BYTES or not head.endswith(b"\r\n\r\n"):
            return
        values = dict(headers)
        if len(values) < len(headers):
            return
        plain = self._plain(path, values)
        if plain is None:
            return
        if len(self._known) >= MAX_HEADS:
            self._known.clear()
        self._known[head] = plain

    def _plain(self, path: str, values: dict[bytes, bytes]) -> PlainHead | None:
        """What is asked for at ``path`` with these headers, if that is plain."""
        if asked := _PATH.match(path):
            size = _body_bytes(values, self._max_body_bytes, JSON)
            model, route = (asked[1], NAMED_ROUTE) if asked[1] else (DEFAULT_MODEL, DEFAULT_ROUTE)
            return None if size is None else PlainHead(model, route, size)
        if asked := _INFER_PATH.match(path):
            told = values.pop(_HEADER_LENGTH, None)
            size = _body_bytes(values, self._max_infer_bytes, JSON, OCTETS)
            if size is None:
                return None
            if told is None:
                return PlainHead(asked[1], INFER_ROUTE, size, True)
            if is_length(text := told.decode("latin-1")) and int(text) <= size:
                return PlainHead(asked[1], INFER_ROUTE, size, True, int(text))
        return None


def _body_bytes(values: dict[bytes, bytes], most: int, *kinds: str) -> int | None:
    """How long the body of a plain request with these headers is; None where it is not plain."""
    if not _PLAIN_HEADERS.issuperset(values):
        return None
    kind = values.get(b"content-type", JSON.encode())
    if kind.partition(b";")[0].strip().lower().decode("latin-1") not in kinds:
        return None
    if values.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    length = values.get(b"content-length", b"")
    return int(length) if length.isdigit() and 0 < int(length) <= most else None
