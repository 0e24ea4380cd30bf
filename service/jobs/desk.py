"""What the API may do with jobs."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from service.entities import DEFAULT_MODEL, Job, JobEvent, JobState, ModelVersion, Origin
from service.errors import (
    Fault,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    JobFinishedError,
    NotFoundError,
    QueueFullError,
)
from service.jobs.limits import check_limits
from service.jobs.requests import dataset_of
from service.schemas.training import TrainRequest
from service.settings import Settings
from service.store.database import Database, Stores
from service.store.jobs import NewJob

KEY_LIFE = timedelta(hours=24)
"""How long an Idempotency-Key is remembered."""


class JobDesk:
    """Submit, show, list and cancel jobs."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def submit(self, model: str, request: TrainRequest, key: str | None = None) -> Job:
        """Queue a job, or find the one that the same key and request queued before.

        Raises:
            InvalidRequestError: it is too large, or cannot start from what it names.
            DatasetNotFoundError: the dataset was deleted meanwhile.
            IdempotencyKeyReusedError: the key came with another request within a day.
            QueueFullError: too many jobs wait.
        """
        check_limits(request, self._settings)
        spec = request.model_dump(mode="json")
        digest = _digest(model, spec)
        now = datetime.now(UTC)
        with self._database.write() as stores:
            known = None if key is None else stores.keys.find(key, now - KEY_LIFE)
            if known is not None:
                if known[0] != digest:
                    message = "this Idempotency-Key was used with another request"
                    raise IdempotencyKeyReusedError(message)
                return stores.jobs.get(known[1])
            waiting = stores.jobs.count("queued")
            if waiting >= self._settings.max_queued_jobs:
                raise QueueFullError(f"{waiting} jobs wait already; try again later")
            dataset = dataset_of(request)
            if dataset is not None:
                # It may have been deleted since the request was read; from here on it may not.
                stores.datasets.require(dataset)
            _check_start(stores, model, request)
            job = _add(stores, model, request, spec, "api", now)
            if key is not None:
                stores.keys.remember(key, digest, job.id, now)
            return job

    def bootstrap(self) -> Job | None:
        """Queue the training of the tutorial's line, if nothing was ever asked of this service."""
        with self._database.write() as stores:
            if stores.jobs.count() or stores.versions.count_models():
                return None
            request = TrainRequest()
            spec = request.model_dump(mode="json")
            return _add(stores, DEFAULT_MODEL, request, spec, "bootstrap", datetime.now(UTC))

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            JobNotFoundError: there is none.
        """
        with self._database.read() as stores:
            return stores.jobs.get(job_id)

    def list_newest(
        self, limit: int, below: int | None, model: str | None, state: JobState | None
    ) -> list[Job]:
        """Jobs without their specs, newest first."""
        with self._database.read() as stores:
            return stores.jobs.list_newest(limit, below, model, state)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: at once if it waits, soon if it runs; again changes nothing.

        Raises:
            JobNotFoundError: there is none.
            JobFinishedError: it has ended otherwise.
        """
        with self._database.write() as stores:
            job = stores.jobs.request_cancel(job_id, datetime.now(UTC))
        if job.ended and job.state != "cancelled":
            raise JobFinishedError(f"job {job_id} has {job.state} already")
        return job

    def peek(self, job_id: str) -> Job:
        """One job without its spec, for those who look often.

        Raises:
            JobNotFoundError: there is none.
        """
        with self._database.read() as stores:
            return stores.jobs.get(job_id, with_spec=False)

    def events(self, job_id: str, after: int, limit: int = 1000) -> list[JobEvent]:
        """At most ``limit`` events numbered above ``after``; none for a job that is not there."""
        with self._database.read() as stores:
            return stores.jobs.events(job_id, after, limit)

    def curve(self, job_id: str) -> list[dict[str, float]]:
        """Points of the learning curve so far.

        Raises:
            JobNotFoundError: there is none.
        """
        with self._database.read() as stores:
            stores.jobs.get(job_id, with_spec=False)
            return stores.jobs.curve(job_id)


def start_version(stores: Stores, model: str, request: TrainRequest) -> int | None:
    """The version that a training starts from; None for new parameters.

    Raises:
        InvalidRequestError: there is no such version.
    """
    if request.start_from == "scratch":
        return None
    if request.start_from == "active":
        deployment = stores.deployments.get(model)
        if deployment is None:
            message = f"model {model} has no active version to start from"
            raise InvalidRequestError(message, [Fault("/start_from", message)])
        return deployment.version
    try:
        return stores.versions.get(model, request.start_from).number
    except NotFoundError as error:
        raise InvalidRequestError(error.detail, [Fault("/start_from", error.detail)]) from error


def _check_start(stores: Stores, model: str, request: TrainRequest) -> None:
    number = start_version(stores, model, request)
    if number is None:
        return
    before = stores.versions.get(model, number)
    architecture = request.architecture.model_dump(mode="json")
    shape, wanted = _shape(before), (request.data.feature_count, request.data.target_count)
    if before.spec["architecture"] != architecture or (shape is not None and shape != wanted):
        was, kind = before.spec["architecture"]["kind"], request.architecture.kind
        features, targets = shape or ("other", "other")
        message = (
            f"version {number} is {was} with {features} features and {targets} targets; this "
            f"training is {kind} with {wanted[0]} and {wanted[1]}"
        )
        raise InvalidRequestError(message, [Fault("/start_from", message)])


def _shape(version: ModelVersion) -> tuple[int, int] | None:
    """How many features and targets a version has; None where only its artifact tells."""
    data = version.spec["data"]
    # Each word of a category is a feature.
    if data.get("categories"):
        return None
    if version.feature_names is not None and version.target_names is not None:
        return len(version.feature_names), len(version.target_names)

    def width(values: list[Any]) -> int:
        return len(values[0]) if isinstance(values[0], list) else 1

    # It was made before versions told the names of their columns.
    return (1, 1) if data["source"] == "line" else (width(data["x"]), width(data["y"]))


def _add(
    stores: Stores,
    model: str,
    request: TrainRequest,
    spec: dict[str, object],
    origin: Origin,
    now: datetime,
) -> Job:
    new = NewJob(
        id=uuid.uuid4().hex,
        model=model,
        origin=origin,
        spec=spec,
        epochs=request.epochs,
        dataset=dataset_of(request),
    )
    return stores.jobs.add(new, now)


def _digest(model: str, spec: dict[str, object]) -> str:
    text = json.dumps([model, spec], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
