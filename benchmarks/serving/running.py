"""A server of the benchmark: starts it, finds its processes, ends them."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HEADERS = {"Content-Type": "application/json"}
MARK = "BENCHMARK_SERVER"
"""Variable by which processes that left their parent are found again."""


class StartError(Exception):
    """The server ended, or did not answer in time; the message holds the end of its log."""


@dataclass(frozen=True)
class Prediction:
    """A request, and a pattern (one group) that finds the predicted number in its answer."""

    path: str
    body: bytes
    number: str | None
    expected: float = 0.65

    def holds(self, status: int, answer: bytes) -> bool:
        """Whether it is answered rightly."""
        if status != 200:
            return False
        if self.number is None:
            return True
        found = re.search(self.number, answer.decode())
        # Refit has trained its line, and is off by a thousandth.
        return found is not None and abs(float(found[1]) - self.expected) < 0.01


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Server:
    """A running server with all its processes."""

    def __init__(
        self, command: list[str], port: int, cwd: Path, environment: dict[str, str]
    ) -> None:
        self.port = port
        self._mark = uuid.uuid4().hex
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 closed by `stop`
        kept = {name: value for name, value in os.environ.items() if "REFIT_" not in name}  # noqa: TID251
        one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.began = time.perf_counter()
        self.process = subprocess.Popen(  # noqa: S603
            command,
            cwd=cwd,
            env={**kept, **one_thread, **environment, MARK: self._mark},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._seen: set[int] = set()

    @property
    def log(self) -> str:
        """What it has printed so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
        """Post on a connection of its own; status and body."""
        return self._ask("POST", path, body, headers)

    def get(self, path: str) -> tuple[int, bytes]:
        """Get on a connection of its own; status and body."""
        return self._ask("GET", path, None, {})

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {**HEADERS, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait(self, prediction: Prediction, seconds: float = 60) -> float:
        """Wait for the first right answer; the seconds since exec.

        Raises:
            StartError: there was none.
        """
        last = "no answer"
        while time.perf_counter() - self.began < seconds:
            if self.process.poll() is not None:
                raise StartError(f"it ended with {self.process.returncode}: {self.log[-500:]}")
            with suppress(OSError, http.client.HTTPException):
                status, answer = self.post(prediction.path, prediction.body)
                if prediction.holds(status, answer):
                    return time.perf_counter() - self.began
                last = f"{status} {answer[:200]!r}"
            time.sleep(0.01)
        raise StartError(f"no right answer within {seconds} s ({last}): {self.log[-500:]}")

    def pids(self) -> list[int]:
        """Every process of it that lives: descendants, and those that carry its mark."""
        parents: dict[int, int] = {}
        found: set[int] = set()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] == "Z":
                    continue
                parents[int(entry.name)] = int(fields[1])
                if self._mark.encode() in (entry / "environ").read_bytes():
                    found.add(int(entry.name))
        # A process may overwrite its environment by its title, and lose its parent later.
        found |= self._seen & parents.keys()
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        self._seen = found
        return sorted(found)

    def megabytes(self) -> float:
        """Memory of all processes: the sum of their proportional set sizes."""
        return sum(pss(pid) for pid in self.pids())

    def stop(self, seconds: float = 15) -> None:
        """End it, with all its processes."""
        self.pids()  # so that those are found afterwards that lose their parent now
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()


def pss(pid: int) -> float:
    """MB of a process: its own pages, and its share of those it shares."""
    return _rollup(pid, "Pss")


def uss(pid: int) -> float:
    """MB of a process that no other shares."""
    return _rollup(pid, "Private_Clean") + _rollup(pid, "Private_Dirty")


def _rollup(pid: int, name: str) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
