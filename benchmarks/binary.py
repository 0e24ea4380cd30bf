"""Tensors as bytes through `/v2/…/infer`, beside an application that sends back what it gets.

    python -m benchmarks.binary [--values 1000000] [--seconds 1] [--rounds 7] [--json FILE]

Both are served by uvicorn (uvloop, httptools) in one process each, and are asked in turn within a
round, so that a machine whose speed drifts slows both. The client speaks over one connection with
sockets, as anything slower would flatter us. Two things are
compared: requests a second, and, as that depends on who else uses the machine, processor time of
the server for each request. The echo sends back the request; what inference sends back is as long.

A case is features x targets: `1x1` is the tutorial's line, `10x10` reads and writes rows of ten.
The `standardized` cases are what `/train` makes of real rows by default.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.serving.connection import HOST, Connection

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Case:
    """A model to ask."""

    features: int
    targets: int
    standardized: bool

    @property
    def name(self) -> str:
        kind = "-standardized" if self.standardized else ""
        return f"{self.features}x{self.targets}{kind}"


CASES = [Case(f, t, s) for f, t in ((1, 1), (10, 10)) for s in (False, True)]

ECHO = f"""
import sys
import uvicorn

async def echo(scope, receive, send):
    if scope["type"] != "http":
        return
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message["body"])
        more = message.get("more_body", False)
    body = b"".join(chunks)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": body}})

config = dict(loop="uvloop", http="httptools", access_log=False, log_level="warning")
uvicorn.run(echo, host="{HOST}", port=int(sys.argv[1]), lifespan="off", **config)
"""

SERVE = f"""
import sys
import uvicorn
from service.http.server import Server
from service.processes.parent import listen
from service.settings import Settings
from service.wiring import build_app

wide = dict(max_predict_rows=10**9, max_body_bytes=2**30)
settings = Settings(data_dir=sys.argv[2], device="cpu", **wide)
app = build_app(settings, "bench", 0)
config = dict(loop="uvloop", http="httptools", access_log=False, log_level="warning")
config = uvicorn.Config(app, lifespan="on", server_header=False, **config)
Server(config, app).run([listen("{HOST}", int(sys.argv[1]))])
"""


def publish(folder: Path) -> None:
    """A data folder with a model for each case."""
    from ml.artifact import Bundle
    from ml.data.scaling import Scaling
    from ml.spec.model import LinearSpec
    from service.artifacts.local import LocalArtifacts
    from service.entities import NewVersion
    from service.settings import Settings
    from service.store.database import Database
    from service.store.migrate import migrate

    settings = Settings(data_dir=folder, device="cpu")
    migrate(settings.sqlalchemy_url)
    database = Database(settings.sqlalchemy_url)
    artifacts = LocalArtifacts(settings.artifacts_dir)
    for case in CASES:
        f, t = case.features, case.targets
        means = [torch.full((n,), 0.5, dtype=torch.float64) for n in (f, f, t, t)]
        bundle = Bundle(
            architecture=LinearSpec(),
            feature_names=tuple(f"x{i}" for i in range(f)),
            target_names=tuple(f"y{i}" for i in range(t)),
            scaling=Scaling(*means) if case.standardized else None,
            state={"linear_layer.weight": torch.rand(t, f), "linear_layer.bias": torch.rand(t)},
        )
        names: dict[str, Any] = {"feature_names": list(bundle.feature_names)}
        names["target_names"] = list(bundle.target_names)
        empty: dict[str, Any] = {"spec": {}, "metrics": {}, "environment": {}, "warnings": []}
        empty |= {"truth": None, "least_squares": None, "data_sha256": "0" * 64}
        artifact = artifacts.publish(bundle)
        new = NewVersion(
            model=case.name, job_id=uuid.uuid4().hex, artifact=artifact, **names, **empty
        )
        with database.write() as stores:
            now = datetime.now(UTC)
            number = stores.versions.add(new, "api", now).number
            stores.deployments.move(case.name, number, "promoted", now)
    database.close()


@dataclass(frozen=True)
class Served:
    """A process that serves, and the one connection to it."""

    connection: Connection
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time that it has used so far."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(code: str, *arguments: str) -> Iterator[Served]:
    """A process that serves, and a connection to it."""
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
    command = [sys.executable, "-c", code, str(port), *arguments]
    process = subprocess.Popen(command, cwd=ROOT)  # noqa: S603
    try:
        for _ in range(600):
            try:
                socket.create_connection((HOST, port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        connection = Connection(port)
        yield Served(connection, process.pid)
        connection.close()
    finally:
        process.terminate()
        process.wait(10)


def request_for(case: Case, values: int) -> tuple[bytes, bytes]:
    rows = values // case.features
    x = np.random.default_rng(0).random(rows * case.features, np.float32)
    tensor = {"name": "x", "shape": [rows, case.features], "datatype": "FP32"}
    asked: dict[str, Any] = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": x.nbytes}}],
        "parameters": {"binary_data_output": True},
    }
    header = json.dumps(asked).encode()
    body = header + x.tobytes()
    head = (
        f"POST /v2/models/{case.name}/infer HTTP/1.1\r\nHost: bench\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n"
        f"Inference-Header-Content-Length: {len(header)}\r\n\r\n"
    ).encode()
    return head, body


@dataclass(frozen=True)
class Measured:
    per_second: float
    cpu_seconds: float
    """Of a request."""


def measure(server: Served, head: bytes, body: bytes, seconds: float) -> Measured:
    ask = server.connection.ask
    for _ in range(3):
        ask(head, body)
    count, began, used = 0, time.perf_counter(), server.cpu_seconds()
    while (spent := time.perf_counter() - began) < seconds:
        ask(head, body)
        count += 1
    return Measured(count / spent, (server.cpu_seconds() - used) / count)


def compare(
    echo: Served, ours: Served, case: Case, values: int, asked: argparse.Namespace
) -> dict[str, Any]:
    """Medians over the rounds."""
    head, body = request_for(case, values)
    rounds = []
    for _ in range(asked.rounds):
        of_echo = measure(echo, head, body, asked.seconds)
        rounds.append((of_echo, measure(ours, head, body, asked.seconds)))
    return {
        "values": values,
        "case": case.name,
        "echo_per_second": round(statistics.median(e.per_second for e, _ in rounds), 1),
        "refit_per_second": round(statistics.median(r.per_second for _, r in rounds), 1),
        "ratio": round(statistics.median(r.per_second / e.per_second for e, r in rounds), 3),
        "cpu_ratio": round(statistics.median(e.cpu_seconds / r.cpu_seconds for e, r in rounds), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--values", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each contestant in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        publish(Path(folder))
        with serving(ECHO) as echo, serving(SERVE, folder) as ours:
            for values in asked.values:
                for case in CASES:
                    line = compare(echo, ours, case, values, asked)
                    found.append(line)
                    print(
                        f"{line['values']:>9,} values, {line['case']:<18}"
                        f" echo {line['echo_per_second']:7.1f}/s"
                        f"  refit {line['refit_per_second']:7.1f}/s"
                        f"  {line['ratio']:.0%}, by processor time {line['cpu_ratio']:.0%}",
                        flush=True,
                    )
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
