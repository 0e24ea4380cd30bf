"""Counting, request ids and traces, the last resort, and HEAD, as plain ASGI middleware
(Starlette's `BaseHTTPMiddleware` costs a third of the throughput)."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import problem
from service.api.state import AppState
from service.observability.trace import CURRENT, Caller, RequestContext

logger = logging.getLogger(__name__)
access = logging.getLogger("service.access")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Others are counted as `other`: a client may send any word."""

UNMATCHED = "unmatched"
"""The route of requests for addresses that are none of ours, and of files of the pages."""

CLIENT_LEFT = 499
"""The status of a request without an answer, as nginx counts it."""

_LONGEST_PATH = 200
"""Characters of a path that a log line repeats."""


class Measured:
    """Counts each request, before its last byte goes out: who has the answer and asks for the
    metrics, finds it in them. With `REFIT_ACCESS_LOG`, also logs it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parts = scope["app"].state.parts
        assert isinstance(parts, AppState)
        began = time.perf_counter()
        status, counted = CLIENT_LEFT, False

        def count() -> None:
            nonlocal counted
            counted = True
            seconds = time.perf_counter() - began
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", UNMATCHED)
            parts.metrics.route(method, route).add_one(status, seconds)
            if "refit_problem" in scope:
                parts.metrics.problem(scope["refit_problem"])
                if status == HTTPStatus.TOO_MANY_REQUESTS:
                    parts.metrics.rejected(scope["refit_problem"])
            if parts.settings.access_log:
                fields = {"route": route, "status": status, "seconds": round(seconds, 6)}
                access.info("%s %r", method, scope["path"][:_LONGEST_PATH], extra=fields)

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body", False) and not counted:
                count()
            await send(message)

        parts.metrics.begin()
        try:
            await self._app(scope, receive, send_counted)
        finally:
            parts.metrics.end()
            if not counted:
                count()


class RequestIds:
    """Takes a client's `X-Request-Id`, or makes one, and sends it back; every log line of the
    request tells it. So it does with a valid `traceparent`, whose trace the answer continues.

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
        caller = Caller.of(scope["headers"])
        told = caller.told(uuid.uuid4().hex.encode())
        request_id = told[0][1].decode()
        scope["request_id"] = request_id
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *told]
            await send(message)

        before = CURRENT.set(RequestContext(request_id, caller.trace))
        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            if started:
                raise
            path = scope["path"][:_LONGEST_PATH]
            logger.exception("request %s: %s %r", request_id, scope["method"], path)
            detail = "an error of ours; it is logged under the request_id"
            answer = problem(Request(scope), "internal_error", detail)
            await answer(scope, receive, send_with_id)
        finally:
            CURRENT.reset(before)


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

        inner = {**scope, "method": "GET"}
        await self._app(inner, leave, send_head)
        for name in ("route", "refit_problem"):
            if name in inner:
                scope[name] = inner[name]
        await send({"type": "http.response.body", "body": b""})
