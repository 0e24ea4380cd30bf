"""The console command `refit`, as pip would install it, and one real service for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.e2e.running import RunningService, running

ROOT = Path(__file__).parents[3]


@dataclass
class Refit:
    """Runs `refit …` as a process of its own."""

    script: Path
    url: str

    def environment(self, **more: str) -> dict[str, str]:
        here = {name: text for name, text in os.environ.items() if not name.startswith("REFIT_")}
        told = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "REFIT_URL": self.url}
        return {**here, **told, **more}

    def command(self, *words: object) -> list[str]:
        return [sys.executable, str(self.script), *map(str, words)]

    def run(
        self, *words: object, code: int = 0, environment: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.CompletedProcess[str]:
        """The command, which ends with that code and shows no trace."""
        done = subprocess.run(
            self.command(*words),
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: object) -> Any:
        """What the command prints with `--json`: one document and nothing else."""
        done = self.run(*words, "--json")
        assert done.stdout.count("\n") == 1
        return json.loads(done.stdout)

    def error(self, *words: object, code: int) -> str:
        """The one line that the command ends with; nothing is on stdout."""
        done = self.run(*words, code=code)
        assert done.stdout == ""
        lines = done.stderr.splitlines()
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:], done.stderr
        return lines[-1].removeprefix("error: ")


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip makes of the entry in `pyproject.toml`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["refit"].partition(":")
    path: Path = tmp_path_factory.mktemp("bin") / "refit"
    path.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    return path


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A ready service with two web workers."""
    with running(tmp_path_factory.mktemp("commands") / "data") as started:
        yield started


@pytest.fixture
def refit(script: Path, real: RunningService) -> Refit:
    return Refit(script, real.url)


@pytest.fixture
def nobody(script: Path) -> Refit:
    """A command that would speak to a service that is not there."""
    return Refit(script, "http://127.0.0.1:9")


@pytest.fixture
def flats(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "docs" / "data" / "flats.csv", tmp_path / "flats.csv"))
