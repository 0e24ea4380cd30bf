"""These tests are a contract: they run on SQLite and on Postgres."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sqlite", "postgres"])
def back_end(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
