"""GET /: the page, or where to go from here; GET /docs/errors: what each error code means."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse

from service.api.errors import MEANING, STATUS
from service.dashboard.negotiation import prefers_html
from service.dashboard.routes import page_response

router = APIRouter(tags=["index"])


@router.get(
    "/",
    response_model=dict[str, object],
    responses={
        200: {"content": {"text/html": {}}, "description": "Links, or the page."},
        304: {"description": "The page that the browser has is still the same (`If-None-Match`)."},
    },
    summary="The page; for programs, where to go from here",
)
async def index(request: Request, response: Response) -> dict[str, object] | Response:
    """The page for a browser; for others links, and commands to paste."""
    if prefers_html(request.headers.get("accept")):
        return page_response(request, request.app.state.page)
    response.headers["Vary"] = "Accept"
    here = str(request.base_url).rstrip("/")
    json_header = "-H 'Content-Type: application/json'"
    return {
        "service": "refit",
        "links": {
            "docs": "/docs",
            "openapi": "/openapi.json",
            "health": "/health",
            "metrics": "/metrics",
            "params": "/params",
            "jobs": "/jobs",
            "datasets": "/datasets",
            "models": "/models",
            "v2": "/v2",
        },
        "try": [
            f"curl {here}/predict {json_header} -d '{{\"x\": [0.5, 0.6]}}'",
            f"curl {here}/train {json_header} -H 'Prefer: wait=30' -d '{{}}'",
            f"curl {here}/params",
        ],
    }


@router.get("/docs/errors", response_class=HTMLResponse, include_in_schema=False)
async def errors() -> str:
    """Where the `type` of a problem points."""
    rows = "".join(
        f'<dt id="{code}"><code>{code}</code> ({int(STATUS[code])})</dt><dd>{escape(meaning)}</dd>'
        for code, meaning in MEANING.items()
    )
    return f"<!doctype html><title>Refit: errors</title><h1>Errors</h1><dl>{rows}</dl>"
