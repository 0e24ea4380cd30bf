"""GET /health."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from service.api.body import JSON
from service.api.state import AppState, Parts
from service.entities import DEFAULT_MODEL
from service.schemas.health import HealthResponse

router = APIRouter(tags=["health"])

_UNREADY: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthResponse, "description": "Not ready; the body says why."}
}


@router.get("/health", response_model=HealthResponse, responses=_UNREADY, summary="Health")
async def health(parts: Parts) -> Response:
    """200 when this process can answer predictions, else 503."""
    return _as_response(_health(parts))


@router.get("/health/ready", response_model=HealthResponse, responses=_UNREADY, summary="Ready?")
async def ready(parts: Parts) -> Response:
    """The same as `/health`, under the name that probes expect."""
    return _as_response(_health(parts))


@router.get("/health/live", summary="Live?")
async def live() -> dict[str, bool]:
    """200 as long as the event loop turns."""
    return {"live": True}


def _health(parts: AppState) -> HealthResponse:
    served = parts.pool.active(DEFAULT_MODEL) or parts.pool.any_active()
    ready = served is not None and not parts.draining
    return HealthResponse(
        status="ok" if ready else "draining" if parts.draining else "not_ready",
        live=True,
        ready=ready,
        model=DEFAULT_MODEL if served is None else served.model,
        version=None if served is None else served.version,
        device=str(parts.device),
        workers=parts.settings.workers,
    )


def _as_response(health: HealthResponse) -> Response:
    status = HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE
    headers = {} if health.ready else {"Retry-After": "1"}
    return Response(health.model_dump_json(), status, headers, JSON)
