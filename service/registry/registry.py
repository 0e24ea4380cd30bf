"""List, show, activate, roll back and delete versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ml.errors import ArtifactError
from service.artifacts.local import LocalArtifacts
from service.entities import (
    DEFAULT_MODEL,
    Deployment,
    ListedVersion,
    ModelSummary,
    ModelVersion,
)
from service.errors import (
    ModelNotFoundError,
    NothingToRollBackError,
    NotReadyError,
    ServiceError,
    VersionActiveError,
    VersionUnloadableError,
)
from service.store.database import Database

WORKER_LIVE_SECONDS = 10.0
"""A web process that has not announced itself for so long no longer counts as live; it does so
every `service.serving.rollout.ANNOUNCE_SECONDS`."""


@dataclass(frozen=True)
class Acknowledgement:
    """How many of the live web processes have dealt with a deployment."""

    live: int
    acknowledged: int
    failures: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return self.acknowledged == self.live


class Registry:
    """The catalogue, on top of rows and artifacts."""

    def __init__(self, database: Database, artifacts: LocalArtifacts) -> None:
        self._database = database
        self._artifacts = artifacts

    def models(self, limit: int, after: str | None) -> list[ModelSummary]:
        with self._database.read() as stores:
            return stores.versions.summaries(limit, after)

    def model(self, name: str) -> ModelSummary:
        """One model.

        Raises:
            ModelNotFoundError: there is none of that name.
        """
        with self._database.read() as stores:
            return stores.versions.summary(name)

    def before(self, model: str) -> int | None:
        """The version that `roll_back` would make the active one; None where there is none."""
        with self._database.read() as stores:
            return stores.deployments.before(model)

    def versions(self, model: str, limit: int, below: int | None) -> list[ModelVersion]:
        """Versions of a model, newest first.

        Raises:
            ModelNotFoundError: there is no such model.
        """
        with self._database.read() as stores:
            return stores.versions.list_newest(model, limit, below)

    def all_versions(self, model: str | None = None) -> list[ListedVersion]:
        """Every version of a model, or of all models, in order of name and number.

        Raises:
            ModelNotFoundError: there is no such model.
        """
        with self._database.read() as stores:
            return stores.versions.list_all(model)

    def version(self, model: str, number: int) -> ModelVersion:
        """One version.

        Raises:
            ModelNotFoundError, VersionNotFoundError: there is none.
        """
        with self._database.read() as stores:
            return stores.versions.get(model, number)

    def deployment(self, model: str) -> Deployment | None:
        """The active version of a model, if it has one."""
        with self._database.read() as stores:
            return stores.deployments.get(model)

    def active_version(self, model: str) -> ModelVersion:
        """The active version of a model.

        Raises:
            ModelNotFoundError, NotReadyError: as `why_no_active` says.
        """
        with self._database.read() as stores:
            deployment = stores.deployments.get(model)
            if deployment is not None:
                return stores.versions.get(model, deployment.version)
        raise self.why_no_active(model)

    def why_no_active(self, model: str) -> ServiceError:
        """The error that tells why a model cannot answer: unknown, or known and not ready."""
        with self._database.read() as stores:
            try:
                stores.versions.require_model(model)
            except ModelNotFoundError as error:
                if model != DEFAULT_MODEL:
                    return error
                return NotReadyError("nothing has been trained yet: POST /train")
            if stores.deployments.get(model) is None:
                return NotReadyError(f"model {model} has no active version: activate one")
        return NotReadyError(f"the active version of model {model} is not loaded yet")

    def activate(self, model: str, number: int) -> Deployment:
        """Make a version the active one, once it is shown that it loads.

        Raises:
            ModelNotFoundError, VersionNotFoundError: there is none.
            VersionUnloadableError: its files are missing or damaged; nothing was moved.
        """
        with self._database.read() as stores:
            artifact = stores.versions.artifact(model, number)
        self._require_loadable(model, number, artifact)
        with self._database.write() as stores:
            stores.versions.artifact(model, number)
            current = stores.deployments.get(model)
            if current is not None and current.version == number:
                return current
            generation = stores.deployments.move(model, number, "activated", datetime.now(UTC))
            return Deployment(model, number, generation, artifact)

    def roll_back(self, model: str) -> Deployment:
        """Make the version active that was active before.

        Raises:
            ModelNotFoundError: there is no such model.
            NothingToRollBackError: no other version was active before, or it is deleted.
            VersionUnloadableError: its files are missing or damaged; nothing was moved.
        """
        with self._database.write() as stores:
            stores.versions.require_model(model)
            if stores.deployments.roll_back(model, datetime.now(UTC)) is None:
                raise NothingToRollBackError(f"model {model} has no earlier active version")
            moved = stores.deployments.get(model)
            assert moved is not None
            # Raising in here undoes the move.
            self._require_loadable(model, moved.version, moved.artifact)
            return moved

    def delete(self, model: str, number: int) -> None:
        """Delete a version; the supervisor sweeps its artifact once no version has it.

        Raises:
            ModelNotFoundError, VersionNotFoundError: there is none.
            VersionActiveError: it is the active one.
        """
        with self._database.write() as stores:
            stores.versions.get(model, number)
            current = stores.deployments.get(model)
            if current is not None and current.version == number:
                message = f"version {number} of model {model} is active: activate another first"
                raise VersionActiveError(message)
            stores.versions.delete(model, number)

    def acknowledgement(self, generation: int) -> Acknowledgement:
        """How many live web processes serve a deployment of that generation, or a later one."""
        since = datetime.now(UTC) - timedelta(seconds=WORKER_LIVE_SECONDS)
        with self._database.read() as stores:
            workers = stores.workers.live(since)
        failures = tuple(worker.failure for worker in workers if worker.failure is not None)
        done = sum(worker.generation >= generation for worker in workers)
        return Acknowledgement(len(workers), done, failures)

    def _require_loadable(self, model: str, number: int, artifact: str) -> None:
        try:
            self._artifacts.load(artifact)
        except ArtifactError as error:
            message = f"version {number} of model {model} cannot be loaded: {error}"
            raise VersionUnloadableError(message) from error
