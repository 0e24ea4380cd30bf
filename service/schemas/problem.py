"""Problem details (RFC 9457)."""

from __future__ import annotations

from service.schemas.jobs import Response


class FaultResponse(Response):
    """One thing wrong."""

    pointer: str
    """JSON pointer (RFC 6901) into the body; empty for the whole of it."""
    detail: str
    line: int | None = None
    """Of a file of rows, counted from 1; left out where that says nothing."""
    column: str | None = None


class ProblemResponse(Response):
    """Every error has this shape, as `application/problem+json`."""

    type: str
    title: str
    status: int
    code: str
    """Stable; compare this, not the words."""
    detail: str
    errors: list[FaultResponse]
    request_id: str
