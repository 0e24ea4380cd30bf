"""Keeps pages of other sites from changing anything here.

A browser sends some POSTs for any page that asks, to any address it can reach, loopback included:
a form, or a `fetch` without a Content-Type. The page cannot read the answer, but a training would
have begun. So what changes something is refused where a browser says that another origin asks.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import problem

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN = frozenset({b"same-origin", b"none"})
"""`none`: a person typed the address, or an extension asks."""

DETAIL = (
    "a page of another origin may not change anything here; behind a proxy, pass the header Host on"
)


class OwnOriginOnly:
    """Answers 403 to unsafe requests of other origins, by the rule of Go's
    `http.CrossOriginProtection`: what `Sec-Fetch-Site` says; without it, whether `Origin` and
    `Host` agree. Programs send neither, and are let through.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and _is_foreign(scope):
            answer = problem(Request(scope), "cross_origin", DETAIL)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_foreign(scope: Scope) -> bool:
    site = origin = host = b""
    for name, value in scope["headers"]:
        if name == b"sec-fetch-site":
            site = value
        elif name == b"origin":
            origin = value
        elif name == b"host":
            host = value
    if not (site or origin) or _changes_nothing(scope["path"]):
        return False
    if site:
        return site not in OWN
    # An origin is scheme://host:port and nothing more (RFC 6454, section 6.2), or "null".
    return origin.partition(b"://")[2].lower() != host.lower()


def _changes_nothing(path: str) -> bool:
    """Predictions are POSTs only because they have a body; so is all of /v2."""
    return path.endswith("/predict") or path.startswith("/v2/")
