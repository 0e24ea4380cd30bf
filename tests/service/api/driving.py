"""Speak to the real application in this process, from ordinary functions."""

from __future__ import annotations

import asyncio
import json
import queue
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from service.api.state import AppState
from service.settings import Settings
from service.wiring import build_app

JSON = {"Content-Type": "application/json"}


OF_ANY_ADDRESS = {403, 405}
"""`cross_origin` and `method_not_allowed`."""


class Client:
    """Sends requests to an application whose lifespan has begun. Any thread may use it."""

    def __init__(self, app: FastAPI, portal: BlockingPortal) -> None:
        self.app = app
        self._portal = portal

    @property
    def parts(self) -> AppState:
        parts = self.app.state.parts
        assert isinstance(parts, AppState)
        return parts

    def request(
        self, method: str, path: str, may_be_a_bug: bool = False, **options: Any
    ) -> httpx.Response:
        """An answer; one that tells of a bug fails the test, unless it is what is wanted."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://refit", trust_env=False
            ) as client:
                return await client.request(method, path, **options)

        answer = self._portal.call(ask)
        assert may_be_a_bug or answer.status_code != 500, f"a bug, see the log: {answer.text}"
        assert may_be_a_bug or self._is_told(method, path, answer.status_code), (
            f"OpenAPI tells nothing of {answer.status_code} from {method} {path}: {answer.text}"
        )
        return answer

    def _is_told(self, method: str, path: str, status: int) -> bool:
        """Whether OpenAPI names this status for the operation; what middleware answers is told once
        for all of them, under `/docs/errors`."""
        place = httpx.URL(path).path
        for pattern, statuses in _operations(self.app).get(method.lower(), []):
            if pattern.fullmatch(place):
                return status in OF_ANY_ADDRESS or str(status) in statuses
        return True  # An address that is not part of the API, such as that of its documentation.

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Send JSON: text and bytes as they are, all else as `json.dumps` writes it."""
        if body is not None:
            content = body if isinstance(body, str | bytes) else json.dumps(body)
            options = {"content": content, **options}
            options["headers"] = {**JSON, **options.get("headers", {})}
        return self.request("POST", path, **options)

    def post_chunks(self, path: str, chunks: list[bytes]) -> httpx.Response:
        """Send a body of unknown length."""

        async def produce() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        return self.request("POST", path, content=produce(), headers=JSON)

    def post_and_leave(
        self,
        path: str,
        chunks: list[bytes],
        headers: dict[str, str],
        in_full: bool,
        when: Callable[[], object] = lambda: None,
        cancel: bool = False,
    ) -> None:
        """Send a body, all of it or not, and leave once ``when`` has returned; or have the request
        cancelled then, as the server does with what takes longer than its end."""
        rest, asking = list(chunks), list[asyncio.Future[None]]()

        async def receive() -> dict[str, Any]:
            if rest:
                body = rest.pop(0)
                return {
                    "type": "http.request",
                    "body": body,
                    "more_body": bool(rest or not in_full),
                }
            await run_in_threadpool(when)
            if cancel:
                asking[0].cancel()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            """Nobody reads it."""

        async def ask() -> None:
            scope = _scope("POST", path, headers)
            asking.append(asyncio.ensure_future(self.app(scope, receive, send)))
            await asyncio.wait(asking)

        self._portal.start_task_soon(ask).result(30)

    @contextmanager
    def stream(self, path: str, **headers: str) -> Iterator[Stream]:
        """An answer that is read as it comes; at the end of the block the client leaves."""
        stream = Stream()
        leave = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await leave.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            stream.messages.put(dict(message))

        scope = _scope("GET", path, headers)
        done = self._portal.start_task_soon(self.app, scope, receive, send)
        try:
            stream.read_start()
            yield stream
        finally:
            self._portal.call(leave.set)
            done.result(10)


@cache
def _operations(app: FastAPI) -> dict[str, list[tuple[re.Pattern[str], set[str]]]]:
    """By method: what the paths look like, those without parameters first, and their statuses."""
    found: dict[str, list[tuple[re.Pattern[str], set[str]]]] = {}
    paths = app.openapi()["paths"]
    for path in sorted(paths, key=lambda path: path.count("{")):
        for method, operation in paths[path].items():
            pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
            found.setdefault(method, []).append((pattern, set(operation["responses"])))
    return found


def _scope(method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "http",
        # What uvicorn says: a client that leaves is told by `receive`.
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "headers": [
            (name.replace("_", "-").lower().encode(), value.encode())
            for name, value in headers.items()
        ],
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "server": ("refit", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }


@dataclass
class Stream:
    """What came so far of an answer."""

    messages: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)
    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    ended: bool = False

    def read_start(self) -> None:
        message = self.messages.get(timeout=10)
        self.status = message["status"]
        self.headers = httpx.Headers(message["headers"])

    def read_until(self, text: str, seconds: float = 10) -> str:
        """All that comes until ``text`` has, or the stream ends."""
        deadline = time.monotonic() + seconds
        got = ""
        while text not in got and not self.ended:
            message = self.messages.get(timeout=deadline - time.monotonic())
            got += message.get("body", b"").decode()
            self.ended = not message.get("more_body", False)
        return got


@contextmanager
def speaking_to(settings: Settings) -> Iterator[Client]:
    """A client of a web process with these settings."""
    app = build_app(settings, node="node:8000", slot=0)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        yield Client(app, portal)


def check_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that an answer is a problem with all its members; its body."""
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    members = {"type", "title", "status", "code", "detail", "errors", "request_id"}
    if answer.request.url.path.startswith("/v2"):
        members |= {"error"}
        assert body["error"] == body["detail"]
    assert body.keys() == members
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"/docs/errors#{code}"
    assert body["title"] == httpx.codes.get_reason_phrase(status)
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    for fault in body["errors"]:
        # A file of rows also has lines and columns; elsewhere they are left out.
        assert {"pointer", "detail"} <= fault.keys() <= {"pointer", "detail", "line", "column"}
        assert fault["pointer"] == "" or fault["pointer"].startswith("/")
    return body


def pointers(answer: httpx.Response) -> list[str]:
    """What the faults of an invalid request point at."""
    body = check_problem(answer, 422, "invalid_request")
    return [fault["pointer"] for fault in body["errors"]]
