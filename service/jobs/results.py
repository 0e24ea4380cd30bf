"""What a training came to, as the version that is registered."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version as library_version
from typing import Any

from ml.training.fit import Fitted
from service.entities import Job, NewVersion


def new_version(job: Job, fitted: Fitted, artifact: str) -> NewVersion:
    assert job.spec is not None
    truth = fitted.truth
    environment: dict[str, Any] = {
        "refit": library_version("refit"),
        **asdict(fitted.environment),
        "rows": fitted.rows,
        "best_epoch": fitted.best_epoch,
    }
    return NewVersion(
        model=job.model,
        job_id=job.id,
        artifact=artifact,
        spec=job.spec,
        metrics=fitted.metrics,
        truth=None if truth is None else asdict(truth),
        least_squares=_optimum(fitted),
        data_sha256=fitted.data_sha256,
        environment=environment,
        warnings=list(fitted.warnings),
        feature_names=list(fitted.bundle.feature_names),
        target_names=list(fitted.bundle.target_names),
    )


def _optimum(fitted: Fitted) -> dict[str, Any] | None:
    """The least-squares optimum and the gap to it, as JSON holds them."""
    optimum = fitted.least_squares
    if optimum is None:
        return None
    return {
        "weight_TF": optimum.weight_TF.tolist(),
        "bias_T": optimum.bias_T.tolist(),
        "gap": fitted.gap,
    }
