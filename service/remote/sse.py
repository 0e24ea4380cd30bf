"""Server-sent events, from bytes as they come (HTML Standard, section 9.2.6)."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

MAX_LINE = 1_000_000
"""Characters of a line; far beyond any event, and a bound on what a broken stream can take."""


@dataclass(frozen=True)
class ServerEvent:
    """One event; ``id`` is the last that the stream has told."""

    id: str
    kind: str
    data: str


class Parser:
    """Takes the bytes of one stream in any pieces."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._rest = ""
        self._begun = False
        self._id, self._kind, self._data = "", "", list[str]()
        self.retry_seconds: float | None = None
        """How long the server wants to be left alone before the next connection."""

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that are complete with ``chunk``.

        Raises:
            ValueError: a line does not end.
        """
        text = self._rest + self._decode(chunk)
        if not self._begun and text:
            self._begun = True
            text = text.removeprefix("\ufeff")
        # A CR at the end may be the first half of a CRLF.
        whole = text[:-1] if text.endswith("\r") else text
        lines = whole.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop() + text[len(whole) :]
        if len(self._rest) > MAX_LINE:
            raise ValueError(f"a line of the events has more than {MAX_LINE:,} characters")
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._kind = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry_seconds = int(value[:9]) / 1000
        return None

    def _dispatch(self) -> ServerEvent | None:
        kind, data = self._kind or "message", self._data
        self._kind, self._data = "", []
        return ServerEvent(self._id, kind, "\n".join(data)) if data else None
