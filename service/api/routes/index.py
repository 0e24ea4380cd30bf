"""GET /: where to go from here."""

from __future__ import annotations

from fastapi import APIRouter, Request

router = APIRouter(tags=["index"])


@router.get("/", summary="Where to go from here")
async def index(request: Request) -> dict[str, object]:
    """Links, and commands to paste."""
    here = str(request.base_url).rstrip("/")
    json_header = "-H 'Content-Type: application/json'"
    return {
        "service": "refit",
        "links": {
            "docs": "/docs",
            "openapi": "/openapi.json",
            "health": "/health",
            "params": "/params",
            "jobs": "/jobs",
            "models": "/models",
        },
        "try": [
            f"curl {here}/predict {json_header} -d '{{\"x\": [0.5, 0.6]}}'",
            f"curl {here}/train {json_header} -H 'Prefer: wait=30' -d '{{}}'",
            f"curl {here}/params",
        ],
    }
