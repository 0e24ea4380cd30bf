"""What a process of the tree may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

BACKLOG = 2048
"""Connections that may wait to be accepted, for the parent that listens and the workers too."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WebPart(_Part):
    """Answers requests on the listening socket, a file descriptor that it inherits."""

    kind: Literal["web"] = "web"
    slot: int
    node: str
    listen_fd: int
    metrics_fd: int | None = None
    """What the web workers count, shared by all; None for one that counts for itself alone."""
    beat_fd: int | None = None
    """The end of a pipe to the parent for signs of life from the event loop itself."""
    loads_fd: int | None = None
    """Memory in which web workers tell each other how many connections they have."""


class SupervisorPart(_Part):
    """Claims jobs."""

    kind: Literal["supervisor"] = "supervisor"


class TrainingPart(_Part):
    """Trains one job under the fence of its claim."""

    kind: Literal["training"] = "training"
    job_id: str
    fence: int


Part = WebPart | SupervisorPart | TrainingPart
PART: TypeAdapter[Part] = TypeAdapter(Annotated[Part, Field(discriminator="kind")])
