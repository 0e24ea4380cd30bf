"""What is told about models, versions, parameters and deployments."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from service.schemas.jobs import Response

Numbers = float | list[float] | list[list[float]]


class ModelResponse(Response):
    """A model."""

    model: str
    active_version: int | None
    versions: int
    """How many versions it has."""
    created_at: datetime
    links: dict[str, str]


class ModelListResponse(Response):
    """A page of models, by name."""

    models: list[ModelResponse]
    next: str | None


class ArtifactResponse(Response):
    """What vouches for the version's bytes."""

    sha256: str
    """Of the manifest, which holds the sha256 of the weights."""


class VersionResponse(Response):
    """A version: what was asked, what came out, and what it depends on."""

    model: str
    version: int
    active: bool
    spec: dict[str, Any]
    metrics: dict[str, float | None]
    data_sha256: str
    environment: dict[str, Any]
    artifact: ArtifactResponse
    job: str
    created_at: datetime
    links: dict[str, str]


class VersionListResponse(Response):
    """A page of versions, newest first."""

    versions: list[VersionResponse]
    next: str | None


class LineResponse(Response):
    """Weight and bias in raw units."""

    weight: Numbers
    bias: Numbers


class ParamsResponse(Response):
    """The parameters of a version, beside the truth where it is known."""

    model: str
    version: int
    architecture: dict[str, Any]
    feature_names: list[str]
    target_names: list[str]
    state_dict: dict[str, Any]
    """In raw units: the scaling, if any, is folded in."""
    weight: Numbers | None
    """A list for several features; null where the model is not linear."""
    bias: Numbers | None
    truth: LineResponse | None
    """The parameters that made the data; null for real data."""
    least_squares: LineResponse | None
    """The optimum over the training rows, in closed form; null where the model is not linear."""


class DeploymentResponse(Response):
    """The active version after a move, and how many web processes serve it already."""

    model: str
    version: int
    generation: int
    """Grows with every move of any model."""
    workers: int
    """Live web processes."""
    acknowledged: int
    """Those of them that serve this deployment already; all of them with `Prefer: wait`."""
    failures: list[str]
    links: dict[str, str]
