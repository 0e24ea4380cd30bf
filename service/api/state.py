"""What the requests of one process share: built by the lifespan, reached through `Parts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from fastapi import Depends, Request

from service.api.scrape import Scrape
from service.datasets.catalogue import Datasets
from service.datasets.intake import Intake
from service.jobs.desk import JobDesk
from service.observability.metrics import Metrics
from service.registry.importing import Importer
from service.registry.registry import Registry
from service.serving.inference import Inference
from service.serving.pool import Pool
from service.serving.rollout import Rollout
from service.serving.work import Work
from service.settings import Settings


@dataclass
class AppState:
    """The rooms of the service, and the three things that change in a process's life."""

    settings: Settings
    desk: JobDesk
    registry: Registry
    importer: Importer
    datasets: Datasets
    intake: Intake
    inference: Inference
    work: Work
    pool: Pool
    rollout: Rollout
    device: torch.device
    metrics: Metrics
    scrape: Scrape
    draining: bool = False
    """Set at SIGTERM: not ready any more, streams end, requests in flight finish."""
    event_streams: int = 0
    uploads: int = 0


async def app_state(request: Request) -> AppState:
    """The state of the application that answers ``request``."""
    state = request.app.state.parts
    assert isinstance(state, AppState)
    return state


Parts = Annotated[AppState, Depends(app_state)]
