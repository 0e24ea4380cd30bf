"""One kept-alive connection of a client that costs as little as a client in Python can."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"
MOST_ANSWER_BYTES = 1 << 26


class Connection:
    """Asks over sockets, and looks at nothing but the status and lengths."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), 60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(MOST_ANSWER_BYTES)

    def ask(self, head: bytes, body: bytes) -> memoryview:
        """The answer's body, which lasts until the next one.

        Raises:
            OSError: the server went away, or answered with another status than 200.
        """
        self._socket.sendall(head)
        self._socket.sendall(body)
        view, got = memoryview(self._buffer), 0
        end = -1
        while end < 0:
            got += self._receive(view[got:])
            end = self._buffer.find(b"\r\n\r\n", 0, got)
        headers = bytes(view[:end]).lower()
        if not headers.startswith(b"http/1.1 200"):
            raise OSError(f"answered {bytes(view[: min(got, 500)])!r}")
        length = int(headers.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        start = end + 4
        while got < start + length:
            got += self._receive(view[got:])
        return view[start : start + length]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _receive(self, room: memoryview) -> int:
        read = self._socket.recv_into(room)
        if not read:
            raise OSError("the server went away")
        return read
