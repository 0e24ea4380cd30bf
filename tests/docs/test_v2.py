"""`docs/v2.md`, command by command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import NEEDS_CURL, ROOT, assert_told, commands
from tests.e2e.running import running

PAGE = (ROOT / "docs" / "v2.md").read_text()


@NEEDS_CURL
@pytest.mark.e2e
def test_every_command_and_the_program_print_what_is_shown(tmp_path: Path) -> None:
    found = commands(PAGE)
    assert len(found) >= 5
    ((program, told_by_it),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.S)
    with running(tmp_path / "data") as service:
        for command, told in found:
            assert_told(command, told, service.url)
        real = program.replace("localhost:8000", service.url.removeprefix("http://"))
        run_it = [sys.executable, "-c", real]
        done = subprocess.run(run_it, capture_output=True, text=True, timeout=90, check=True)
    assert done.stdout == told_by_it
