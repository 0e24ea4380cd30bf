"""Run the commands of a page and hold their answers to what the page shows."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def commands(page: str) -> list[tuple[str, str]]:
    """Every command in the console blocks, with what the page says it prints."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.strip()))
    return found


def run(command: str, url: str) -> str:
    """What a command prints in the folder of the repository, with the service at ``url``."""
    real = re.sub(r"\bcurl ", "curl -sS ", command.replace("http://localhost:8000", url), count=1)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", real],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    return done.stdout


def assert_told(command: str, told: str, url: str) -> None:
    """Run a command; what it prints, as JSON where it is that, is what the page says."""
    seen = run(command, url)
    if told.startswith("{"):
        assert_same(json.loads(told), json.loads(seen), command)
    else:
        assert seen.strip() == told, command


def assert_same(told: Any, seen: Any, where: str = "") -> None:
    """``told`` is what the page says; "…" stands for anything, numbers for their first digits."""
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
