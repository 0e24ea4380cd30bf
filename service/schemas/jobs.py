"""What is told about a job."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from service.entities import JobState, Origin


class Response(BaseModel):
    """Base of what the service answers; a sentence under each field reaches the OpenAPI text."""

    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)


class ProgressResponse(Response):
    """How far a job is."""

    epoch: int
    """Epochs done."""
    epochs: int
    """Epochs asked for; early stopping may need fewer."""
    fraction: float
    eta_seconds: float | None
    """0 when ended; null while nothing is known."""


class PromotionResponse(Response):
    """Whether the version became the active one, and why."""

    promoted: bool
    reason: str


class JobErrorResponse(Response):
    """Why a job failed."""

    code: str
    message: str


class JobSummaryResponse(Response):
    """A job as lists show it."""

    id: str
    model: str
    origin: Origin
    """`bootstrap` for the job of the first start, else `api`."""
    state: JobState
    attempt: int
    """How often it was started; more than 1 after a crash."""
    progress: ProgressResponse
    metrics: dict[str, float | None] | None
    """Losses in the units of the training; `…_mae`, `…_rmse`, `…_max_error` in raw units;
    `least_squares_gap` of linear models in standard deviations of y."""
    warnings: list[str]
    """What a person should know before trusting the version, in words."""
    version: int | None
    promotion: PromotionResponse | None
    error: JobErrorResponse | None
    created_at: datetime
    started_at: datetime | None
    """Of the latest attempt."""
    finished_at: datetime | None
    links: dict[str, str]


class JobResponse(JobSummaryResponse):
    """A job in full."""

    spec: dict[str, Any]
    """Every value of the request, defaults filled in."""


class JobListResponse(Response):
    """A page of jobs, newest first."""

    jobs: list[JobSummaryResponse]
    next: str | None
    """Give it as `after` for the next page; null on the last."""


class CurvePointResponse(Response):
    """Train loss before the step of that epoch, the other losses after it."""

    epoch: int
    train_loss: float
    validation_loss: float | None = None
    test_loss: float | None = None


class CurveResponse(Response):
    """The learning curve so far."""

    points: list[CurvePointResponse]
