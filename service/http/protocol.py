"""uvicorn's protocol, with deadlines and the plain road.

A plain prediction is answered without the application: `Heads` knows it by its first bytes, `Turn`
answers it. Whatever is not plain is fed to uvicorn's parser as it came, so that there is one set of
rules, and every error is the application's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.http.connections import MAX_HEAD_BYTES, Connections
from service.http.heads import Heads
from service.http.held import Held
from service.http.inferences import Inferences
from service.http.turn import Turn

_END = b"\r\n\r\n"

LINGER_SECONDS = 1.0
"""After the last words, what still comes is thrown away for so long: closed at once, the kernel
would reset the connection, and the client never read why."""

HALF_CLOSED_SECONDS = 2.0
"""A client that has ended its side may wait so long for its answer; most such clients have left."""


class RefitProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        turn: Turn,
        inferences: Inferences,
        heads: Heads,
        connections: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._turn = turn
        self._inferences = inferences
        self._heads = heads
        self._all = connections
        self._held: Held | None = None
        """The beginning of a plain prediction whose body has not come in full."""
        self._in_turn = False
        """Whether the turn owes this connection an answer."""
        self._in_message = False
        """Whether the parser has seen the beginning of a message, and not its end."""
        self._in_head = False
        self._head_bytes = 0
        self._fed = 0
        """Bytes that the parser is being fed."""
        self._is_head_too_large = False
        self._messages = 0
        self._before: RequestResponseCycle | None = None
        """The request before that of `cycle`."""
        self._kept_open: RequestResponseCycle | None = None
        """A request after which only the drain will close the connection."""
        self._is_deaf = False
        """Whether nothing more is read."""
        self._last_words = b""
        """What is sent when all that was asked before has been answered, and then the end."""
        self._has_ended = False
        """Whether the client has ended its side."""
        # See `service.http.connections.Connection`.
        self.since = self.unsent_since = 0.0
        self.received = self.unsent = 0
        self.served_before = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since = self._all.now()
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if self._in_turn:
            # The client did not wait for its answer: it comes first.
            self._turn.finish()
        if self._held is not None:
            self._take_more(self._held, data)
            return
        if self._in_message or self.is_busy:
            self._feed(data)
            return
        end = data.find(_END) + 4
        plain, caller = self._heads.find(data[:end]), None
        if plain is None and (found := self._heads.find_among(data[:end])):
            plain, caller = found
        if plain is None or self._all.draining:
            self._feed(data, end)
            return
        missing = end + plain.body_bytes - len(data)
        if missing:
            self._hold(Held(plain, caller, end, [data], missing))
        elif plain.is_infer:
            self._infer(Held(plain, caller, end, [data], 0))
        elif self._turn.take(self, plain, data, end, caller):
            self._in_turn = True
        else:
            self._feed(data)

    def _hold(self, held: Held) -> None:
        """Wait for the rest of a request, if the plain road is to have it."""
        if held.missing < 0 or (held.head.is_infer and not self._inferences.takes(held.head)):
            self.take_ordinary_road(*held.pieces)
            return
        self.since, self.received = self._all.now(), 0
        self._held = held

    def _take_more(self, held: Held, data: bytes) -> None:
        """Take the rest of a request, or a part of it."""
        self.received += len(data)
        held.add(data)
        if held.missing > 0 and not self._all.draining:
            return
        self._held = None
        if held.missing or self._all.draining:
            self.take_ordinary_road(*held.pieces)
        elif held.head.is_infer:
            self._infer(held)
        else:
            data = b"".join(held.pieces)
            if self._turn.take(self, held.head, data, held.body_from, held.caller):
                self._in_turn = True
            else:
                self._feed(data)

    def _infer(self, asked: Held) -> None:
        # The application waits for a client that does not take its answers, which may be large.
        if self.flow.write_paused or not self._inferences.answer(self, asked):
            self.take_ordinary_road(*asked.pieces)

    def eof_received(self) -> bool:  # type: ignore[override]
        self._has_ended = True
        if self._held is not None:
            pieces, self._held = self._held.pieces, None
            self.take_ordinary_road(*pieces)
        if self._in_turn:
            self._turn.finish()
        answers = self.is_busy and not self._in_message and not self.has_begun_to_answer
        if not answers and not self._last_words:
            # Nothing is owed, or it is leaving: the transport closes once it has left.
            return False
        self.loop.call_later(HALF_CLOSED_SECONDS, self.transport.close)
        return True

    def shutdown(self) -> None:
        """End, once what is under way has been answered."""
        if self._in_turn:
            self._turn.finish()
        if self.is_busy:
            self.cycle.keep_alive = False
        elif not self.is_receiving:
            self.transport.close()

    def drain(self) -> None:
        """Let the answer that is owed end the connection."""
        if self.cycle is not None and self.is_busy and not self.cycle.response_started:
            self._end_after(None)

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._in_turn or (self.cycle is not None and not self.cycle.response_complete)

    @property
    def is_receiving(self) -> bool:
        """Whether the client owes the rest of a message."""
        return (self._in_message or self._held is not None) and not self._is_deaf

    @property
    def is_awaited(self) -> bool:
        """Whether it is the client that has to do something next."""
        # With the head of its next request it may take the time that we take for the last one.
        return self.is_receiving and not (self._in_head and self.is_busy)

    @property
    def has_begun_to_answer(self) -> bool:
        """Whether an answer has begun to leave."""
        return self.cycle is not None and self.cycle.response_started and self.is_busy

    def answered(self, answer: bytes) -> None:
        """Send the answer of the turn."""
        self._in_turn = False
        self.served_before = True
        self.since = self._turn.time
        if not self.transport.is_closing():
            self.transport.write(answer)

    def inferred(self, answer: bytes, tensor: memoryview | None) -> None:
        """Send the answer of an inference."""
        self.served_before = True
        self.since = self._all.now()
        if self.transport.is_closing():
            return
        if tensor is None:
            self.transport.write(answer)
        else:
            self.transport.writelines((answer, tensor))

    def take_ordinary_road(self, *pieces: bytes) -> None:
        """Let the application answer what the plain road could not."""
        self._in_turn = False
        for piece in pieces:
            self._feed(piece)

    def end_with(self, answer: bytes) -> None:
        """Send ``answer`` after all that are owed before it, then close. Nothing more is read."""
        self._is_deaf = True
        self._held = None
        if self._in_message and not self._in_head and self.cycle is not None:
            # It is the answer of this request, which the application shall not answer.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if not self.pipeline:
                if not self.cycle.response_started:
                    self.transport.write(answer)
                self._linger()
                return
            self.pipeline.popleft()
            assert self._before is not None
            self.cycle = self._before
        if self.is_busy:
            self._last_words = answer
            return
        self.transport.write(answer)
        self._linger()

    def _linger(self) -> None:
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _feed(self, data: bytes, head_end: int = 0) -> None:
        """Let uvicorn take it. A head that ends at ``head_end``, if that is more than 3, is
        learned if it turns out to be that of a plain prediction."""
        if self.transport.is_closing() or self._is_deaf:
            return
        was_between = not self._in_message and not self.is_busy
        messages, self._fed = self._messages, len(data)
        self.received += len(data)
        super().data_received(data)
        if self._in_head and not self._is_deaf:
            # Where the head begins in the midst of the data, it is what has been parsed of it.
            is_all_head = self._messages == messages or (
                was_between and self._messages == messages + 1
            )
            self._head_bytes += len(data) if is_all_head else self._parsed_head_bytes()
            if self._head_bytes > MAX_HEAD_BYTES:
                self._all.refuse(self, "head_too_large")
        elif head_end > 3 and was_between and self._messages == messages + 1:
            self._learn(data[:head_end])

    def _parsed_head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _learn(self, head: bytes) -> None:
        scope = self.scope
        if "path" in scope:
            self._heads.learn(
                head,
                scope["method"],
                scope["path"],
                scope["query_string"],
                scope["http_version"],
                list(scope["headers"]),
            )

    # What the parser tells.
    def send_400_response(self, msg: str) -> None:
        self._all.refuse(self, "head_too_large" if self._is_head_too_large else "malformed_http")

    def on_message_begin(self) -> None:
        self._in_message = self._in_head = True
        self._messages += 1
        self.since, self.received, self._head_bytes = self._all.now(), 0, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._head_bytes + self._fed > MAX_HEAD_BYTES < self._parsed_head_bytes():
            self._is_head_too_large = True
            raise ValueError("head too large")  # the parser tells `send_400_response`
        before, self._before = self.cycle, self.cycle
        super().on_headers_complete()
        self._in_head = False
        if self._all.draining:
            self._end_after(before)

    def _end_after(self, before: RequestResponseCycle | None) -> None:
        """Let the answer to `cycle`, which came after ``before``, end the connection."""
        if before is not None and before is self._kept_open and not before.response_started:
            # This one came with it, and is to be answered too.
            before.keep_alive = True
        self._kept_open = self.cycle if self.cycle.keep_alive else None
        self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.served_before = True
        self.since, self.received = self._all.now(), 0
        super().on_response_complete()
        # `Connections` minds all deadlines.
        self._unset_keepalive_if_required()
        if self.is_busy or self.transport.is_closing():
            return
        if self._last_words:
            self.transport.write(self._last_words)
            self._linger()
        elif self._has_ended:
            self.transport.close()
