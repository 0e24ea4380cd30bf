"""Serves the page and its files, with the headers that keep strangers' code out."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.dashboard.files import PageFiles

SAFE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Only our own files may run, nobody may frame the page, and no address of it is told to others."""

FOR_EVER = "public, max-age=31536000, immutable"


def page_response(request: Request, page: PageFiles) -> Response:
    """The page itself; a browser asks each time whether it is still the same."""
    etag = f'"{page.digest}"'
    headers = {**SAFE_HEADERS, "Cache-Control": "no-cache", "ETag": etag, "Vary": "Accept"}
    known = request.headers.get("if-none-match", "")
    if etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(page.index, headers=headers, media_type=page.media("index.html"))


def page_router(page: PageFiles) -> APIRouter:
    """The files that the page loads."""
    router = APIRouter(include_in_schema=False)

    @router.get("/page/{digest}/{name}")
    async def get_file(digest: str, name: str) -> Response:
        if digest != page.digest or name not in page.files:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        headers = {**SAFE_HEADERS, "Cache-Control": FOR_EVER}
        return Response(page.files[name], headers=headers, media_type=page.media(name))

    return router
