"""`docs/exchange.md`, block by block, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import NEEDS_CURL, ROOT, assert_same
from tests.e2e.running import running

PAGE = (ROOT / "docs" / "exchange.md").read_text()


def steps(page: str) -> list[tuple[str, str]]:
    """Every Python block as a script, every command with what the page says it prints."""
    found = []
    for kind, block in re.findall(r"```(python|console)\n(.*?)```", page, re.DOTALL):
        if kind == "python":
            found.append((block, "\n".join(re.findall(r"# (\[.*)$", block, re.MULTILINE))))
            continue
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.strip()))
    return found


def run(step: str, folder: Path, url: str) -> str:
    """What a step prints; the page's own address stands for ``url``."""
    if step.startswith("refit "):
        command = f"{sys.executable} -m service {step.removeprefix('refit ')} --url {url}"
    elif step.startswith("curl "):
        command = step.replace("curl ", "curl -sS ", 1).replace("http://localhost:8000", url)
    else:
        (folder / "step.py").write_text(step)
        command = f"{sys.executable} step.py"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (step, done.stderr)
    return done.stdout.strip()


def assert_printed(told: str, seen: str, step: str) -> None:
    """Line by line; "…" stands for anything within a line."""
    if told.startswith("{"):
        assert_same(json.loads(told), json.loads(seen), step)
        return
    lines = told.splitlines(), seen.splitlines()
    assert len(lines[0]) == len(lines[1]), (step, seen)
    for wanted, line in zip(*lines, strict=True):
        pattern = r"\S.*?".join(re.escape(part.strip()) + r"\s*" for part in wanted.split("…"))
        assert re.fullmatch(pattern, line.strip()), (wanted, line)


@NEEDS_CURL
@pytest.mark.e2e
def test_every_block_does_what_is_shown(tmp_path: Path) -> None:
    found = steps(PAGE)
    assert len(found) >= 11
    with running(tmp_path / "data") as service:
        for step, told in found:
            assert_printed(told, run(step, tmp_path, service.url), step)
    names = {path.name for path in (tmp_path / "house-1").iterdir()}
    table = PAGE.partition("| file | what it is")[2].partition("\n\n")[0]
    for name in names:
        assert f"`{name}`" in table, f"{name} is not explained"
