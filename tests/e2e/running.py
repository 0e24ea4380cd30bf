"""A real Refit: the whole process tree, started as a person starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.waiting import until


class RunningService:
    """`python -m service serve` on a free port, with its data in ``data_dir``."""

    def __init__(self, data_dir: Path, **settings: object) -> None:
        self.data_dir = data_dir
        self.log_file = data_dir.parent / f"{data_dir.name}.log"
        self._log_from = self.log_file.stat().st_size if self.log_file.exists() else 0
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("REFIT_")
        }
        asked = {"port": 0, "workers": 2, "data_dir": data_dir, **settings}
        environment |= {f"REFIT_{name.upper()}": str(value) for name, value in asked.items()}
        environment["PYTHONWARNINGS"] = "error"
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.url = until(self._listening_at, "the service to listen", 60)
        self.client = httpx.Client(base_url=self.url, timeout=60)

    @property
    def log(self) -> str:
        """What this start of it has logged so far."""
        return self.log_file.read_bytes()[self._log_from :].decode()

    def _listening_at(self) -> str | None:
        assert self.process.poll() is None, f"it ended:\n{self.log}"
        found = re.search(r"listens on (http://\S+)", self.log)
        return found[1] if found else None

    def wait_ready(self, seconds: float = 60) -> None:
        """Wait until every worker serves some version."""

        def serving() -> bool:
            try:
                answers = [httpx.get(f"{self.url}/health", timeout=5) for _ in range(8)]
            except httpx.TransportError:
                return False
            return all(answer.status_code == 200 for answer in answers)

        until(serving, "readiness", seconds)

    def train(self, model: str = "default", wait: int = 60, **spec: Any) -> dict[str, Any]:
        """Train and wait for the end; the job."""
        answer = self.client.post(
            f"/models/{model}/train", json=spec, headers={"Prefer": f"wait={wait}"}
        )
        assert answer.status_code in (200, 202), answer.text
        job: dict[str, Any] = answer.json()
        return job

    def job(self, job_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.get(f"/jobs/{job_id}").json()
        return answer

    def wait_for_job(
        self, job_id: str, done: Callable[[dict[str, Any]], bool], seconds: float = 60
    ) -> dict[str, Any]:
        """Wait until ``done`` says so of the job."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if done(job) else None

        return until(look, f"job {job_id}", seconds)

    def processes(self) -> list[int]:
        """Every process of the tree that lives, the parent first."""
        return [self.process.pid, *descendants(self.process.pid)]

    def logged_pid(self, pattern: str) -> int:
        """The pid in the last line of the log that matches ``pattern`` (one group)."""
        return int(re.findall(pattern, self.log)[-1])

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 15) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.client.close()
        return self.process.wait(seconds)


@contextmanager
def running(data_dir: Path, **settings: object) -> Iterator[RunningService]:
    """A service that is ready, and is gone afterwards whatever happens."""
    service = RunningService(data_dir, **settings)
    try:
        if settings.get("bootstrap", True):
            service.wait_ready()
        yield service
    except BaseException:
        print(service.log)
        raise
    finally:
        if service.process.poll() is None:
            service.process.kill()
        service.process.wait()
        service.client.close()


def descendants(pid: int) -> list[int]:
    """Children of a process, their children, and so on."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        direct = [int(child) for child in children.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [p for child in direct for p in (child, *descendants(child))]


def alive(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
