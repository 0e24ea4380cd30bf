"""One real service for the tests of the client; each test has models of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.client import Client
from tests.e2e.running import RunningService, running


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A ready service with two web workers."""
    with running(tmp_path_factory.mktemp("client") / "data") as started:
        yield started


@pytest.fixture
def client(real: RunningService) -> Iterator[Client]:
    with Client(real.url) as client:
        yield client
