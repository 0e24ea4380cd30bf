"""What is known of each dataset; its rows lie in a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, delete, func, insert, select, text, update

from ml.datasets.profile import Profile
from service.entities import Dataset, NewDataset
from service.errors import DatasetNotFoundError
from service.store.tables import datasets

_LIGHT = [column for column in datasets.c if column.name != "profile"]


class DatasetStore:
    """Rows of datasets in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, new: NewDataset, now: datetime) -> Dataset:
        """Register a dataset."""
        values = {
            "id": new.id,
            "name": new.name,
            "sha256": new.sha256,
            "bytes": new.bytes,
            "format": new.format,
            "options": new.options,
            "rows": new.profile.rows,
            "profile": new.profile.to_json(),
            "created_at": now,
        }
        self._connection.execute(insert(datasets).values(values))
        return self.get(new.id)

    def find(self, dataset_id: str) -> Dataset | None:
        """The dataset of that id; None where there is none."""
        query = select(datasets).where(datasets.c.id == dataset_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else _dataset(row)

    def get(self, dataset_id: str) -> Dataset:
        """The dataset of that id.

        Raises:
            DatasetNotFoundError: there is none.
        """
        found = self.find(dataset_id)
        if found is None:
            raise _not_found(dataset_id)
        return found

    def profile(self, dataset_id: str) -> Profile:
        """Rows and columns of a dataset.

        Raises:
            DatasetNotFoundError: there is none.
        """
        query = select(datasets.c.profile).where(datasets.c.id == dataset_id)
        value = self._connection.execute(query).scalar_one_or_none()
        if value is None:
            raise _not_found(dataset_id)
        return Profile.from_json(value)

    def require(self, dataset_id: str) -> None:
        """Check that a dataset exists; in a write, it then does until the transaction ends.

        Raises:
            DatasetNotFoundError: it does not.
        """
        query = select(datasets.c.number).where(datasets.c.id == dataset_id)
        # SQLite has one writer at a time; Postgres keeps the row from being deleted meanwhile.
        if self._connection.execute(query.with_for_update(read=True)).one_or_none() is None:
            raise _not_found(dataset_id)

    def list_newest(self, limit: int, below: int | None) -> list[Dataset]:
        """At most ``limit`` datasets without their profiles, newest first, numbered under
        ``below``."""
        query = select(*_LIGHT).order_by(datasets.c.number.desc()).limit(limit)
        if below is not None:
            query = query.where(datasets.c.number < below)
        return [_dataset(row) for row in self._connection.execute(query)]

    def ids(self) -> set[str]:
        """The id of every dataset."""
        return set(self._connection.execute(select(datasets.c.id)).scalars())

    def count(self) -> int:
        return self._connection.execute(select(func.count()).select_from(datasets)).scalar_one()

    def mend(self, dataset_id: str, profile: Profile) -> Dataset:
        """Tell of a file that took the place of a damaged one."""
        values = {"rows": profile.rows, "profile": profile.to_json()}
        here = datasets.c.id == dataset_id
        self._connection.execute(update(datasets).where(here).values(values))
        return self.get(dataset_id)

    def delete(self, dataset_id: str) -> None:
        """Delete the row of a dataset; its file is the caller's to delete.

        Raises:
            DatasetNotFoundError: there is none.
        """
        doomed = delete(datasets).where(datasets.c.id == dataset_id)
        if self._connection.execute(doomed).rowcount == 0:
            raise _not_found(dataset_id)

    def lock(self) -> None:
        """From here to the end of this write, nobody else adds or deletes a dataset."""
        # SQLite has one writer at a time anyway.
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(text("LOCK TABLE datasets IN SHARE ROW EXCLUSIVE MODE"))


def _not_found(dataset_id: str) -> DatasetNotFoundError:
    return DatasetNotFoundError(f"there is no dataset {dataset_id}")


def _dataset(row: Row[Any]) -> Dataset:
    values: RowMapping = row._mapping
    profile = values.get("profile")
    return Dataset(
        number=values["number"],
        id=values["id"],
        name=values["name"],
        sha256=values["sha256"],
        bytes=values["bytes"],
        format=values["format"],
        options=values["options"],
        rows=values["rows"],
        profile=None if profile is None else Profile.from_json(profile),
        created_at=values["created_at"],
    )
