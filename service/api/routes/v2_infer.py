"""POST /v2/…/infer, of the Open Inference Protocol v2."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, request_response
from starlette.types import Receive, Scope, Send

from service.api.body import JSON, json_body
from service.api.counting import Tally, counted
from service.api.inferring import infer, parse
from service.api.openapi import problems_v2
from service.api.params import ModelName, VersionNumber
from service.api.state import AppState, Parts, app_state
from service.api.v2_body import HEADER_LENGTH, OCTETS, InferBody, read_infer_body
from service.schemas.v2 import InferRequest, InferResponse
from service.serving.light import is_light
from service.serving.pool import Served


class StraightRoute(BaseRoute):
    """Inference by the active version of a model, where that is loaded, past FastAPI's routes and
    dependencies. All else goes the usual way. Without the dependencies 100,000 values take a fifth
    less, without the routes a small request 40 us of 200 less."""

    path = path_format = "/v2/models/{model}/infer"

    def __init__(self) -> None:
        self._app = request_response(_infer_straight)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match where a version can answer at once."""
        if scope["type"] != "http" or scope["method"] != "POST" or "app" not in scope:
            return Match.NONE, {}
        found = _STRAIGHT.fullmatch(scope["path"])
        served = scope["app"].state.parts.inference.active(found[1]) if found else None
        if served is None:
            return Match.NONE, {}
        return Match.FULL, {"route": self, "endpoint": infer_model, "served": served}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await self._app(scope, receive, send)


_STRAIGHT = re.compile("/v2/models/([^/]+)/infer")


async def _infer_straight(request: Request) -> Response:
    parts, served = await app_state(request), request.scope["served"]

    async def find() -> Served:
        # While the body came, another version may have.
        return parts.inference.active(served.model) or served

    return await _infer(request, parts, find)


router = APIRouter(tags=["v2"])

_BODY = json_body(InferRequest, True)
_BODY["requestBody"]["content"][OCTETS] = {
    "schema": {
        "type": "string",
        "format": "binary",
        "description": f"JSON of as many bytes as the header `{HEADER_LENGTH}` says, and behind it "
        "the bytes of the tensors that have the parameter `binary_data_size`.",
    }
}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": f"With the header `{HEADER_LENGTH}` where bytes of tensors follow the JSON.",
        "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
    }
}
_PROBLEMS = problems_v2(
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


@router.post(
    "/v2/models/{model}/infer",
    response_model=InferResponse,
    responses={**_ANSWER, **_PROBLEMS},
    openapi_extra=_BODY,
    summary="Infer with a model",
)
async def infer_model(request: Request, parts: Parts, model: ModelName) -> Response:
    """Answered by the active version, which `model_version` names."""

    async def find() -> Served:
        return await run_in_threadpool(parts.inference.require_active, model)

    return await _infer(request, parts, find)


@router.post(
    "/v2/models/{model}/versions/{version}/infer",
    response_model=InferResponse,
    responses={**_ANSWER, **_PROBLEMS, **problems_v2(HTTPStatus.CONFLICT)},
    openapi_extra=_BODY,
    summary="Infer with a version",
)
async def infer_version(
    request: Request, parts: Parts, model: ModelName, version: VersionNumber
) -> Response:
    """Answered by that version, active or not."""

    async def find() -> Served:
        return await run_in_threadpool(parts.inference.version, model, version)

    return await _infer(request, parts, find)


async def _infer(
    request: Request, parts: AppState, find: Callable[[], Awaitable[Served]]
) -> Response:
    async def infer(tally: Tally) -> Response:
        body = await read_infer_body(request, parts.settings.max_body_bytes)
        tally.began = time.perf_counter()
        tally.served = await find()
        return await _answer(parts, tally.served, body, tally)

    return await counted(parts, infer)


async def _answer(parts: AppState, served: Served, body: InferBody, tally: Tally) -> Response:
    def work() -> Response:
        most = parts.settings.max_predict_rows
        answer = infer(parts.inference, served, parse(body), body.binary, most)
        tally.rows = answer.rows
        headers = {"Refit-Version": str(served.version)}
        if answer.tensor is None:
            return Response(answer.json, headers=headers, media_type=JSON)
        return _BinaryResponse(answer.json, answer.tensor, headers)

    json_bytes = len(body.json or b"")
    if is_light(served, json_bytes, body.size - json_bytes):
        return work()
    return await parts.work.run(work, json_bytes)


class _BinaryResponse(Response):
    """JSON and the bytes of a tensor behind it, which are sent from where they lie."""

    def __init__(self, json: bytes, tensor: memoryview, headers: dict[str, str]) -> None:
        lengths = {HEADER_LENGTH: str(len(json)), "Content-Length": str(len(json) + len(tensor))}
        super().__init__(None, headers={**headers, **lengths}, media_type=OCTETS)
        self._parts = json, tensor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        json, tensor = self._parts
        await send({"type": "http.response.body", "body": json, "more_body": True})
        await send({"type": "http.response.body", "body": tensor})
