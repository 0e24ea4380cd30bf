"""Does the steps of `steps`, blocking or not: the only room that touches sockets and files."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx

from service.remote.steps import (
    Answer,
    Call,
    Done,
    FileBody,
    Item,
    Open,
    Read,
    Send,
    Sleep,
    Step,
    Steps,
)

T = TypeVar("T")

BLOCK_BYTES = 1024 * 1024
"""Of a file at a time: as the service takes them."""

DEFAULT_URL = "http://127.0.0.1:8000"

CONNECT_SECONDS = 5.0


def http_options(url: str, timeout: float, headers: Mapping[str, str] | None) -> dict[str, Any]:
    """What both kinds of `httpx` client are made with.

    Raises:
        ValueError: the URL is none of HTTP.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected a URL such as http://127.0.0.1:8000, got {url!r}")
    return {
        "base_url": url,
        "timeout": httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
        "headers": {"User-Agent": f"refit-client/{_version()}", **(headers or {})},
        # The proxy of the environment knows nothing of this machine's own ports.
        "trust_env": not _is_loopback(parts.hostname),
    }


def _version() -> str:
    try:
        return version("refit")
    except PackageNotFoundError:
        return "0"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _request(
    http: httpx.Client | httpx.AsyncClient, call: Call[Any], content: Any
) -> httpx.Request:
    usual = http.timeout
    wait = usual.read if call.silence_seconds is None else call.silence_seconds
    read = None if wait is None else wait + call.hold_seconds
    limits = {**usual.as_dict(), "read": read}
    extensions = {"timeout": limits}
    return http.build_request(
        call.method,
        call.path,
        params=list(call.query) or None,
        headers=dict(call.headers),
        content=content,
        extensions=extensions,
    )


def _rewound(body: FileBody) -> BinaryIO:
    if body.start is not None:
        body.file.seek(body.start)
    return body.file


def _blocks(body: FileBody) -> Iterator[bytes]:
    file = _rewound(body)
    while block := file.read(BLOCK_BYTES):
        yield block


async def _blocks_async(body: FileBody) -> AsyncIterator[bytes]:
    file = await anyio.to_thread.run_sync(_rewound, body)
    while block := await anyio.to_thread.run_sync(file.read, BLOCK_BYTES):
        yield block


class _Play:
    """The steps of one generator, one after the other."""

    def __init__(self, steps: Generator[Step, Any, Any]) -> None:
        self._steps = steps

    def next(self, result: Any = None) -> Step | Done[Any]:
        try:
            return self._steps.send(result)
        except StopIteration as end:
            return Done(end.value)

    def fail(self, error: httpx.TransportError) -> Step | Done[Any]:
        try:
            return self._steps.throw(error)
        except StopIteration as end:
            return Done(end.value)

    def close(self) -> None:
        self._steps.close()


class Driver:
    """Does steps, and blocks meanwhile."""

    def __init__(self, http: httpx.Client, sleep: Callable[[float], None]) -> None:
        self._http = http
        self._sleep = sleep

    def run(self, steps: Steps[T]) -> T:
        """Do all steps; what comes of them."""
        *_, last = self.play(steps)
        result: T = last.value
        return result

    def play(self, steps: Steps[Any]) -> Iterator[Item[Any] | Done[Any]]:
        """Do all steps; each item on the way, and the end."""
        play, stream = _Play(steps), _Stream(self._http)
        try:
            step = play.next()
            while not isinstance(step, Done):
                try:
                    result: Any = None
                    match step:
                        case Item():
                            yield step
                        case Sleep(seconds):
                            stream.close()
                            self._sleep(seconds)
                        case Send(call):
                            result = self._send(call)
                        case Open(call):
                            result = stream.open(call)
                        case Read():
                            result = stream.read()
                except httpx.TransportError as error:
                    step = play.fail(error)
                else:
                    step = play.next(result)
            yield step
        finally:
            play.close()
            stream.close()

    def _send(self, call: Call[Any]) -> Answer:
        body = call.body
        content = _blocks(body) if isinstance(body, FileBody) else body
        response = self._http.send(_request(self._http, call, content))
        return Answer(response.status_code, response.headers, response.content)


class _Stream:
    """The one answer that is open."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def open(self, call: Call[Any]) -> Answer:
        self.close()
        response = self._http.send(_request(self._http, call, None), stream=True)
        self._response, self._chunks = response, response.iter_bytes()
        content = b"" if response.is_success else response.read()
        return Answer(response.status_code, response.headers, content)

    def read(self) -> bytes:
        return next(self._chunks, b"")

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None


class AsyncDriver:
    """Does steps on an event loop, of asyncio or trio."""

    def __init__(self, http: httpx.AsyncClient, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._http = http
        self._sleep = sleep

    async def run(self, steps: Steps[T]) -> T:
        """Do all steps; what comes of them."""
        made = [step async for step in self.play(steps)]
        result: T = made[-1].value
        return result

    async def play(self, steps: Steps[Any]) -> AsyncIterator[Item[Any] | Done[Any]]:
        """Do all steps; each item on the way, and the end."""
        play, stream = _Play(steps), _AsyncStream(self._http)
        try:
            step = play.next()
            while not isinstance(step, Done):
                try:
                    result: Any = None
                    match step:
                        case Item():
                            yield step
                        case Sleep(seconds):
                            await stream.close()
                            await self._sleep(seconds)
                        case Send(call):
                            result = await self._send(call)
                        case Open(call):
                            result = await stream.open(call)
                        case Read():
                            result = await stream.read()
                except httpx.TransportError as error:
                    step = play.fail(error)
                else:
                    step = play.next(result)
            yield step
        finally:
            play.close()
            await stream.close()

    async def _send(self, call: Call[Any]) -> Answer:
        body = call.body
        content = _blocks_async(body) if isinstance(body, FileBody) else body
        response = await self._http.send(_request(self._http, call, content))
        return Answer(response.status_code, response.headers, response.content)


class _AsyncStream:
    """As `_Stream`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def open(self, call: Call[Any]) -> Answer:
        await self.close()
        response = await self._http.send(_request(self._http, call, None), stream=True)
        self._response, self._chunks = response, response.aiter_bytes()
        content = b"" if response.is_success else await response.aread()
        return Answer(response.status_code, response.headers, content)

    async def read(self) -> bytes:
        assert self._chunks is not None
        return await anext(self._chunks, b"")

    async def close(self) -> None:
        if self._response is not None:
            with anyio.CancelScope(shield=True):
                await self._response.aclose()
            self._response = None
