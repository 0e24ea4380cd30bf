"""A web worker's main function."""

from __future__ import annotations

import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.api.state import AppState
from service.processes.parts import BACKLOG, WebPart
from service.settings import Settings
from service.wiring import build_app


class _Server(uvicorn.Server):
    """Turns readiness off, and ends event streams, the moment it is told to stop."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        parts = getattr(self._app.state, "parts", None)
        if isinstance(parts, AppState):
            parts.draining = True
        super().handle_exit(sig, frame)


def run_web(part: WebPart, settings: Settings) -> int:
    """Answer requests until SIGTERM, then finish those in flight."""
    app = build_app(settings, part.node, part.slot, part.metrics_fd)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        # A little less than the parent waits before it kills.
        timeout_graceful_shutdown=max(1, int(settings.shutdown_seconds) - 1),
    )
    server = _Server(config, app)
    listener = socket.socket(fileno=part.listen_fd)
    server.run(sockets=[listener])
    return 0 if server.started else 1
