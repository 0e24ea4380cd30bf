"""uvicorn's protocol, with deadlines and the plain road.

A plain prediction is answered without the application: `Heads` knows it by its first bytes, `Turn`
answers it. Whatever is not plain is fed to uvicorn's parser as it came, so that there is one set of
rules, and every error is the application's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.http.connections import MAX_HEAD_BYTES, Connections
from service.http.heads import Heads
from service.http.turn import Turn

_END = b"\r\n\r\n"


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
        heads: Heads,
        connections: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._turn = turn
        self._heads = heads
        self._all = connections
        self._held = b""
        """The beginning of a plain prediction whose body has not come in full."""
        self._in_turn = False
        """Whether the turn owes this connection an answer."""
        self.in_message = False
        """Whether the parser has seen the beginning of a message, and not its end."""
        self.in_head = False
        self.since = 0.0
        """When what is waited for now began to be waited for, by the loop's clock."""
        self.received = 0
        """Bytes of the message since then."""
        self._head_bytes = 0
        self._messages = 0
        self.served_before = False
        """Whether a request of this connection has been answered."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since = self._all.now()
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_turn:
            # The client did not wait for its answer: it comes first.
            self._turn.finish()
        if self._held:
            data, self._held = self._held + data, b""
        elif self.in_message or self.is_busy:
            self._feed(data)
            return
        end = data.find(_END) + 4
        plain = self._heads.find(data[:end])
        if plain is None or self._all.draining:
            self._feed(data, end)
            return
        whole = end + plain.body_bytes
        if len(data) < whole:
            if not self._held:
                self.since, self.received = self._all.now(), 0
            self._held = data
            return
        if len(data) > whole or not self._turn.take(self, plain.model, data, end):
            self._feed(data)
            return
        self._in_turn = True

    def eof_received(self) -> None:
        self._release()
        super().eof_received()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._in_turn or (self.cycle is not None and not self.cycle.response_complete)

    @property
    def is_receiving(self) -> bool:
        """Whether the client owes the rest of a message."""
        return self.in_message or bool(self._held)

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

    def take_ordinary_road(self, request: bytes) -> None:
        """Let the application answer what the turn could not."""
        self._in_turn = False
        self._feed(request)

    def _release(self) -> None:
        """Feed the parser what was held back."""
        if self._held:
            data, self._held = self._held, b""
            self._feed(data)

    def _feed(self, data: bytes, head_end: int = 0) -> None:
        """Let uvicorn take it. A head that ends at ``head_end``, if that is more than 3, is
        learned if it turns out to be that of a plain prediction."""
        if self.transport.is_closing():
            return
        was_between = not self.in_message and not self.is_busy
        messages = self._messages
        self.received += len(data)
        if self.in_head or was_between:
            self._head_bytes += len(data)
        super().data_received(data)
        if self.in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._all.refuse(self, "head_too_large")
        elif head_end > 3 and was_between and self._messages == messages + 1 and not self.in_head:
            self._learn(data[:head_end])

    def _learn(self, head: bytes) -> None:
        scope = self.scope
        self._heads.learn(
            head,
            scope["method"],
            scope["path"],
            scope["query_string"],
            scope["http_version"],
            list(scope["headers"]),
        )

    # What the parser tells.
    def on_message_begin(self) -> None:
        self.in_message = self.in_head = True
        self._messages += 1
        self.since, self.received, self._head_bytes = self._all.now(), 0, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.in_head = False
        super().on_headers_complete()
        if self._all.draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self.in_message = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.served_before = True
        self.since, self.received = self._all.now(), 0
        super().on_response_complete()
        # `Connections` minds all deadlines.
        self._unset_keepalive_if_required()
