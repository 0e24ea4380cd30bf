"""Connections that ask again as soon as they are answered, and how long each answer took."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Measured:
    """What came of a load."""

    seconds: float = 0.0
    """From the first request to the last answer."""
    cpu_seconds: float = 0.0
    """Of this process, meanwhile."""
    latencies: list[float] = field(default_factory=list)
    """Seconds of each answer that was 200."""
    refused: int = 0
    """Answers with another status."""
    broken: int = 0
    """Connections that ended in the midst of it."""

    def percentile(self, part: float) -> float:
        """The time within which that part of all answers came (nearest rank)."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def request_bytes(url: str, path: str, body: bytes) -> bytes:
    """One POST of JSON, as it goes over a connection."""
    host = urlsplit(url).netloc
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def measure(url: str, request: bytes, connections: int, seconds: float) -> Measured:
    """Send ``request`` again and again over so many connections.

    Raises:
        OSError: nobody listens at ``url``.
    """
    parts = urlsplit(url)
    made, port = Measured(), parts.port or 80
    links = [await asyncio.open_connection(parts.hostname, port) for _ in range(connections)]
    began, cpu = time.perf_counter(), time.process_time()
    end = began + seconds
    await asyncio.gather(*(_ask(reader, writer, request, end, made) for reader, writer in links))
    made.seconds, made.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    for _, writer in links:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return made


async def _ask(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: bytes,
    end: float,
    made: Measured,
) -> None:
    try:
        while (sent := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
            if head.startswith(b"HTTP/1.1 200 "):
                made.latencies.append(time.perf_counter() - sent)
            else:
                made.refused += 1
    except (OSError, asyncio.IncompleteReadError):
        made.broken += 1
