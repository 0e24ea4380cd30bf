"""Models, versions, parameters, activation and rollback."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ml.artifact import safetensors_bytes, state_dict_bytes
from service.api.openapi import problems
from service.api.params import Limit, ModelName, VersionNumber, cursor, page
from service.api.prefer import wait_seconds
from service.api.render import deployment as render_deployment
from service.api.render import model as render_model
from service.api.render import model_in_full as render_model_in_full
from service.api.render import version as render_version
from service.api.routes.train import Prefer
from service.api.state import AppState, Parts
from service.api.waiting import wait_for_workers
from service.entities import DEFAULT_MODEL, Deployment, ModelVersion
from service.schemas.models import (
    DeploymentResponse,
    ModelInFullResponse,
    ModelListResponse,
    ParamsResponse,
    VersionListResponse,
    VersionResponse,
)
from service.serving.params import params_of

router = APIRouter()

WithState = Annotated[
    bool, Query(description="Whether to tell the state_dict, which may hold millions of numbers.")
]

_NOT_FOUND = problems(HTTPStatus.NOT_FOUND)
_NOT_FOUND_OR_READY = problems(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
_CONFLICT = problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


@router.get(
    "/params", responses=_NOT_FOUND_OR_READY, tags=["models"], summary="Parameters of `default`"
)
def get_default_params(parts: Parts, state_dict: WithState = True) -> ParamsResponse:
    """The parameters of the active version beside the truth and the least-squares optimum."""
    return _params(parts, parts.registry.active_version(DEFAULT_MODEL), state_dict)


@router.get(
    "/models/{model}/params",
    responses=_NOT_FOUND_OR_READY,
    tags=["models"],
    summary="Parameters of a model",
)
def get_params(parts: Parts, model: ModelName, state_dict: WithState = True) -> ParamsResponse:
    """The parameters of the active version of the model."""
    return _params(parts, parts.registry.active_version(model), state_dict)


@router.get(
    "/models/{model}/versions/{version}/params",
    responses=_CONFLICT,
    tags=["versions"],
    summary="Parameters of a version",
)
def get_version_params(
    parts: Parts, model: ModelName, version: VersionNumber, state_dict: WithState = True
) -> ParamsResponse:
    """The parameters of that version, active or not."""
    return _params(parts, parts.registry.version(model, version), state_dict)


def _params(parts: AppState, version: ModelVersion, with_state: bool) -> ParamsResponse:
    served = parts.inference.version(version.model, version.number)
    return params_of(version, served.predictor.bundle, with_state)


@router.get("/models", responses=problems(), tags=["models"], summary="List models by name")
def list_models(
    parts: Parts,
    limit: Limit = 20,
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> ModelListResponse:
    """Models that have, or had, a version."""
    found = parts.registry.models(limit + 1, after)
    models, following = page(found, limit, lambda model: model.name)
    return ModelListResponse(models=[render_model(model) for model in models], next=following)


@router.get("/models/{model}", responses=_NOT_FOUND, tags=["models"], summary="Show a model")
def get_model(parts: Parts, model: ModelName) -> ModelInFullResponse:
    """Its active version, the one that a rollback would go back to, and how many it has."""
    return render_model_in_full(parts.registry.model(model), parts.registry.before(model))


@router.get(
    "/models/{model}/versions",
    responses=_NOT_FOUND,
    tags=["versions"],
    summary="List versions, newest first",
)
def list_versions(
    parts: Parts,
    model: ModelName,
    limit: Limit = 20,
    after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> VersionListResponse:
    """Each with its spec and metrics."""
    found = parts.registry.versions(model, limit + 1, cursor(after))
    versions, following = page(found, limit, lambda version: version.number)
    active = _active(parts, model)
    return VersionListResponse(
        versions=[render_version(version, active) for version in versions], next=following
    )


@router.get(
    "/models/{model}/versions/{version}",
    responses=_NOT_FOUND,
    tags=["versions"],
    summary="Show a version",
)
def get_version(parts: Parts, model: ModelName, version: VersionNumber) -> VersionResponse:
    """Spec, metrics, data hash, environment and sha256."""
    return render_version(parts.registry.version(model, version), _active(parts, model))


def _active(parts: AppState, model: str) -> int | None:
    deployment = parts.registry.deployment(model)
    return None if deployment is None else deployment.version


@router.get(
    "/models/{model}/versions/{version}/state_dict.{kind}",
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The file."},
        **_CONFLICT,
    },
    tags=["versions"],
    summary="Download the state_dict",
)
def download_state_dict(
    parts: Parts, model: ModelName, version: VersionNumber, kind: Literal["pth", "safetensors"]
) -> Response:
    """Loads with `torch.load(weights_only=True)` into the tutorial's classes.

    In raw units: where the training standardized, the scaling is folded into the parameters. Where
    the architecture cannot do that, the header `Refit-Units` says `standardized`.
    """
    bundle = parts.inference.version(model, version).predictor.bundle
    state = bundle.raw_state()
    content = state_dict_bytes(state) if kind == "pth" else safetensors_bytes(state)
    name = f"{model}-{version}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Refit-Units": bundle.units}
    return Response(content, headers=headers, media_type="application/octet-stream")


@router.post(
    "/models/{model}/versions/{version}/activate",
    responses=_CONFLICT,
    tags=["versions"],
    summary="Make a version the active one",
)
async def activate(
    parts: Parts, model: ModelName, version: VersionNumber, prefer: Prefer = None
) -> DeploymentResponse:
    """With `Prefer: wait=N` it answers when every live web process serves the version."""
    moved = await run_in_threadpool(parts.registry.activate, model, version)
    return await _settled(parts, moved, prefer)


@router.post(
    "/models/{model}/rollback",
    responses=_CONFLICT,
    tags=["models"],
    summary="Go back to the version that was active before",
)
async def roll_back(parts: Parts, model: ModelName, prefer: Prefer = None) -> DeploymentResponse:
    """Again goes back further. With `Prefer: wait=N` as for activate."""
    moved = await run_in_threadpool(parts.registry.roll_back, model)
    return await _settled(parts, moved, prefer)


async def _settled(parts: AppState, moved: Deployment, prefer: str | None) -> DeploymentResponse:
    """The deployment once every live worker serves it; after a single look without `Prefer`."""
    seconds = wait_seconds(prefer, parts.settings.max_wait_seconds)
    seen = await wait_for_workers(parts, moved.generation, seconds or 0)
    return render_deployment(moved, seen)


@router.delete(
    "/models/{model}/versions/{version}",
    status_code=204,
    responses=_CONFLICT,
    tags=["versions"],
    summary="Delete a version",
)
def delete_version(parts: Parts, model: ModelName, version: VersionNumber) -> None:
    """Refused for the active one. Its number is not given out again."""
    parts.registry.delete(model, version)
