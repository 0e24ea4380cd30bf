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
from service.api.routes.predict import INLINE_BYTES
from service.api.state import AppState
from service.http.accept import Acceptor
from service.http.connections import Connections
from service.http.heads import Heads
from service.http.protocol import RefitProtocol
from service.http.turn import Turn

BEAT_TICKS = 5
"""Ticks of 0.1 s between two signs of life."""

LAST_SECONDS = 1.0
"""How long those who connected last have to send their request, once nobody is let in any more."""


class Server(uvicorn.Server):
    """Serves ``app``, whose state is an `AppState` once it has started.

    At SIGTERM it is not ready any more and goes on to answer, with `Connection: close`, for
    ``drain_seconds``: whoever asks meanwhile is answered and told to go elsewhere. Then it lets
    nobody in, and finishes what is in flight.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, beat_fd: int | None = None) -> None:
        super().__init__(config)
        self._app = app
        self._beat_fd = beat_fd
        self._close_at: float | None = None
        self._end_at: float | None = None
        self._turn: Turn
        self._connections: Connections
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
        loop = asyncio.get_running_loop()
        settings = state.settings
        self._turn = Turn(loop, state.pool, settings.max_predict_rows)
        self._connections = Connections(
            loop,
            raw_problem,
            settings.max_connections,
            settings.client_timeout,
            settings.keep_alive_seconds,
        )
        self._connections.start()
        heads = Heads(min(INLINE_BYTES, settings.max_body_bytes))

        def make_protocol() -> asyncio.Protocol:
            return RefitProtocol(
                self.config,
                self.server_state,
                self.lifespan.state,
                loop,
                turn=self._turn,
                heads=heads,
                connections=self._connections,
            )

        self._acceptors = [Acceptor(loop, each, make_protocol) for each in sockets]
        self.servers = []
        self.started = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        state = self._state
        if state is None or self._close_at is not None or sig == signal.SIGINT:
            super().handle_exit(sig, frame)
            return
        state.draining = True
        self._captured_signals.append(sig)
        self._connections.draining = True
        self._close_at = time.monotonic() + state.settings.drain_seconds

    async def on_tick(self, counter: int) -> bool:
        if counter % BEAT_TICKS == 0 and self._beat_fd is not None:
            # The parent is gone, or has not looked for long.
            with suppress(OSError):
                os.write(self._beat_fd, b".")
        ends = await super().on_tick(counter)
        headers = self.server_state.default_headers
        self._turn.date = b"".join(b"%b: %b\r\n" % header for header in headers)
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
        return now >= self._end_at or not self._connections.unserved

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if (state := self._state) is not None:
            state.draining = True
        for acceptor in self._acceptors:
            acceptor.close()
            await acceptor.wait_closed()
        await super().shutdown(sockets)
