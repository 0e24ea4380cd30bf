"""Who takes part, and at which settings: those that each one's documentation recommends for
production, with one worker; access logs off; no delay for batching; one thread for torch."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.running import Prediction, Server, free_port

HERE = Path(__file__).parent
SERVERS = HERE / "servers"
ROOT = HERE.parent.parent
BASELINE = "uvicorn"

PLAIN = b'{"x": 0.5}'
Y = r'"y": ?\[?([\d.]+)'


@dataclass(frozen=True)
class Launch:
    """What a server is told: where its virtual environment is, its port, an empty folder."""

    bin: Path
    port: int
    folder: Path

    def run(self, command: str, *arguments: object) -> list[str]:
        """A command of the virtual environment."""
        return [str(self.bin / command), *(str(each) for each in arguments)]


@dataclass(frozen=True)
class Contestant:
    """A server of the model, and the request it takes."""

    label: str
    packages: tuple[str, ...]
    """Whose versions are shown."""
    requirements: str | None
    """File in `requirements/`; None: the environment that runs the benchmark."""
    prediction: Prediction
    command: Callable[[Launch], list[str]]
    environment: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Launch], list[str]] | None = None
    """A command that is run before, and not timed."""
    ports: Callable[[], dict[str, str]] = dict
    """Variables that name further free ports."""
    cwd: Path = SERVERS

    def start(self, bin_folder: Path, folder: Path) -> Server:
        """Start it with an empty ``folder`` for what it keeps."""
        launch = Launch(bin_folder, free_port(), folder)
        environment = {
            "PYTHONPATH": str(SERVERS),
            # Where scripts look for further programs of their environment.
            "PATH": f"{bin_folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            **{name: value.format(**vars(launch)) for name, value in self.environment.items()},
            **self.ports(),
        }
        if self.prepare is not None:
            command = self.prepare(launch)
            subprocess.run(command, cwd=self.cwd, check=True, capture_output=True)  # noqa: S603
        return Server(self.command(launch), launch.port, self.cwd, environment)


def _uvicorn(app: str) -> Callable[[Launch], list[str]]:
    fast = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    return lambda launch: launch.run(
        "python", "-m", "uvicorn", app, "--port", launch.port, "--workers", 1, *fast
    )


_FASTAPI = ("fastapi", "uvicorn", "torch")
_MLSERVER = {"MLSERVER_HOST": "127.0.0.1", "MLSERVER_HTTP_PORT": "{port}"}


def _mlserver_ports() -> dict[str, str]:
    names = ("MLSERVER_GRPC_PORT", "MLSERVER_METRICS_PORT")
    return {name: str(free_port()) for name in names}


_INFER = Prediction(
    "/v2/models/line/infer",
    b'{"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [0.5]}]}',
    r'"data": ?\[([\d.]+)\]',
)

CONTESTANTS: dict[str, Contestant] = {
    BASELINE: Contestant(
        "bare uvicorn, a constant answer",
        ("uvicorn", "uvloop", "httptools"),
        "uvicorn.txt",
        Prediction("/predict", PLAIN, Y),
        _uvicorn("bare:app"),
    ),
    "refit": Contestant(
        "Refit",
        ("torch", "uvicorn"),
        None,
        Prediction("/predict", PLAIN, Y),
        lambda launch: [sys.executable, "-m", "service", "serve"],
        {"REFIT_PORT": "{port}", "REFIT_DATA_DIR": "{folder}", "REFIT_WORKERS": "1"},
        # A model, as the others have one from the start.
        prepare=lambda launch: [
            sys.executable,
            "-m",
            "benchmarks.serving.start",
            str(launch.folder),
        ],
        cwd=ROOT,
    ),
    "fastapi": Contestant(
        "FastAPI, `async def`",
        _FASTAPI,
        "fastapi.txt",
        Prediction("/async", PLAIN, Y),
        _uvicorn("routes:app"),
    ),
    "fastapi-def": Contestant(
        "FastAPI, `def`",
        _FASTAPI,
        "fastapi.txt",
        Prediction("/def", PLAIN, Y),
        _uvicorn("routes:app"),
    ),
    "litserve": Contestant(
        "LitServe",
        ("litserve", "torch"),
        "litserve.txt",
        Prediction("/predict", PLAIN, Y),
        lambda launch: launch.run("python", "lit.py", launch.port),
    ),
    "mlserver-lean": Contestant(
        "MLServer, lean (no parallel workers)",
        ("mlserver", "torch"),
        "mlserver.txt",
        _INFER,
        lambda launch: launch.run("mlserver", "start", "mlserver"),
        {**_MLSERVER, "MLSERVER_PARALLEL_WORKERS": "0", "MLSERVER_DEBUG": "false"},
        ports=_mlserver_ports,
    ),
    "mlserver": Contestant(
        "MLServer, default",
        ("mlserver", "torch"),
        "mlserver.txt",
        _INFER,
        lambda launch: launch.run("mlserver", "start", "mlserver"),
        {**_MLSERVER, "MLSERVER_DEBUG": "false"},
        ports=_mlserver_ports,
    ),
    "bentoml": Contestant(
        "BentoML",
        ("bentoml", "torch"),
        "bentoml.txt",
        Prediction("/predict", PLAIN, r"^([\d.]+)$"),
        lambda launch: launch.run(
            "bentoml", "serve", "bento:LineService", "--host", "127.0.0.1", "--port", launch.port
        ),
        {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": "{folder}"},
    ),
    "mlflow": Contestant(
        "MLflow (pyfunc)",
        ("mlflow", "torch"),
        "mlflow.txt",
        Prediction("/invocations", b'{"inputs": {"x": [0.5]}}', r"\[([\d.]+)\]"),
        lambda launch: launch.run(
            *("mlflow", "models", "serve", "-m", launch.folder / "model", "--port", launch.port),
            *("--host", "127.0.0.1", "--workers", 1, "--env-manager", "local"),
        ),
        {"UVICORN_ACCESS_LOG": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        prepare=lambda launch: launch.run("python", "flow.py", launch.folder / "model"),
    ),
    "ray": Contestant(
        "Ray Serve",
        ("ray", "torch"),
        "ray.txt",
        Prediction("/predict", PLAIN, Y),
        lambda launch: launch.run("python", "rays.py", launch.port),
        # What its page on performance tuning recommends for throughput; and its workers as nice as
        # the others.
        {
            "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
            "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
            "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
            "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
            "RAY_SERVE_LOG_TO_STDERR": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
        },
    ),
}


def fresh_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for what a server keeps."""
    return tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True)
