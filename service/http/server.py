"""uvicorn's server: the plain road, deadlines, and an end that fails no request."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.api.errors import raw_problem
from service.api.state import AppState
from service.http.accept import Acceptor
from service.http.connections import Connections
from service.http.heads import Heads
from service.http.inferences import Inferences
from service.http.loads import Loads
from service.http.protocol import RefitProtocol
from service.http.turn import Turn
from service.serving.light import INLINE_BYTES, INLINE_TENSOR_BYTES

BEAT_SECONDS = 0.5
"""Between two signs of life."""

DOOR_SECONDS = 0.3
"""After the drain the parent lets nobody in (`service.processes.door`); then those who came before
that are taken."""

LAST_SECONDS = 1.0
"""How long those who connected last have to send their request, once nobody is let in any more."""


class Server(uvicorn.Server):
    """Serves ``app``, whose state is an `AppState` once it has started.

    At SIGTERM it is not ready any more and goes on to answer, with `Connection: close`, for
    ``drain_seconds``: whoever asks meanwhile is answered and told to go elsewhere. Then it lets
    nobody in, and finishes what is in flight.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        beat_fd: int | None = None,
        loads: Loads | None = None,
        slot: int = 0,
    ) -> None:
        super().__init__(config)
        self._app = app
        self._beat_fd = beat_fd
        self._loads, self._slot = loads, slot
        self._close_at: float | None = None
        self._end_at: float | None = None
        self._loop: asyncio.AbstractEventLoop
        self.turn: Turn
        self.inferences: Inferences
        self.heads: Heads
        self.connections: Connections
        self._acceptors: list[Acceptor] = []

    @property
    def _state(self) -> AppState | None:
        parts = getattr(self._app.state, "parts", None)
        return parts if isinstance(parts, AppState) else None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets is not None
        await self.lifespan.startup()
        state = self._state
        if self.lifespan.should_exit or state is None:
            # As uvicorn does; the parent starts this worker again.
            sys.exit(3)
        loop = self._loop = asyncio.get_running_loop()
        settings = state.settings
        self.turn = Turn(loop, state.pool, state.metrics, settings.max_predict_rows)
        self.inferences = Inferences(
            self.turn, state.pool, state.inference, state.metrics, settings.max_predict_rows
        )

        def refusal(code: str) -> bytes:
            state.metrics.problem(code)
            if code == "too_many_connections":
                state.metrics.rejected(code)
            return raw_problem(code)

        self.connections = Connections(
            loop,
            refusal,
            settings.max_connections,
            settings.client_timeout,
            settings.keep_alive_seconds,
            self._tell_count,
        )
        self._tell_count(0)
        self.connections.start()
        # The plain road writes no line for each request.
        most = 0 if settings.access_log else settings.max_body_bytes
        most_of_infer = min(INLINE_BYTES + INLINE_TENSOR_BYTES, most)
        self.heads = Heads(min(INLINE_BYTES, most), most_of_infer)

        def make_protocol() -> asyncio.Protocol:
            return RefitProtocol(
                self.config,
                self.server_state,
                self.lifespan.state,
                loop,
                turn=self.turn,
                inferences=self.inferences,
                heads=self.heads,
                connections=self.connections,
            )

        self._acceptors = [Acceptor(loop, each, make_protocol, self._leads) for each in sockets]
        self.servers = []
        self._beat(loop)
        self.started = True

    def _tell_count(self, count: int) -> None:
        if self._loads is not None:
            self._loads.set(self._slot, count)

    def _leads(self) -> bool:
        return self._loads is not None and self._loads.leads(self._slot)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell the parent again and again, to the very end, that the loop turns."""
        if self._beat_fd is not None:
            # The parent is gone, or has not looked for long.
            with suppress(OSError):
                os.write(self._beat_fd, b".")
            loop.call_later(BEAT_SECONDS, self._beat, loop)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        state = self._state
        if not self.started or state is None or self._close_at or sig == signal.SIGINT:
            super().handle_exit(sig, frame)
            return
        state.draining = True
        self._captured_signals.append(sig)
        self.connections.draining = True
        self._loop.call_soon_threadsafe(self.connections.drain)
        self._close_at = time.monotonic() + state.settings.drain_seconds + DOOR_SECONDS

    async def on_tick(self, counter: int) -> bool:
        ends = await super().on_tick(counter)
        headers = self.server_state.default_headers
        self.turn.date = b"".join(b"%b: %b\r\n" % header for header in headers)
        return ends or self._has_drained(time.monotonic())

    def _has_drained(self, now: float) -> bool:
        if self._close_at is None:
            return False
        if self._end_at is None and now >= self._close_at:
            for acceptor in self._acceptors:
                acceptor.close()
            self._end_at = now + LAST_SECONDS
        if self._end_at is None:
            return False
        return now >= self._end_at or not self.connections.unserved

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if (state := self._state) is not None:
            state.draining = True
        self.connections.draining = True
        for acceptor in self._acceptors:
            acceptor.close()
            await acceptor.wait_closed()
        await super().shutdown(sockets)
