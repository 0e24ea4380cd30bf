"""A service to fetch the page from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.settings import Settings
from tests.service.api.driving import Client, speaking_to


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """A service in which nothing was ever trained."""
    with speaking_to(settings) as client:
        yield client
