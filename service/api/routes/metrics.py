"""GET /metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api.state import Parts

router = APIRouter(tags=["health"])

_TEXT, _OPENMETRICS = "text/plain", "application/openmetrics-text"
_LINE = "# TYPE refit_workers_live gauge\nrefit_workers_live 2.0\n"
_CONTENT = {"schema": {"type": "string"}, "example": _LINE}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus text 0.0.4, or OpenMetrics where `Accept` asks for it.",
        "content": {_TEXT: _CONTENT, _OPENMETRICS: _CONTENT},
    }
}


@router.get(
    "/metrics", response_class=Response, responses=_RESPONSES, summary="Metrics for Prometheus"
)
async def metrics(request: Request, parts: Parts) -> Response:
    """Sums over all web workers of this service, whichever of them answers. A database that is away
    is told as `refit_database_up 0`."""
    content, media_type = await parts.scrape.page(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": media_type, "Cache-Control": "no-store"})
