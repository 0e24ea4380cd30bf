"""Models and their versions."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from service.entities import ListedVersion, ModelSummary, ModelVersion, NewVersion, Origin
from service.errors import ModelNotFoundError, VersionNotFoundError
from service.store.tables import deployments, models, versions

# A swap runs this beside predictions, which wait while a statement is put together: so once.
_ARTIFACT = select(versions.c.artifact).where(
    versions.c.model == bindparam("model"), versions.c.number == bindparam("number")
)


class VersionStore:
    """Rows of models and versions in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, new: NewVersion, origin: Origin, now: datetime) -> ModelVersion:
        """Register a version under the next number of its model, which is made if need be."""
        counted = (
            update(models)
            .where(models.c.name == new.model)
            .values(last_version=models.c.last_version + 1)
            .returning(models.c.last_version)
        )
        number = self._connection.execute(counted).scalar_one_or_none()
        if number is None:
            number = 1
            model = {"name": new.model, "last_version": 1, "created_at": now}
            self._connection.execute(insert(models).values(model))
        values = {**asdict(new), "number": number, "origin": origin, "created_at": now}
        self._connection.execute(insert(versions).values(values))
        return self.get(new.model, number)

    def get(self, model: str, number: int) -> ModelVersion:
        """The version of that number.

        Raises:
            ModelNotFoundError: there is no such model.
            VersionNotFoundError: the model has no such version, or no longer.
        """
        query = select(versions).where(versions.c.model == model, versions.c.number == number)
        row = self._connection.execute(query).one_or_none()
        if row is None:
            raise self._not_found(model, number)
        return _version(row)

    def find(self, model: str, artifact: str) -> ModelVersion | None:
        """The newest version of the model that is that artifact, if there is one."""
        query = select(versions).where(versions.c.model == model, versions.c.artifact == artifact)
        newest = query.order_by(versions.c.number.desc()).limit(1)
        row = self._connection.execute(newest).one_or_none()
        return None if row is None else _version(row)

    def artifact(self, model: str, number: int) -> str:
        """The artifact of the version of that number; errors as for `get`."""
        values = {"model": model, "number": number}
        artifact: str | None = self._connection.execute(_ARTIFACT, values).scalar_one_or_none()
        if artifact is None:
            raise self._not_found(model, number)
        return artifact

    def _not_found(self, model: str, number: int) -> VersionNotFoundError:
        self.require_model(model)
        return VersionNotFoundError(f"model {model} has no version {number}")

    def require_model(self, model: str) -> None:
        """Check that a model exists.

        Raises:
            ModelNotFoundError: it does not.
        """
        query = select(models.c.name).where(models.c.name == model)
        if self._connection.execute(query).one_or_none() is None:
            raise ModelNotFoundError(f"there is no model {model}")

    def list_newest(self, model: str, limit: int, below: int | None) -> list[ModelVersion]:
        """At most ``limit`` versions, newest first, numbered under ``below``.

        Raises:
            ModelNotFoundError: there is no such model.
        """
        self.require_model(model)
        query = select(versions).where(versions.c.model == model)
        if below is not None:
            query = query.where(versions.c.number < below)
        rows = self._connection.execute(query.order_by(versions.c.number.desc()).limit(limit))
        return [_version(row) for row in rows]

    def list_all(self, model: str | None = None) -> list[ListedVersion]:
        """Every version of a model, or of all models, in order of name and number.

        Raises:
            ModelNotFoundError: there is no such model.
        """
        query = select(versions.c.model, versions.c.number, deployments.c.version)
        query = query.join_from(
            versions, deployments, versions.c.model == deployments.c.model, isouter=True
        )
        if model is not None:
            self.require_model(model)
            query = query.where(versions.c.model == model)
        rows = self._connection.execute(query.order_by(versions.c.model, versions.c.number))
        return [ListedVersion(row.model, row.number, row.number == row.version) for row in rows]

    def summaries(self, limit: int, after: str | None) -> list[ModelSummary]:
        """At most ``limit`` models in the order of their names, those after ``after``."""
        query = _summaries().order_by(models.c.name).limit(limit)
        if after is not None:
            query = query.where(models.c.name > after)
        return [_summary(row) for row in self._connection.execute(query)]

    def summary(self, model: str) -> ModelSummary:
        """One model.

        Raises:
            ModelNotFoundError: there is no such model.
        """
        row = self._connection.execute(_summaries().where(models.c.name == model)).one_or_none()
        if row is None:
            raise ModelNotFoundError(f"there is no model {model}")
        return _summary(row)

    def count_models(self) -> int:
        return self._connection.execute(select(func.count()).select_from(models)).scalar_one()

    def beyond_newest(self, count: int) -> list[tuple[str, int, str]]:
        """Model, number and artifact of versions that are neither among the ``count`` newest of
        their model nor active."""
        place = func.row_number().over(
            partition_by=versions.c.model, order_by=versions.c.number.desc()
        )
        placed = select(
            versions.c.model, versions.c.number, versions.c.artifact, place.label("place")
        ).subquery()
        active = (deployments.c.model == placed.c.model) & (
            deployments.c.version == placed.c.number
        )
        query = (
            select(placed.c.model, placed.c.number, placed.c.artifact)
            .where(placed.c.place > count, ~select(deployments.c.model).where(active).exists())
            .order_by(placed.c.model, placed.c.number)
        )
        return [(row.model, row.number, row.artifact) for row in self._connection.execute(query)]

    def delete(self, model: str, number: int) -> None:
        """Delete the row of a version; its number is not given out again."""
        doomed = delete(versions).where(versions.c.model == model, versions.c.number == number)
        self._connection.execute(doomed)

    def uses_artifact(self, artifact: str) -> bool:
        """Whether any version of any model has that artifact."""
        query = select(versions.c.number).where(versions.c.artifact == artifact).limit(1)
        return self._connection.execute(query).one_or_none() is not None


def _summaries() -> Any:
    count = (
        select(func.count())
        .select_from(versions)
        .where(versions.c.model == models.c.name)
        .scalar_subquery()
    )
    return select(
        models.c.name, count.label("versions"), deployments.c.version, models.c.created_at
    ).join_from(models, deployments, models.c.name == deployments.c.model, isouter=True)


def _summary(row: Row[Any]) -> ModelSummary:
    return ModelSummary(row.name, row.versions, row.version, row.created_at)


def _version(row: Row[Any]) -> ModelVersion:
    values = dict(row._mapping)
    # Versions of before there were warnings.
    values["warnings"] = values["warnings"] or []
    return ModelVersion(**values)
