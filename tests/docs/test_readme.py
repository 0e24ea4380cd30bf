"""The README tells the truth: commands are run, answers compared, tables held to the code."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.api.app import create_app
from service.settings import Settings
from tests.e2e.running import running
from tests.waiting import until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def commands() -> list[tuple[str, str]]:
    """Every command in the console blocks, with what the README says it prints."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.strip()))
    return found


def assert_same(told: Any, seen: Any, where: str = "") -> None:
    """``told`` is what the README says; "…" stands for anything, numbers for their first digits."""
    if told == "…":
        return
    if isinstance(told, dict):
        assert isinstance(seen, dict), where
        assert list(told) == list(seen), where
        for key in told:
            assert_same(told[key], seen[key], f"{where}/{key}")
    elif isinstance(told, list):
        assert len(told) == len(seen), where
        for index, (one, other) in enumerate(zip(told, seen, strict=True)):
            assert_same(one, other, f"{where}/{index}")
    elif isinstance(told, float):
        assert math.isclose(told, seen, rel_tol=1e-4, abs_tol=1e-7), (where, told, seen)
    else:
        assert told == seen, where


@NEEDS_CURL
@pytest.mark.e2e
def test_every_curl_prints_what_is_shown(tmp_path: Path) -> None:
    curls = [(command, told) for command, told in commands() if command.startswith("curl")]
    assert len(curls) >= 8
    with running(tmp_path / "data") as service:
        for command, told in curls:
            real = command.replace("http://localhost:8000", service.url)
            done = subprocess.run(
                ["bash", "-c", real.replace("curl ", "curl -sS ", 1)],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            assert_same(json.loads(told), json.loads(done.stdout), command)


@pytest.mark.e2e
def test_make_run_starts_a_service_that_answers(tmp_path: Path) -> None:
    assert any(command.startswith("make run") for command, _ in commands())
    environment = {**os.environ, "REFIT_PORT": "0", "REFIT_DATA_DIR": str(tmp_path / "data")}
    log = tmp_path / "log"
    with log.open("wb") as file:
        # -o: what is installed already is not installed again.
        process = subprocess.Popen(
            ["make", "-o", ".venv/installed", "run"],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = until(lambda: re.search(r"listens on (http://\S+)", log.read_text()), "make run", 60)
        assert url[1].startswith("http://127.0.0.1:")
        assert "/docs" in log.read_text(), "it says where to look"
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(targets) >= 6
    for target in targets:
        assert f"make {target} " in listed


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_the_table_of_settings_is_complete_and_right() -> None:
    wanted = []
    for name, field in Settings.model_fields.items():
        value = field.default
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        default = "–" if value is None else f"`{shown}`"
        wanted.append([f"`REFIT_{name.upper()}`", default, str(field.description)])
    assert table("Settings") == wanted


def test_the_table_of_endpoints_is_complete_and_right() -> None:
    app = create_app(lambda: None)  # type: ignore[arg-type,return-value]
    wanted = [
        [f"`{method.upper()} {path}`", operation["summary"]]
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    ]
    assert table("Endpoints") == wanted


def test_every_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    links = [
        (page, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)", page.read_text())
        if not target.startswith("http")
    ]
    assert len(links) > 10
    missing = [(str(page), target) for page, target in links if not (page.parent / target).exists()]
    assert missing == []
