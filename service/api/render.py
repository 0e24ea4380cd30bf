"""Records of the service -> wire types."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from service.entities import Deployment, Job, ModelSummary, ModelVersion
from service.registry.registry import Acknowledgement
from service.schemas.jobs import (
    JobErrorResponse,
    JobResponse,
    JobSummaryResponse,
    ProgressResponse,
    PromotionResponse,
)
from service.schemas.models import (
    ArtifactResponse,
    DeploymentResponse,
    ModelInFullResponse,
    ModelResponse,
    VersionResponse,
)


def job_summary(job: Job) -> JobSummaryResponse:
    """A job as lists show it."""
    return JobSummaryResponse(**_job_fields(job))


def job_in_full(job: Job) -> JobResponse:
    """A job with its spec."""
    assert job.spec is not None
    return JobResponse(**_job_fields(job), spec=job.spec)


def _job_fields(job: Job) -> dict[str, Any]:
    promotion, error = job.promotion, job.error
    return {
        "id": job.id,
        "model": job.model,
        "origin": job.origin,
        "state": job.state,
        "attempt": job.attempt,
        "progress": progress(job),
        "metrics": job.metrics,
        "warnings": job.warnings,
        "version": job.version,
        "promotion": promotion
        and PromotionResponse(promoted=promotion.promoted, reason=promotion.reason),
        "error": error and JobErrorResponse(code=error.code, message=error.message),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "links": job_links(job),
    }


def progress(job: Job) -> ProgressResponse:
    """How far a job is; the time left is judged by the time its epochs have taken so far."""
    fraction = 1.0 if job.state == "succeeded" else job.epoch / job.epochs
    eta: float | None = None
    if job.ended:
        eta = 0.0
    elif job.started_at is not None and job.progress_at is not None and job.epoch:
        taken = (job.progress_at - job.started_at).total_seconds()
        waited = (datetime.now(UTC) - job.progress_at).total_seconds()
        eta = max(0.0, round(taken / fraction - taken - waited, 1))
    return ProgressResponse(
        epoch=job.epoch, epochs=job.epochs, fraction=round(fraction, 4), eta_seconds=eta
    )


def job_links(job: Job) -> dict[str, str]:
    """Where to go from a job."""
    here = f"/jobs/{job.id}"
    links = {
        "self": here,
        "events": f"{here}/events",
        "curve": f"{here}/curve",
        "curve_svg": f"{here}/curve.svg",
        "model": f"/models/{job.model}",
    }
    if not job.ended:
        links["cancel"] = f"{here}/cancel"
    if job.dataset is not None:
        links["dataset"] = f"/datasets/{job.dataset}"
    if job.version is not None:
        links["version"] = f"/models/{job.model}/versions/{job.version}"
        links["fit"] = f"{here}/fit"
        links["fit_svg"] = f"{here}/fit.svg"
        links["predict"] = f"/models/{job.model}/predict"
    return links


def model(summary: ModelSummary) -> ModelResponse:
    """A model."""
    here = f"/models/{summary.name}"
    return ModelResponse(
        model=summary.name,
        active_version=summary.active,
        versions=summary.versions,
        created_at=summary.created_at,
        links={
            "self": here,
            "versions": f"{here}/versions",
            "predict": f"{here}/predict",
            "params": f"{here}/params",
            "train": f"{here}/train",
            "rollback": f"{here}/rollback",
        },
    )


def model_in_full(summary: ModelSummary, rollback: int | None) -> ModelInFullResponse:
    """A model with the version that a rollback would go back to."""
    return ModelInFullResponse(**model(summary).model_dump(), rollback_version=rollback)


def version(record: ModelVersion, active: int | None) -> VersionResponse:
    """A version; ``active`` is the number of the active one of its model."""
    here = f"/models/{record.model}/versions/{record.number}"
    links = {
        "self": here,
        "predict": f"{here}/predict",
        "params": f"{here}/params",
        "activate": f"{here}/activate",
        "state_dict_pth": f"{here}/state_dict.pth",
        "state_dict_safetensors": f"{here}/state_dict.safetensors",
        "artifact": f"{here}/artifact",
    }
    job = None if record.origin == "import" else f"/jobs/{record.job_id}"
    if job is not None:
        links["job"] = job
    return VersionResponse(
        model=record.model,
        version=record.number,
        active=record.number == active,
        spec=record.spec,
        metrics=record.metrics,
        warnings=record.warnings,
        data_sha256=record.data_sha256,
        environment=record.environment,
        artifact=ArtifactResponse(sha256=record.artifact),
        origin=record.origin,
        job=None if job is None else record.job_id,
        created_at=record.created_at,
        links=links,
    )


def deployment(record: Deployment, seen: Acknowledgement) -> DeploymentResponse:
    """The active version after a move."""
    here = f"/models/{record.model}"
    return DeploymentResponse(
        model=record.model,
        version=record.version,
        generation=record.generation,
        workers=seen.live,
        acknowledged=seen.acknowledged,
        failures=list(seen.failures),
        links={
            "version": f"{here}/versions/{record.version}",
            "predict": f"{here}/predict",
            "rollback": f"{here}/rollback",
        },
    )
