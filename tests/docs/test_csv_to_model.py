"""`docs/csv-to-model.md`, command by command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import NEEDS_CURL, ROOT, assert_told, commands
from tests.e2e.running import running

PAGE = (ROOT / "docs" / "csv-to-model.md").read_text()


@NEEDS_CURL
@pytest.mark.e2e
def test_every_command_prints_what_is_shown(tmp_path: Path) -> None:
    found = commands(PAGE)
    assert len(found) >= 8
    with running(tmp_path / "data") as service:
        for command, told in found:
            assert_told(command, told, service.url)
