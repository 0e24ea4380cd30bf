"""Jobs, versions, datasets and the like as frozen records, free of torch, SQL and HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ml.datasets.profile import Profile

DEFAULT_MODEL = "default"
"""The model that the short routes `/train`, `/predict` and `/params` speak of."""

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})

ALLOWED_MOVES: dict[JobState, frozenset[JobState]] = {
    "queued": frozenset({"running", "cancelled"}),
    "running": frozenset({"succeeded", "failed", "cancelled", "queued"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}
"""Which state may follow which; `running -> queued` after a crash or a stop of the service."""

Origin = Literal["api", "bootstrap", "import"]
"""Where a job or a version comes from; a version that was imported has no job."""
EventKind = Literal["state", "point", "end"]
MoveKind = Literal["promoted", "activated", "rolled_back"]
DatasetFormat = Literal["csv", "ndjson", "parquet"]


@dataclass(frozen=True)
class JobError:
    """Why a job failed; ``code`` is stable, ``message`` is for people."""

    code: str
    message: str


@dataclass(frozen=True)
class Promotion:
    """Whether a version was made the active one, and why."""

    promoted: bool
    reason: str
    generation: int | None = None
    """Of the deployment, where promoted."""


@dataclass(frozen=True)
class Job:
    """One request to train. ``spec`` is None where a list left it out."""

    number: int
    id: str
    model: str
    origin: Origin
    state: JobState
    spec: dict[str, Any] | None
    attempt: int
    fence: int
    """Grows with every claim; a write that carries an older one is refused."""
    beat: int
    """Grows whenever its lease is renewed."""
    cancel_requested: bool
    epoch: int
    epochs: int
    metrics: dict[str, float | None] | None
    version: int | None
    promotion: Promotion | None
    error: JobError | None
    created_at: datetime
    started_at: datetime | None
    progress_at: datetime | None
    finished_at: datetime | None
    dataset: str | None
    """Id of the dataset it reads, or read; None where its rows come from elsewhere."""
    warnings: list[str]
    """What a person should know of what came out; empty until it has succeeded."""

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True)
class JobEvent:
    """One line of a job's history; ``seq`` counts from 1 without gaps."""

    seq: int
    kind: EventKind
    at: datetime
    data: dict[str, Any]


@dataclass(frozen=True)
class NewVersion:
    """What a training process, or an import, registers."""

    model: str
    job_id: str
    """Of the job that trained it; an imported one has an id of its own, which no job has."""
    artifact: str
    """sha256 of the artifact's manifest."""
    spec: dict[str, Any]
    metrics: dict[str, float | None]
    truth: dict[str, float] | None
    least_squares: dict[str, Any] | None
    data_sha256: str
    """Of the rows that it was trained on; of an imported one, of what was sent."""
    environment: dict[str, Any]
    warnings: list[str]
    """What a person should know of it."""
    feature_names: list[str]
    target_names: list[str]


@dataclass(frozen=True)
class ModelVersion(NewVersion):
    """An artifact registered under a model; neither its number nor its content ever changes."""

    number: int
    origin: Origin
    created_at: datetime


@dataclass(frozen=True)
class Deployment:
    """The pointer from a model to its active version; ``generation`` only grows."""

    model: str
    version: int
    generation: int
    artifact: str


@dataclass(frozen=True)
class ModelSummary:
    """A model with the number of its versions."""

    name: str
    versions: int
    active: int | None
    created_at: datetime


@dataclass(frozen=True)
class ListedVersion:
    """A version without what it is made of."""

    model: str
    number: int
    active: bool


@dataclass(frozen=True)
class NewDataset:
    """What an upload registers."""

    id: str
    name: str | None
    sha256: str
    """Of the bytes that were sent."""
    bytes: int
    format: DatasetFormat
    options: dict[str, Any]
    """How the bytes were read; with them and the bytes, the id is given."""
    profile: Profile


@dataclass(frozen=True)
class Dataset:
    """A file that somebody sent. ``profile`` is None where a list left it out."""

    number: int
    id: str
    name: str | None
    sha256: str
    bytes: int
    format: DatasetFormat
    options: dict[str, Any]
    rows: int
    profile: Profile | None
    created_at: datetime


@dataclass(frozen=True)
class Worker:
    """A web process as it last announced itself."""

    node: str
    slot: int
    pid: int
    generation: int
    """The newest deployment it has dealt with: loaded, or failed to load."""
    failure: str | None
    seen_at: datetime
    loaded: tuple[str, ...] = ()
    """The artifact of each version in its memory."""
