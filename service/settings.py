"""What the environment may say: one frozen object, read once by an entry point."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "REFIT_"

OF_CLIENTS = {"REFIT_URL"}
"""Read by the command line, which speaks to a service; no setting of a service."""

Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class SettingsError(Exception):
    """A variable of the environment holds something that cannot be meant; names it."""


class Settings(BaseSettings):
    """Each field is the environment variable `REFIT_` + its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address to listen on. Loopback unless told: the API has no authentication yet."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one and prints it."""
    workers: Annotated[int, Field(ge=1, le=256)] = 2
    """Web processes that answer requests."""
    data_dir: Path = Path("data")
    """Folder for the SQLite file, the artifacts and the datasets."""
    database_url: str | None = None
    """SQLAlchemy URL, as `postgresql+psycopg://…`; without, a SQLite file in the data folder."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where models are trained and served; auto takes cuda, else mps, else cpu."""
    bootstrap: bool = True
    """Train the tutorial's line by an ordinary job when the data folder is empty."""
    start_method: Literal["auto", "fork", "spawn"] = "auto"
    """How processes start: fork takes milliseconds; auto spawns where a GPU or macOS forbids it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""
    log_format: Literal["text", "json"] = "text"
    """How log lines look: text for people, json for programs."""
    access_log: bool = False
    """Log a line for each request that is answered."""

    max_body_bytes: Positive = 16 * 1024 * 1024
    """Largest request body, in bytes."""
    max_rows: Positive = 200_000
    """Most rows of one training."""
    max_dataset_bytes: Positive = 4 * 1024**3
    """Largest file that `POST /datasets` takes, in bytes."""
    max_dataset_rows: Positive = 100_000_000
    """Most rows of one dataset."""
    max_dataset_columns: Positive = 2_000
    """Most columns of one dataset."""
    max_datasets: Positive = 1_000
    """Most datasets that are kept; one more is answered 409."""
    max_uploads: Positive = 2
    """Files that one web process takes in at once; one more is answered 429."""
    max_import_bytes: Positive = 64 * 1024 * 1024
    """Largest model that `POST /models/{model}/versions` takes, in bytes."""
    max_predict_rows: Positive = 200_000
    """Most rows of one prediction request."""
    max_predictions: Positive = 128
    """Predictions that one web process works on beside its event loop; one more is answered 429."""
    predict_seconds: Seconds = 30
    """Longest time one prediction may take; then it is answered 504."""
    max_epochs: Positive = 1_000_000
    """Most epochs of one training."""
    max_steps: Positive = 20_000_000
    """Most optimizer steps of one training: epochs × batches."""
    max_work: Positive = 10**13
    """Most work of one training: epochs × rows × parameters."""
    max_hidden_units: Positive = 16_384
    """Most hidden units of one model, over all layers."""
    max_parameters: Positive = 10_000_000
    """Most parameters of one model."""
    max_curve_points: Positive = 10_000
    """Most points of one learning curve: epochs / evaluate_every."""
    max_queued_jobs: Positive = 100
    """Jobs that may wait; one more is answered 429."""
    max_connections: Positive = 10_000
    """Connections one web process keeps; one more closes the one that has been idle longest."""
    client_timeout: Annotated[float, Field(ge=0.5, le=3600)] = 10
    """Seconds a client may stay silent, or send next to nothing, in the middle of a request."""
    keep_alive_seconds: Seconds = 75
    """Seconds an idle connection is kept for the next request."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 1
    """After SIGTERM: seconds in which connections are still taken and answered, then closed."""
    max_wait_seconds: Seconds = 60
    """Longest time that `Prefer: wait` is honoured."""
    max_event_streams: Positive = 100
    """Event streams one web process keeps open; one more is answered 429."""
    max_loaded_versions: Positive = 16
    """Versions other than the active ones that one web process keeps loaded."""

    max_attempts: Positive = 3
    """How often one job is started before a crash makes it fail."""
    retry_seconds: Annotated[float, Field(ge=0, le=3600)] = 1
    """Rest of a job before its second attempt; four times as long before each further one."""
    train_concurrency: Annotated[int, Field(ge=1, le=256)] = 1
    """Jobs that one supervisor runs at once."""
    lease_seconds: Annotated[float, Field(ge=1, le=86_400)] = 10
    """A running job that has not been heard of for so long is given to another process."""
    stall_seconds: Annotated[float, Field(ge=1, le=604_800)] = 600
    """A training without any progress for so long is killed; more than its longest step takes."""
    checkpoint_seconds: Seconds = 5
    """Shortest time between two checkpoints of a training; less often where they take long."""
    keep_versions: Annotated[int, Field(ge=0)] = 0
    """Newest versions of each model that are kept, beside those in use; 0 keeps all."""
    keep_jobs_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    """Days after which a job that has ended is deleted with its curve; 0 keeps all."""
    train_memory_bytes: Positive = 1024**3
    """Memory that the rows of a training may take; those of a larger dataset are read from disk."""
    train_threads: Positive = 1
    """Threads torch may use in a training process."""
    predict_threads: Positive = 1
    """Threads torch may use in a web process."""
    poll_seconds: Annotated[float, Field(gt=0, le=10)] = 0.05
    """How often the supervisor looks for jobs and web processes for new versions."""
    shutdown_seconds: Annotated[float, Field(ge=0.5, le=86_400)] = 8
    """Time that processes have to end after SIGTERM, once drained, before they are killed."""

    @property
    def sqlalchemy_url(self) -> str:
        """Where the rows live."""
        if self.database_url is not None:
            return self.database_url
        return f"sqlite:///{(self.data_dir / 'refit.db').absolute()}"

    @property
    def artifacts_dir(self) -> Path:
        """Where the artifacts live."""
        return self.data_dir.absolute() / "artifacts"

    @property
    def scratch_dir(self) -> Path:
        """Where trainings put what they need until they end."""
        return self.data_dir.absolute() / "scratch"

    @property
    def checkpoints_dir(self) -> Path:
        """Where running jobs keep what they go on from."""
        return self.data_dir.absolute() / "checkpoints"

    @property
    def datasets_dir(self) -> Path:
        """Where the rows of datasets lie."""
        return self.data_dir.absolute() / "datasets"


def put_settings(**given: str | None) -> None:
    """Set variables of the environment of this process, and of those that it starts, by the names
    of their fields; None leaves one as it is."""
    for name, value in given.items():
        if value is not None:
            os.environ[f"{PREFIX}{name.upper()}"] = value  # noqa: TID251


def load_settings() -> Settings:
    """The settings of this process's environment.

    Raises:
        SettingsError: a variable is wrong; the message names each and says what was wanted.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = PREFIX + "_".join(str(part) for part in problem["loc"]).upper()
            line = f"{name} = {problem['input']!r}: {problem['msg']}"
            if name == f"{PREFIX}PORT" and str(problem["input"]).startswith("tcp://"):
                line += (
                    "; Kubernetes sets it for a service called refit: set enableServiceLinks: false"
                )
            lines.append(line)
        raise SettingsError("\n".join(lines)) from error


def unknown_settings() -> list[str]:
    """A sentence for each variable with our prefix that is no setting, with the nearest name."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | OF_CLIENTS
    sentences = []
    for name in sorted(os.environ):  # noqa: TID251
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            sentences.append(f"{name} is no setting and is ignored{hint}")
    return sentences
