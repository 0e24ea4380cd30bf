"""A web worker's main function."""

from __future__ import annotations

import gc
import resource
import socket
import sys
from contextlib import suppress

import uvicorn

from service.http.loads import Loads
from service.http.server import DOOR_SECONDS, LAST_SECONDS, Server
from service.processes.parts import BACKLOG, WebPart
from service.settings import Settings
from service.wiring import build_app

SWITCH_SECONDS = 0.000_05
"""How long another thread may keep the event loop from the interpreter. Python's own 5 ms would be
the p99 of predictions while a version is loaded. Against 0.2 ms, through twelve swaps a second, the
p99 was two thirds; shorter brought no more, and two threads that compute took longer in sum."""


def run_web(part: WebPart, settings: Settings) -> int:
    """Answer requests until SIGTERM, then finish those in flight."""
    # What is imported stays. A collection that looked through all of it would hold up the event
    # loop for 140 ms, and copy each page that is shared with the parent.
    gc.freeze()
    _allow_many_files()
    sys.setswitchinterval(SWITCH_SECONDS)
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
        ws="none",
        # Less than the parent waits, after the drain, before it kills.
        timeout_graceful_shutdown=max(
            1, int(settings.shutdown_seconds - DOOR_SECONDS - LAST_SECONDS) - 1
        ),
    )
    loads = None if part.loads_fd is None else Loads(part.loads_fd)
    server = Server(config, app, part.beat_fd, loads, part.slot)
    listener = socket.socket(fileno=part.listen_fd)
    server.run(sockets=[listener])
    return 0 if server.started else 1


def _allow_many_files() -> None:
    """Each connection is a file; the soft limit is 1,024 on most machines."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
