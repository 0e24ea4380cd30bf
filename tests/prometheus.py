"""A real Prometheus of its own, from the binaries that are installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.waiting import until

REQUIRED = "TEST_PROMETHEUS"
"""The environment variable that makes missing binaries a failure: `TEST_PROMETHEUS=required`."""

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "deploy" / "prometheus"


def require_binary(name: str) -> str:
    """Where `prometheus` or `promtool` is; without it the test is skipped, or fails where CI
    demands it."""
    found = shutil.which(name)
    if found is None:
        words = f"no {name} here: install Debian's package prometheus, or put it on the PATH"
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(f"{words}; {REQUIRED}=required")
        pytest.skip(words)
    return found


class Prometheus:
    """A server with the project's own configuration, that scrapes one target quickly."""

    def __init__(self, folder: Path, target: str) -> None:
        binary = require_binary("prometheus")
        config = (CONFIG / "prometheus.yml").read_text()
        assert '"refit:8000"' in config
        assert config.count("_interval: 15s") == 2
        config = config.replace('"refit:8000"', f'"{target}"')
        (folder / "prometheus.yml").write_text(config.replace("15s", "500ms"))
        shutil.copy(CONFIG / "alerts.yml", folder)
        self._log = folder / "log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    binary,
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False
        )
        until(self._ready, "Prometheus to be ready", 60)

    def _ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str, **params: str) -> Any:
        """The `data` of an answer of its API; a wrong expression fails the test."""
        answer = self._client.get(f"/api/v1/{path}", params=params)
        assert answer.status_code == 200, (params, answer.text)
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression says now: `metric` and `value` of each series."""
        result: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return result

    def close(self) -> None:
        """End it."""
        self._client.close()
        self._process.terminate()
        self._process.wait(30)
