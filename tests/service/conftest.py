"""A migrated database, an artifact folder and settings of their own for every test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.artifacts.local import LocalArtifacts
from service.settings import Settings
from service.store.database import Database
from service.store.migrate import migrate
from tests.service.making import Place


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's shell reaches a test."""
    for name in [name for name in os.environ if name.upper().startswith("REFIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file without rows; copying it is quicker than migrating anew."""
    file = tmp_path_factory.mktemp("migrated") / "refit.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, migrated_file: Path) -> str:
    """A migrated database without rows. Another back end is one more parameter here."""
    assert request.param == "sqlite"
    file = tmp_path / "data" / "refit.db"
    file.parent.mkdir()
    shutil.copy(migrated_file, file)
    return f"sqlite:///{file}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=database_url, device="cpu")


@pytest.fixture
def place(settings: Settings, database: Database) -> Place:
    return Place(settings, database, LocalArtifacts(settings.artifacts_dir))
