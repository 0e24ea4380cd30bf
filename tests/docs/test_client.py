"""`docs/client.md`, block by block in one program."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.e2e.running import running

PAGE = (ROOT / "docs" / "client.md").read_text()


@pytest.mark.e2e
def test_every_block_prints_what_is_shown(tmp_path: Path) -> None:
    pairs = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(pairs) == PAGE.count("```python") >= 7
    program = "print('----')\n".join(code for code, _ in pairs) + "refit.close()\n"
    with running(tmp_path / "data") as service:
        real = program.replace("http://localhost:8000", service.url)
        real = real.replace("/tmp/", f"{tmp_path}/")
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", real],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("----\n") == [told for _, told in pairs]
