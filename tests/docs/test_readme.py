"""The README tells the truth: commands are run, answers compared, tables held to the code."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from service.api.app import create_app
from service.settings import Settings
from tests.docs.pages import NEEDS_CURL, ROOT, assert_told, commands
from tests.e2e.running import running
from tests.waiting import until

README = (ROOT / "README.md").read_text()


@NEEDS_CURL
@pytest.mark.e2e
def test_every_curl_prints_what_is_shown(tmp_path: Path) -> None:
    curls = [(command, told) for command, told in commands(README) if command.startswith("curl")]
    assert len(curls) >= 8
    with running(tmp_path / "data") as service:
        for command, told in curls:
            assert_told(command, told, service.url)


@pytest.mark.e2e
def test_make_run_starts_a_service_that_answers(tmp_path: Path) -> None:
    assert any(command.startswith("make run") for command, _ in commands(README))
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
