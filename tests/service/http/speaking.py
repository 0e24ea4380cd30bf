"""A real server in a thread, and raw sockets to speak to it."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from service.api.state import AppState
from service.http.server import Server
from service.processes.parent import listen
from service.settings import Settings
from service.wiring import build_app
from tests.waiting import until

UNHEARD_OF = b"X-Unheard-Of: 1\r\n"
"""A header that the plain road does not take."""

MODELS_HEAD = b"Host: refit\r\nContent-Type: application/json\r\n"


@dataclass(frozen=True)
class Answer:
    """What came back, as it came."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        found = re.search(rb"(?i)\r\n" + name.encode() + rb": (.*?)\r\n", self.head)
        return found[1].decode() if found else None

    @property
    def told(self) -> bytes:
        """All of it, but for what differs from one request to the next."""
        head = re.sub(rb"\r\ndate: .*?(?=\r\n)", rb"\r\ndate: -", self.head)
        # An id of the service's own; one that was sent has to come back.
        head = re.sub(rb"(?<=\r\nx-request-id: )[0-9a-f]{32}(?=\r\n)", b"-", head)
        head = re.sub(rb"(?<=\r\ntraceparent: )(\S{36})[0-9a-f]{16}", rb"\1-", head)
        return head + re.sub(rb'"request_id":"\w*"', b'"request_id":"-"', self.body)


class Line:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, data: bytes) -> Answer:
        self.send(data)
        return self.read()

    def read(self) -> Answer:
        """The next answer; ConnectionError where there is none."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        head += b"\r\n\r\n"
        status = int(head.split(b" ", 2)[1])
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        assert length, head
        while len(self._rest) < int(length[1]):
            self._more()
        body, self._rest = self._rest[: int(length[1])], self._rest[int(length[1]) :]
        return Answer(status, head, body)

    def is_ended(self, seconds: float = 30) -> bool:
        """Whether the server ends the connection within that time, without a word more."""
        self.socket.settimeout(seconds)
        try:
            self._rest += self.socket.recv(65536)
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        assert self._rest == b""
        return True

    def _more(self) -> None:
        got = self.socket.recv(65536)
        if not got:
            raise ConnectionError("the server has closed")
        self._rest += got


class Serving:
    """A running server, seen from outside and from inside."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port
        self.loop: asyncio.AbstractEventLoop
        self.parts: AppState

    def line(self) -> Line:
        return Line(self.port)

    def ask(self, data: bytes) -> Answer:
        """An answer on a connection of its own."""
        with self.line() as line:
            return line.ask(data)

    @property
    def plain(self) -> int:
        """Requests that took the plain road so far."""
        return self.server.turn.answered

    @contextmanager
    def held(self) -> Iterator[None]:
        """The event loop stands still: all that is sent meanwhile comes in one turn."""
        stands, go = threading.Event(), threading.Event()

        def stand() -> None:
            stands.set()
            go.wait(30)

        self.loop.call_soon_threadsafe(stand)
        assert stands.wait(30)
        try:
            yield
        finally:
            go.set()


@contextmanager
def serving(settings: Settings) -> Iterator[Serving]:
    """A server with these settings, as a web worker runs it."""
    app = build_app(settings, "node:8000", 0)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = Server(config, app)
    listener = listen("127.0.0.1", 0)
    serving = Serving(server, listener.getsockname()[1])

    async def serve() -> None:
        serving.loop = asyncio.get_running_loop()
        await server.serve([listener])

    def run() -> None:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: server.started or not thread.is_alive(), "the server")
    assert server.started
    serving.parts = app.state.parts
    try:
        yield serving
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def post(body: bytes, path: str = "/predict", headers: bytes = b"") -> bytes:
    """A request that is plain, unless ``headers`` are not."""
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n%b\r\n%b" % (
        path.encode(),
        MODELS_HEAD,
        len(body),
        headers,
        body,
    )


def infer(
    json: bytes,
    binary: bytes = b"",
    model: str = "default",
    length: object = None,
    headers: bytes = b"",
) -> bytes:
    """An inference whose JSON is as long as ``length``, or else as it is. Without bytes behind it,
    all of the body is JSON where no length is told."""
    if length is not None or binary:
        told = len(json) if length is None else length
        headers += f"Inference-Header-Content-Length: {told}\r\n".encode()
    return post(json + binary, f"/v2/models/{model}/infer", headers)


def post_ordinary(body: bytes, path: str = "/predict", headers: bytes = b"") -> bytes:
    """The same request, with one more header that the plain road does not take."""
    return post(body, path, headers + UNHEARD_OF)


class Asker:
    """Asks the same down both roads, and says which the first one took."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        self._line: Line | None = None

    def ask(self, request: bytes) -> Answer:
        """On one connection for as long as it lives, as clients do."""
        if self._line is None:
            self._line = self._server.line()
        answer = self._line.ask(request)
        if answer.header("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self._line is not None:
            self._line.socket.close()
        self._line = None

    def compare(self, body: bytes, path: str) -> tuple[Answer, bool]:
        return self.compare_requests(post_ordinary(body, path), post(body, path))

    def compare_requests(self, ordinary: bytes, request: bytes) -> tuple[Answer, bool]:
        """The same by the ordinary road, and with a head that is known by now."""
        wanted = self.ask(ordinary)
        first = self.ask(request)
        before = self._server.plain
        again = self.ask(request)
        assert first.told == again.told == wanted.told, request
        return again, self._server.plain > before
