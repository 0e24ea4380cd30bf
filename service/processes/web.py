"""A web worker's main function."""

from __future__ import annotations

import socket

import uvicorn

from service.http.server import Server
from service.processes.parts import BACKLOG, WebPart
from service.settings import Settings
from service.wiring import build_app


def run_web(part: WebPart, settings: Settings) -> int:
    """Answer requests until SIGTERM, then finish those in flight."""
    app = build_app(settings, part.node, part.slot)
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
    server = Server(config, app, part.beat_fd)
    listener = socket.socket(fileno=part.listen_fd)
    server.run(sockets=[listener])
    return 0 if server.started else 1
