"""The rules of the house that no single test would notice."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for package in ("ml", "service") for path in (ROOT / package).rglob("*.py"))
MAX_LINES = 330
"""Files stay near 250 lines; what is far beyond is to be split."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text()))


def test_the_borders_of_the_packages_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as l; l()"]
    ended = subprocess.run(
        [*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " 0 broken." in ended.stdout


def test_there_are_sources_to_look_at() -> None:
    assert len(SOURCES) > 60


def test_files_stay_small() -> None:
    lines = {name(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


def test_every_file_says_what_it_is_for() -> None:
    # Alembic's folder of scripts is a package only so that it is installed.
    silent = [name(p) for p in SOURCES if not docstring(p) and p.parent.name != "versions"]
    assert silent == []


def test_packages_hold_a_docstring_and_export_nothing() -> None:
    for path in SOURCES:
        if path.name == "__init__.py":
            body = ast.parse(path.read_text()).body
            assert len(body) == (docstring(path) is not None), name(path)


def test_no_file_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    assert [name(path) for path in SOURCES if drawers & {path.stem, *path.parent.parts}] == []


def test_the_map_of_a_package_names_every_room_of_it() -> None:
    unnamed = []
    for init in SOURCES:
        if init.name != "__init__.py" or "migrations" in init.parts or init.parent.name == "routes":
            continue
        told = docstring(init) or ""
        for path in init.parent.iterdir():
            is_room = path.suffix == ".py" or (path / "__init__.py").exists()
            if is_room and not path.name.startswith("__") and path.stem not in told:
                unnamed.append(name(path))
    assert unnamed == []
