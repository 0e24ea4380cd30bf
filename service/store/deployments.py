"""Which version of a model is active, and how it came to be."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from service.entities import Deployment, MoveKind
from service.store.tables import deployment_moves, deployments, versions

_SELECT = select(
    deployments.c.model, deployments.c.version, deployments.c.generation, versions.c.artifact
).join_from(
    deployments,
    versions,
    (deployments.c.model == versions.c.model) & (deployments.c.version == versions.c.number),
)

# A swap runs these beside predictions, which wait while a statement is put together: so once.
NEWEST_GENERATION = select(func.max(deployment_moves.c.generation))
_GET = _SELECT.where(deployments.c.model == bindparam("model"))
_ADD_MOVE = (
    insert(deployment_moves)
    .values({name: bindparam(name) for name in ("model", "version", "below", "kind", "at")})
    .returning(deployment_moves.c.generation)
)
_ACTIVE = select(deployments.c.generation).where(deployments.c.model == bindparam("model"))
_POINT = (
    update(deployments)
    .where(deployments.c.model == bindparam("of_model"))
    .values(version=bindparam("version"), generation=bindparam("generation"))
)


class DeploymentStore:
    """Rows of deployments in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def newest_generation(self) -> int:
        """The generation of the latest move of any model; 0 before the first."""
        return self._connection.execute(NEWEST_GENERATION).scalar_one() or 0

    def get(self, model: str) -> Deployment | None:
        """The active version of a model; None where it has none."""
        row = self._connection.execute(_GET, {"model": model}).one_or_none()
        return None if row is None else _deployment(row)

    def list_all(self) -> list[Deployment]:
        """The active version of every model that has one."""
        return [_deployment(row) for row in self._connection.execute(_SELECT)]

    def move(self, model: str, version: int, kind: MoveKind, now: datetime) -> int:
        """Make ``version`` the active one, on top of what was; the new generation."""
        below = self._connection.execute(_ACTIVE, {"model": model}).scalar_one_or_none()
        return self._move(model, version, below, kind, now)

    def roll_back(self, model: str, now: datetime) -> int | None:
        """Go back to the version that was active before; the new generation.

        Versions that were deleted meanwhile are passed over. None where there is nothing below.
        """
        found = self._earlier(model)
        if found is None:
            return None
        version, generation = found
        return self._move(model, version, self._below(generation), "rolled_back", now)

    def before(self, model: str) -> int | None:
        """The version that `roll_back` would go back to."""
        found = self._earlier(model)
        return None if found is None else found[0]

    def _earlier(self, model: str) -> tuple[int, int] | None:
        """The last other version that was active and still exists, and the move that made it so."""
        current = self.get(model)
        if current is None:
            return None
        below = self._below(current.generation)
        while below is not None:
            query = select(deployment_moves.c.version).where(deployment_moves.c.generation == below)
            version: int = self._connection.execute(query).scalar_one()
            if version != current.version and self._exists(model, version):
                return version, below
            below = self._below(below)
        return None

    def _below(self, generation: int) -> int | None:
        query = select(deployment_moves.c.below).where(deployment_moves.c.generation == generation)
        found: int | None = self._connection.execute(query).scalar_one()
        return found

    def _exists(self, model: str, version: int) -> bool:
        query = select(versions.c.number).where(
            versions.c.model == model, versions.c.number == version
        )
        return self._connection.execute(query).one_or_none() is not None

    def _move(
        self, model: str, version: int, below: int | None, kind: MoveKind, now: datetime
    ) -> int:
        values = {"model": model, "version": version, "below": below, "kind": kind, "at": now}
        generation: int = self._connection.execute(_ADD_MOVE, values).scalar_one()
        pointer = {"version": version, "generation": generation}
        moved = self._connection.execute(_POINT, {**pointer, "of_model": model})
        if moved.rowcount == 0:
            self._connection.execute(insert(deployments), {**pointer, "model": model})
        return generation


def _deployment(row: Row[*tuple[Any, ...]]) -> Deployment:
    return Deployment(row.model, row.version, row.generation, row.artifact)
