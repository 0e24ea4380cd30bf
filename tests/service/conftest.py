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
from tests.postgres import PostgresServer, require_binaries
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


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real server; where there are no binaries, the tests that need it are skipped."""
    server = PostgresServer(require_binaries())
    yield server
    server.remove()


@pytest.fixture(scope="session")
def migrated_template(postgres: PostgresServer) -> str:
    """The name of a migrated Postgres database without rows, which others are copied from."""
    name = postgres.create()
    migrate(postgres.url(name))
    return name


@pytest.fixture
def back_end() -> str:
    """SQLite for most; rooms whose tests are a contract of the store ask for both, by a
    `conftest.py` of their own."""
    return "sqlite"


@pytest.fixture
def database_url(request: pytest.FixtureRequest, back_end: str, tmp_path: Path) -> Iterator[str]:
    """A migrated database without rows."""
    (tmp_path / "data").mkdir()
    if back_end == "sqlite":
        file = tmp_path / "data" / "refit.db"
        shutil.copy(request.getfixturevalue("migrated_file"), file)
        yield f"sqlite:///{file}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create(request.getfixturevalue("migrated_template"))
    yield server.url(name)
    server.drop(name)


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
