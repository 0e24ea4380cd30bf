"""What is told about health."""

from __future__ import annotations

from typing import Literal

from service.schemas.jobs import Response


class HealthResponse(Response):
    """Whether this process can answer predictions."""

    status: Literal["ok", "not_ready", "draining"]
    live: bool
    """The event loop turns."""
    ready: bool
    """An active version is loaded and warm, and the process is not draining."""
    model: str
    version: int | None
    device: str
    workers: int
    """Web processes that the service was told to run."""
