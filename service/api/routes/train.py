"""POST /train."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.api.body import JSON, json_body, parse_json, read_body, require_media_type
from service.api.openapi import problems
from service.api.params import ModelName
from service.api.prefer import idempotency_key, wait_seconds
from service.api.render import job_in_full
from service.api.state import AppState, Parts
from service.api.waiting import wait_for_end
from service.entities import DEFAULT_MODEL
from service.jobs.requests import validation_context
from service.schemas.jobs import JobResponse
from service.schemas.training import TrainRequest

router = APIRouter(tags=["train"])

Prefer = Annotated[
    str | None,
    Header(description="`wait=30`: wait up to 30 s for the end, and answer 200 if it came."),
]
Key = Annotated[
    str | None,
    Header(description='`"any-text"`: a repeated POST with the same key is the same job.'),
]
_RESPONSES = {
    200: {"model": JobResponse, "description": "The job has ended (with `Prefer: wait`)."},
    **problems(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
}


@router.post(
    "/train",
    status_code=202,
    response_model=JobResponse,
    responses=_RESPONSES,
    openapi_extra=json_body(TrainRequest, required=False),
    summary="Train the model `default`",
)
async def train_default(
    request: Request, parts: Parts, prefer: Prefer = None, idempotency_key: Key = None
) -> Response:
    """Queue a training job for the model `default`. `{}` trains the tutorial's line."""
    return await _train(request, parts, DEFAULT_MODEL, prefer, idempotency_key)


@router.post(
    "/models/{model}/train",
    status_code=202,
    response_model=JobResponse,
    responses=_RESPONSES,
    openapi_extra=json_body(TrainRequest, required=False),
    summary="Train a model",
)
async def train_model(
    request: Request,
    parts: Parts,
    model: ModelName,
    prefer: Prefer = None,
    idempotency_key: Key = None,
) -> Response:
    """Queue a training job; the first version of a new name makes the model."""
    return await _train(request, parts, model, prefer, idempotency_key)


async def _train(
    request: Request, parts: AppState, model: str, prefer: str | None, key_header: str | None
) -> Response:
    require_media_type(request, JSON)
    key = idempotency_key(key_header)
    seconds = wait_seconds(prefer, parts.settings.max_wait_seconds)
    body = await read_body(request, parts.settings.max_body_bytes)
    context = validation_context(parts.datasets)
    asked = await run_in_threadpool(parse_json, body, TrainRequest, context)
    job = await run_in_threadpool(parts.desk.submit, model, asked, key)
    headers = {"Location": f"/jobs/{job.id}"}
    if seconds is not None:
        job = await wait_for_end(parts, job, seconds)
        headers["Preference-Applied"] = f"wait={seconds:.0f}"
    status = HTTPStatus.OK if seconds is not None and job.ended else HTTPStatus.ACCEPTED
    return Response(job_in_full(job).model_dump_json(), status, headers, JSON)
