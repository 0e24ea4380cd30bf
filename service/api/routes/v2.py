"""The Open Inference Protocol v2 but for its inference: health, metadata, repository, statistics.

Versions are activated, rolled back and deleted by `/models`; here they are looked at.
"""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import version as version_of_package
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.api.body import JSON, json_body, parse_json, read_body
from service.api.openapi import problems_v2
from service.api.params import ModelName, VersionNumber
from service.api.render_v2 import config, index_entry, metadata, version_statistics
from service.api.state import AppState, Parts
from service.entities import ListedVersion
from service.errors import NotReadyError, UnsupportedOperationError
from service.schemas.v2 import (
    HealthV2Response,
    IndexEntry,
    IndexRequest,
    ModelConfigResponse,
    ModelMetadataResponse,
    ModelReadyResponse,
    ServerResponse,
    StatisticsResponse,
)
from service.serving.pool import Served

router = APIRouter(tags=["v2"])

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository(index)", "statistics"]
"""Names of Triton's documents; of its model repository only the index is here."""

_UNREADY: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthV2Response, "description": "Not ready; `error` says why."}
}
_NOT_FOUND = problems_v2(HTTPStatus.NOT_FOUND)
_NOT_SERVED = problems_v2(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
_NOT_LOADED = {**_NOT_SERVED, **problems_v2(HTTPStatus.CONFLICT)}


@router.get("/v2/", include_in_schema=False)
@router.get("/v2", summary="Name, version and extensions of the server")
async def server() -> ServerResponse:
    """The protocol is the Open Inference Protocol v2, which KServe and Triton speak too."""
    return ServerResponse(name="refit", version=version_of_package("refit"), extensions=EXTENSIONS)


@router.get("/v2/health/live", response_model_exclude_none=True, summary="Live? (v2)")
async def live(parts: Parts) -> HealthV2Response:
    """200 as long as the event loop turns."""
    return HealthV2Response(live=True, ready=_is_ready(parts))


@router.get(
    "/v2/health/ready", response_model=HealthV2Response, responses=_UNREADY, summary="Ready? (v2)"
)
async def ready(parts: Parts) -> Response:
    """The same truth as `/health/ready`."""
    is_ready = _is_ready(parts)
    health = HealthV2Response(
        live=True,
        ready=is_ready,
        error=None if is_ready else _DRAINING if parts.draining else "no active version is loaded",
    )
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    headers = {} if is_ready else {"Retry-After": "1"}
    return Response(health.model_dump_json(exclude_none=True), status, headers, JSON)


_DRAINING = "the service is being stopped"


def _is_ready(parts: AppState) -> bool:
    return parts.pool.any_active() is not None and not parts.draining


@router.get("/v2/models/stats", responses=problems_v2(), summary="Statistics of all versions")
def all_statistics(parts: Parts) -> StatisticsResponse:
    """Of those that are active or have answered."""
    return _statistics(parts, parts.registry.all_versions())


@router.get("/v2/models/{model}/stats", responses=_NOT_FOUND, summary="Statistics of a model")
def model_statistics(parts: Parts, model: ModelName) -> StatisticsResponse:
    """Of its versions that are active or have answered."""
    return _statistics(parts, parts.registry.all_versions(model))


@router.get(
    "/v2/models/{model}/versions/{version}/stats",
    responses=_NOT_FOUND,
    summary="Statistics of a version",
)
def statistics_of_version(
    parts: Parts, model: ModelName, version: VersionNumber
) -> StatisticsResponse:
    """What it has done since the service started, by any protocol."""
    parts.registry.version(model, version)
    return _statistics(parts, [ListedVersion(model, version, active=True)])


def _statistics(parts: AppState, versions: list[ListedVersion]) -> StatisticsResponse:
    told = []
    for version in versions:
        totals = parts.metrics.totals(version.model, version.number)
        if version.active or totals.requests or totals.errors:
            told.append(version_statistics(version, totals))
    return StatisticsResponse(model_stats=told)


@router.get("/v2/models/{model}", responses=_NOT_SERVED, summary="Metadata of a model")
def model_metadata(parts: Parts, model: ModelName) -> ModelMetadataResponse:
    """The inputs and outputs of its active version."""
    return _metadata(parts, parts.inference.require_active(model))


@router.get(
    "/v2/models/{model}/versions/{version}",
    responses=_NOT_LOADED,
    summary="Metadata of a version",
)
def version_metadata(
    parts: Parts, model: ModelName, version: VersionNumber
) -> ModelMetadataResponse:
    """The inputs and outputs of that version, active or not."""
    return _metadata(parts, parts.inference.version(model, version))


def _metadata(parts: AppState, served: Served) -> ModelMetadataResponse:
    return metadata(served, parts.registry.all_versions(served.model))


@router.get("/v2/models/{model}/config", responses=_NOT_SERVED, summary="Configuration of a model")
def model_config(parts: Parts, model: ModelName) -> ModelConfigResponse:
    """What tools for Triton ask for before they send anything."""
    return config(parts.inference.require_active(model))


@router.get(
    "/v2/models/{model}/versions/{version}/config",
    responses=_NOT_LOADED,
    summary="Configuration of a version",
)
def version_config(parts: Parts, model: ModelName, version: VersionNumber) -> ModelConfigResponse:
    """As for the model."""
    return config(parts.inference.version(model, version))


@router.get("/v2/models/{model}/ready", responses=_NOT_SERVED, summary="Is a model ready?")
def model_ready(parts: Parts, model: ModelName) -> ModelReadyResponse:
    """Whether its active version is loaded and warm."""
    return _ready(parts, parts.inference.require_active(model))


@router.get(
    "/v2/models/{model}/versions/{version}/ready",
    responses=_NOT_LOADED,
    summary="Is a version ready?",
)
def version_ready(parts: Parts, model: ModelName, version: VersionNumber) -> ModelReadyResponse:
    """Loads the version where it is not, as its first inference would."""
    return _ready(parts, parts.inference.version(model, version))


def _ready(parts: AppState, served: Served) -> ModelReadyResponse:
    if parts.draining:
        raise NotReadyError(_DRAINING)
    return ModelReadyResponse(name=served.model, ready=True)


@router.post(
    "/v2/repository/index",
    response_model=list[IndexEntry],
    responses=problems_v2(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    openapi_extra=json_body(IndexRequest, False),
    summary="List all versions of all models",
)
async def repository_index(request: Request, parts: Parts) -> list[IndexEntry]:
    """`READY` is the active version of a model, once it is loaded; others are loaded when they are
    asked for by number."""
    # Clients send it with any Content-Type, or without a body.
    asked = parse_json(await read_body(request, parts.settings.max_body_bytes), IndexRequest)
    versions = await run_in_threadpool(parts.registry.all_versions)
    entries = [index_entry(version, parts.pool.active(version.model)) for version in versions]
    return [entry for entry in entries if entry.state == "READY" or not asked.ready]


@router.post(
    "/v2/repository/models/{model}/load", responses=problems_v2(), summary="Refused: load a model"
)
async def load(model: ModelName) -> None:
    """Models are loaded when they are trained or activated."""
    raise UnsupportedOperationError(
        "models are loaded when they are trained or activated: "
        f"POST /models/{model}/versions/{{version}}/activate"
    )


@router.post(
    "/v2/repository/models/{model}/unload",
    responses=problems_v2(),
    summary="Refused: unload a model",
)
async def unload(model: ModelName) -> None:
    """A model that has an active version stays loaded."""
    raise UnsupportedOperationError(
        "a model that has an active version stays loaded; another takes its place by "
        f"POST /models/{model}/versions/{{version}}/activate or /models/{model}/rollback"
    )
