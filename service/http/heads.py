"""Heads of requests that were seen before.

A client sends the same bytes before each body again and again. What uvicorn's parser made of them
once, it would make of them again, so they are not parsed again: a dictionary tells at once that
this is a plain prediction, for which model, and how long its body is.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from service.entities import DEFAULT_MODEL

MAX_HEADS = 4096
"""Heads that are remembered; then all are forgotten, and learned anew."""

MAX_HEAD_BYTES = 2048

DEFAULT_ROUTE = "/predict"
NAMED_ROUTE = "/models/{model}/predict"

_PATH = re.compile(r"(?:/models/([^/]+))?/predict\Z")

_PLAIN_HEADERS = frozenset(
    {
        *(b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language"),
        *(b"connection", b"content-type", b"content-length", b"cache-control", b"pragma"),
        *(b"origin", b"referer", b"dnt", b"priority"),
    }
)
"""Headers that change nothing about a prediction. Any other, as an id of the request or an
encoding of the body, goes the ordinary road."""


@dataclass(frozen=True, slots=True)
class PlainHead:
    """What a head asks for: a prediction by the active version of ``model``."""

    model: str
    route: str
    """The path with the names of its parameters."""
    body_bytes: int


class Heads:
    """The heads of plain predictions by their bytes, which end with the empty line."""

    def __init__(self, max_body_bytes: int) -> None:
        self._known: dict[bytes, PlainHead] = {}
        self._max_body_bytes = max_body_bytes
        self.find = self._known.get

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
        # What the parser saw must be these bytes and no others: from the method on, a line for each
        # header, and the empty line at the end.
        if not head.startswith(b"POST ") or not len(headers) + 2 == head.count(
            b"\r\n"
        ) == head.count(b"\n"):
            return
        asked = _PATH.match(path)
        if method != "POST" or http_version != "1.1" or query or not asked:
            return
        if len(head) > MAX_HEAD_BYTES or not head.endswith(b"\r\n\r\n"):
            return
        values = dict(headers)
        if len(values) < len(headers) or not _PLAIN_HEADERS.issuperset(values):
            return
        kind = values.get(b"content-type", b"application/json")
        length = values.get(b"content-length", b"")
        if kind.partition(b";")[0].strip().lower() != b"application/json":
            return
        if values.get(b"connection", b"keep-alive").lower() != b"keep-alive":
            return
        if not length.isdigit() or not 0 < int(length) <= self._max_body_bytes:
            return
        if len(self._known) >= MAX_HEADS:
            self._known.clear()
        model, route = (asked[1], NAMED_ROUTE) if asked[1] else (DEFAULT_MODEL, DEFAULT_ROUTE)
        self._known[head] = PlainHead(model, route, int(length))
