"""Parameters of paths and queries that several routes share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Path, Query

from service.errors import DatasetNotFoundError, InvalidRequestError, JobNotFoundError

ModelName = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Name of the model: letters, digits, `.`, `_`, `-`; at most 64.",
        examples=["default"],
    ),
]
VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the version.")]
Limit = Annotated[int, Query(ge=1, le=100, description="Most entries of a page.")]

T = TypeVar("T")

_ID = re.compile(r"[0-9a-f]{32}\Z")


def _job_id(job_id: Annotated[str, Path(description="Id of the job.")]) -> str:
    if not _ID.match(job_id):
        raise JobNotFoundError("there is no such job: ids have 32 hexadecimal digits")
    return job_id


def _dataset_id(dataset_id: Annotated[str, Path(description="Id of the dataset.")]) -> str:
    if not _ID.match(dataset_id):
        raise DatasetNotFoundError("there is no such dataset: ids have 32 hexadecimal digits")
    return dataset_id


JobId = Annotated[str, Depends(_job_id)]
DatasetId = Annotated[str, Depends(_dataset_id)]


def cursor(after: str | None) -> int | None:
    """The number in a cursor that an earlier page gave.

    Raises:
        InvalidRequestError: no page gave it.
    """
    if after is None:
        return None
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise InvalidRequestError("query parameter after: expected what `next` of a page said")
    return int(after)


def page(found: list[T], limit: int, place: Callable[[T], object]) -> tuple[list[T], str | None]:
    """The first ``limit`` of what was found, and the cursor of the next page; None on the last.

    ``found`` was asked for with one entry more than ``limit``; ``place`` gives the cursor of one.
    """
    entries = found[:limit]
    return entries, str(place(entries[-1])) if len(found) > limit else None
