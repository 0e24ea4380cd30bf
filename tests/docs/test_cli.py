"""`docs/cli.md`, command by command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, assert_same, commands
from tests.e2e.running import running

PAGE = (ROOT / "docs" / "cli.md").read_text()


def lines(text: str) -> list[str]:
    """The lines that say something, with one space for many."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def agrees(told: str, seen: str) -> bool:
    """Whether a line is the one on the page, where "…" stands for a word; at the end, for all that
    is left."""
    pattern = re.sub("…$", ".+", re.escape(told)).replace("…", r"\S+")
    return re.fullmatch(pattern, seen) is not None


@pytest.mark.e2e
def test_every_command_prints_what_is_shown(tmp_path: Path) -> None:
    script = tmp_path / "bin" / "refit"
    script.parent.mkdir()
    program = "from service.cli import main\nmain()\n"
    script.write_text(f"#!{sys.executable}\n{program}")
    script.chmod(0o755)
    found = [(command, told) for command, told in commands(PAGE) if command.startswith("refit")]
    assert len(found) >= 14
    with running(tmp_path / "data") as service:
        path = f"{script.parent}:{os.environ['PATH']}"
        told_by_us = {"PATH": path, "PYTHONPATH": str(ROOT), "REFIT_URL": service.url}
        for command, told in found:
            done = subprocess.run(
                ["bash", "-c", command.replace("/tmp/own", f"{tmp_path}/own")],
                cwd=ROOT,
                env={**os.environ, **told_by_us},
                capture_output=True,
                text=True,
                timeout=180,
                check=True,
            )
            if "--json" in command:
                assert_same(json.loads(told), json.loads(done.stdout), command)
                continue
            seen = lines(done.stdout)
            shown = lines(told)
            assert len(shown) == len(seen), (command, done.stdout, done.stderr)
            for one, other in zip(shown, seen, strict=True):
                assert agrees(one, other), (command, one, other)
