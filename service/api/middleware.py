"""Request ids, the last resort, and HEAD, as plain ASGI middleware (Starlette's
`BaseHTTPMiddleware` costs a third of the throughput)."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import problem

logger = logging.getLogger(__name__)

_ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")


class RequestIds:
    """Takes a client's `X-Request-Id`, or makes one, and sends it back.

    A bug becomes a 500 that names the id, and a trace in the log under the same id. Starlette's own
    last resort would raise it on to uvicorn, which then resets the connection and with it the next
    request of somebody innocent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((v for k, v in scope["headers"] if k == b"x-request-id"), b"")
        header = given if _ACCEPTED.match(given) else uuid.uuid4().hex.encode()
        request_id = header.decode()
        scope["request_id"] = request_id
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], (b"x-request-id", header)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            if started:
                raise
            logger.exception("request %s: %s %r", request_id, scope["method"], scope["path"])
            detail = "an error of ours; it is logged under the request_id"
            answer = problem(Request(scope), "internal_error", detail)
            await answer(scope, receive, send_with_id)


class HeadAsGet:
    """Answers HEAD with the head of what GET would answer, as monitors and `curl -I` expect."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        started = asyncio.Event()

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                started.set()

        async def leave() -> Message:
            # An event stream would go on for as long as its job.
            await started.wait()
            return {"type": "http.disconnect"}

        await self._app({**scope, "method": "GET"}, leave, send_head)
        await send({"type": "http.response.body", "body": b""})
