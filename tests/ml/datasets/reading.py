"""Files written and read in a line, for the tests of `ml.datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, settings

from ml.datasets.ingest import ingest
from ml.datasets.options import ReadOptions
from ml.datasets.profile import Column, Profile
from ml.datasets.reader import ROWS_FILE
from ml.errors import BadFileError

quick = settings(
    deadline=None,
    max_examples=int(__import__("os").environ.get("HX", "60")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""No deadline: the machine is shared. A folder serves many examples: each writes its file anew."""

LATE = 12_000
"""Rows that put what follows them beyond the sample that types are inferred from."""


def read(
    folder: Path, content: str | bytes, **options: Any
) -> tuple[Profile, list[tuple[object, ...]]]:
    """The profile and the rows of a file of that content."""
    source = folder / "source"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    profile = ingest(source, folder, ReadOptions(**{"kind": "csv", **options}))
    return profile, pl.read_ipc(folder / ROWS_FILE).rows()


def refusal(folder: Path, content: str | bytes, **options: Any) -> BadFileError:
    """Why a file of that content is refused; nothing of it is left behind."""
    with pytest.raises(BadFileError) as caught:
        read(folder, content, **options)
    assert {path.name for path in folder.iterdir()} <= {"source", "written.parquet"}
    return caught.value


def column(profile: Profile, name: str) -> Column:
    """The column of that name, which there is."""
    found = profile.column(name)
    assert found is not None
    return found
