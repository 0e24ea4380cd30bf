"""A client of a constant low rate over a few keep-alive connections.

    python -m benchmarks.serving.steady PORT PATH BODY RATE SECONDS CONNECTIONS

Prints JSON: `start` (seconds of `time.monotonic`), `sent` (seconds since then) and `took` (seconds;
null where the answer was no 200). A request is sent when it is due, whatever became of those
before; where every connection waits for an answer, the wait for one counts.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from dataclasses import dataclass, field

LATE_SECONDS = 5.0
"""An answer that takes so long has failed."""


@dataclass
class Outcome:
    """Each request that was sent: when, and how long its answer took (None: it failed)."""

    start: float
    sent: list[float] = field(default_factory=list)
    took: list[float | None] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(each is None for each in self.took)


class _Connection:
    """One keep-alive connection, with at most one request on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LATE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.got = b""

    def read(self) -> bool | None:
        """Whether the answer that has come is a 200; None where it is not whole yet."""
        piece = self.socket.recv(65536)
        self.got += piece
        if not piece:
            raise ConnectionError("the server closed the connection")
        head, end, body = self.got.partition(b"\r\n\r\n")
        if not end:
            return None
        chunked = b"transfer-encoding: chunked" in head.lower()
        if chunked and not body.endswith(b"0\r\n\r\n"):
            return None
        if not chunked:
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            if len(body) < int(length):
                return None
        self.got = b""
        return head.split(b" ", 2)[1] == b"200"


def run_steady(
    port: int, path: str, body: bytes, rate: float, seconds: float, connections: int
) -> Outcome:
    """Send ``rate`` requests a second for so many seconds."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    idle = [_Connection(port) for _ in range(connections)]
    busy: dict[socket.socket, _Connection] = {}
    outcome = Outcome(time.monotonic())
    total, begun, waited = int(rate * seconds), 0, False
    while begun < total or busy:
        now = time.monotonic()
        due = outcome.start + begun / rate
        if begun < total and due <= now and idle:
            connection = idle.pop(0)
            # Our own lateness in waking up is not the server's.
            connection.due = due if waited else now
            connection.socket.sendall(request)
            busy[connection.socket] = connection
            begun += 1
            continue
        waited = begun < total and due <= now
        rest = LATE_SECONDS if waited or begun == total else due - now
        ready, _, _ = select.select(list(busy), [], [], max(0.0, rest))
        if not ready and (waited or begun == total):
            raise TimeoutError(f"no answer within {LATE_SECONDS} s")
        for each in ready:
            _finish(busy, idle, each, outcome, port)
    for connection in idle:
        connection.socket.close()
    return outcome


def _finish(
    busy: dict[socket.socket, _Connection],
    idle: list[_Connection],
    ready: socket.socket,
    outcome: Outcome,
    port: int,
) -> None:
    connection = busy[ready]
    try:
        good = connection.read()
    except OSError:
        good = False
    if good is None:
        return
    del busy[ready]
    took = time.monotonic() - connection.due
    outcome.sent.append(connection.due - outcome.start)
    outcome.took.append(took if good else None)
    if good:
        idle.append(connection)
    else:
        connection.socket.close()
        idle.append(_Connection(port))


def main() -> None:
    port, path, body, rate, seconds, connections = sys.argv[1:]
    outcome = run_steady(
        int(port), path, body.encode(), float(rate), float(seconds), int(connections)
    )
    json.dump(vars(outcome), sys.stdout)


if __name__ == "__main__":
    main()
