"""What thousands of slow clients do to the latency of honest ones.

    python benchmarks/slow_clients.py [--slow 10000] [--rounds 3] [--seconds 10] [--json FILE]

A service with two web workers; 16 honest clients, each of which asks for a prediction every 20 ms
on a connection that it keeps. Each round measures them alone and then beside the slow ones: a
quarter each says nothing, stops in the midst of a head, stops in the midst of a body, sends a byte
a second. Who is closed comes back at once, as an attacker would. The slow ones live in a process of
their own that runs when no other wants to (SCHED_IDLE), as if it were on a machine of its own; how
often they were closed and came back is told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

HEAD = b"POST /predict HTTP/1.1\r\nHost: refit\r\nContent-Length: %d\r\n\r\n"
ASKED = HEAD % 11 + b'{"x":[0.5]}'
BEGINNINGS = (b"", ASKED[:30], ASKED[:-3], HEAD % 5000)
HONEST = 16
EVERY_SECONDS = 0.02
OPENED_AT_ONCE = 200


class Slow:
    """Keeps ``count`` slow connections open, in a process of its own."""

    def __init__(self, port: int, count: int) -> None:
        self._port, self._count = port, count
        self._open: dict[socket.socket, int] = {}
        self._selector = selectors.DefaultSelector()
        self._made = 0
        self.closed = 0

    def run(self) -> None:
        trickle_at = time.monotonic() + 1
        told = False
        while True:
            for _ in range(min(OPENED_AT_ONCE, self._count - len(self._open))):
                self._connect()
            for key, _ in self._selector.select(0.05):
                self._read(key.fileobj)  # type: ignore[arg-type]
            if time.monotonic() >= trickle_at:
                trickle_at += 1
                self._trickle()
            if not told and len(self._open) == self._count:
                told = True
                print("open", flush=True)

    def _connect(self) -> None:
        kind = self._made % len(BEGINNINGS)
        try:
            made = socket.create_connection(("127.0.0.1", self._port), timeout=10)
            made.setblocking(False)
            made.send(BEGINNINGS[kind])
        except OSError:
            self.closed += 1
            return
        self._made += 1
        self._open[made] = kind
        self._selector.register(made, selectors.EVENT_READ)

    def _read(self, line: socket.socket) -> None:
        try:
            if line.recv(4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._drop(line)

    def _trickle(self) -> None:
        for line, kind in list(self._open.items()):
            if kind == len(BEGINNINGS) - 1:
                try:
                    line.send(b" ")
                except OSError:
                    self._drop(line)

    def _drop(self, line: socket.socket) -> None:
        self.closed += 1
        self._selector.unregister(line)
        del self._open[line]
        line.close()


def be_slow(port: int, count: int) -> None:
    """Be so many slow clients until SIGTERM; tells when all are there, and how many were closed."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)
    slow = Slow(port, count)

    def end(signum: int, frame: FrameType | None) -> None:
        print(slow.closed, flush=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    slow.run()


@contextmanager
def slow_clients(port: int, count: int, closed: list[int]) -> Iterator[None]:
    """Slow clients while the block runs; then how many of them were closed goes to ``closed``."""
    command = [sys.executable, __file__, "--be-slow", f"{port},{count}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield
        process.terminate()
        closed.append(int(process.stdout.readline()))


@contextmanager
def service() -> Iterator[int]:
    """A running service; its port."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        environment = {**os.environ, "REFIT_PORT": "0", "REFIT_DATA_DIR": f"{folder}/data"}  # noqa: TID251
        with (
            log.open("wb") as file,
            subprocess.Popen(
                [sys.executable, "-m", "service", "serve"], env=environment, stderr=file
            ) as process,
        ):
            port = None
            while port is None or not is_ready(port):
                time.sleep(0.1)
                found = re.search(r"listens on http://[^:]+:(\d+)", log.read_text())
                port = int(found[1]) if found else None
            yield port
            process.terminate()


def is_ready(port: int) -> bool:
    try:
        url = f"http://127.0.0.1:{port}/health"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def ask(port: int, index: int, until: float, taken: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(EVERY_SECONDS * index / HONEST)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(ASKED)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(EVERY_SECONDS)
    writer.close()


def measure(port: int, seconds: float) -> dict[str, float]:
    """Milliseconds of an honest client's wait."""
    taken: list[float] = []

    async def all_of_them() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(ask(port, index, until, taken) for index in range(HONEST)))

    asyncio.run(all_of_them())
    cuts = statistics.quantiles(taken, n=1000)
    return {"p50": cuts[499] * 1e3, "p99": cuts[989] * 1e3, "count": len(taken)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--slow", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--be-slow", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if asked.be_slow:
        be_slow(*map(int, asked.be_slow.split(",")))
    rounds = []
    closed: list[int] = []
    with service() as port:
        measure(port, 1)
        for _ in range(asked.rounds):
            alone = measure(port, asked.seconds)
            with slow_clients(port, asked.slow, closed):
                beside = measure(port, asked.seconds)
            rounds.append({"alone": alone, "beside": beside})
            print(
                f"p50 {alone['p50']:.2f} -> {beside['p50']:.2f} ms   "
                f"p99 {alone['p99']:.2f} -> {beside['p99']:.2f} ms   "
                f"x{beside['p99'] / alone['p99']:.2f}   {closed[-1]:,} closed",
                flush=True,
            )
    ratio = statistics.median(each["beside"]["p99"] / each["alone"]["p99"] for each in rounds)
    print(f"median ratio of p99 with {asked.slow:,} slow clients: {ratio:.2f}")
    if asked.json:
        asked.json.write_text(json.dumps({"slow": asked.slow, "rounds": rounds, "ratio": ratio}))


if __name__ == "__main__":
    main()
