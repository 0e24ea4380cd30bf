"""A supervisor whose crank is turned by hand, over processes made of notes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.jobs.supervisor import Supervisor
from service.settings import Settings
from tests.service.jobs.faking import MortalDatabase, Processes


@pytest.fixture
def processes() -> Processes:
    return Processes()


@pytest.fixture
def mortal(database_url: str) -> Iterator[MortalDatabase]:
    opened = MortalDatabase(database_url)
    yield opened
    opened.close()


@pytest.fixture
def supervisor(settings: Settings, mortal: MortalDatabase, processes: Processes) -> Supervisor:
    return Supervisor(settings, mortal, processes.start, processes.wait_for, processes.kill)
