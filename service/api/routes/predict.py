"""POST /predict."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.api.body import JSON, json_body, parse_json, read_body, require_media_type
from service.api.counting import Tally, counted
from service.api.openapi import problems
from service.api.params import ModelName, VersionNumber
from service.api.state import AppState, Parts
from service.entities import DEFAULT_MODEL
from service.schemas.predict import PredictRequest, PredictResponse
from service.serving.inference import Answer
from service.serving.light import INLINE_BYTES
from service.serving.plain import write_answer
from service.serving.pool import Served
from service.serving.rows import Rows, rows_of, rows_of_csv
from service.serving.work import HEAVY_SECONDS

router = APIRouter(tags=["predict"])

CSV = "text/csv"

Explain = Annotated[
    bool, Query(description="Tell which rows lie outside what was seen; for CSV bodies.")
]

_BODY = json_body(PredictRequest, True, CSV)
_PROBLEMS = problems(
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


@router.post(
    "/predict",
    response_model=PredictResponse,
    responses=_PROBLEMS,
    openapi_extra=_BODY,
    summary="Predict with the model `default`",
)
async def predict_default(request: Request, parts: Parts, explain: Explain = False) -> Response:
    """Answered by the active version, which the answer and the header `Refit-Version` name."""
    return await _predict_active(request, parts, DEFAULT_MODEL, explain)


@router.post(
    "/models/{model}/predict",
    response_model=PredictResponse,
    responses=_PROBLEMS,
    openapi_extra=_BODY,
    summary="Predict with a model",
)
async def predict_model(
    request: Request, parts: Parts, model: ModelName, explain: Explain = False
) -> Response:
    """Answered by the active version of the model."""
    return await _predict_active(request, parts, model, explain)


@router.post(
    "/models/{model}/versions/{version}/predict",
    response_model=PredictResponse,
    responses={**_PROBLEMS, **problems(HTTPStatus.CONFLICT)},
    openapi_extra=_BODY,
    summary="Predict with a version",
)
async def predict_version(
    request: Request,
    parts: Parts,
    model: ModelName,
    version: VersionNumber,
    explain: Explain = False,
) -> Response:
    """Answered by that version, active or not."""

    async def find() -> Served:
        return await run_in_threadpool(parts.inference.version, model, version)

    return await _predict(request, parts, find, explain)


async def _predict_active(request: Request, parts: AppState, model: str, explain: bool) -> Response:
    async def find() -> Served:
        served = parts.inference.active(model)
        if served is None:
            served = await run_in_threadpool(parts.inference.require_active, model)
        return served

    return await _predict(request, parts, find, explain)


async def _predict(
    request: Request, parts: AppState, find: Callable[[], Awaitable[Served]], explain: bool
) -> Response:
    async def predict(tally: Tally) -> Response:
        kind, body = await _read(request, parts)
        tally.began = time.perf_counter()
        tally.served = await find()
        return await _answer(parts, tally.served, kind, body, explain, tally)

    return await counted(parts, predict)


async def _read(request: Request, parts: AppState) -> tuple[str, bytes]:
    kind = require_media_type(request, JSON, CSV)
    return kind, await read_body(request, parts.settings.max_body_bytes)


async def _answer(
    parts: AppState, served: Served, kind: str, body: bytes, explain: bool, tally: Tally
) -> Response:
    inference = parts.inference

    def read() -> tuple[Rows, bool]:
        bundle = served.predictor.bundle
        if kind == CSV:
            return rows_of_csv(body, bundle, parts.settings.max_predict_rows), explain
        plain = inference.plain_rows(served, body)
        if plain is not None:
            return plain, explain
        request = parse_json(body, PredictRequest)
        return rows_of(request, bundle), explain or request.explain

    def write(answer: Answer) -> bytes:
        tally.rows, tally.passes = len(answer.y_NT), answer.passes
        return write_answer(served, answer.y_NT, answer.extrapolating_N)

    def work() -> bytes:
        return write(inference.answer(served, *read()))

    if len(body) > INLINE_BYTES:
        content = await parts.work.run(work, len(body))
    elif served.predictor.probe_seconds > HEAVY_SECONDS:
        rows, asked = read()
        content = write(await inference.answer_joined(served, rows, parts.work, asked))
    else:
        content = work()
    return Response(content, headers={"Refit-Version": str(served.version)}, media_type=JSON)
