"""GET /jobs, cancel, curve, events, pictures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from service.api.openapi import problems
from service.api.params import JobId, Limit, cursor, page
from service.api.prefer import wait_seconds
from service.api.render import job_in_full, job_summary
from service.api.routes.train import Prefer
from service.api.state import AppState, Parts
from service.api.waiting import wait_for_end
from service.entities import JobEvent, JobState
from service.errors import (
    Fault,
    InvalidRequestError,
    StoreUnavailableError,
    TooManyStreamsError,
)
from service.fits import fit_response, load_fit
from service.pictures import picture_of_curve, picture_of_fit
from service.schemas.fit import FitResponse
from service.schemas.jobs import CurvePointResponse, CurveResponse, JobListResponse, JobResponse

router = APIRouter(tags=["jobs"])

STREAM_POLL_SECONDS = 0.1
KEEP_ALIVE_SECONDS = 15.0
"""Proxies close a silent connection after 30 to 60 s."""

_MEDIA = {"svg": "image/svg+xml", "png": "image/png"}
_NOT_FOUND = problems(HTTPStatus.NOT_FOUND)
_PICTURE = {
    200: {"content": {media: {} for media in _MEDIA.values()}, "description": "The picture."},
    **problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
}


@router.get("/jobs", responses=problems(), summary="List jobs, newest first")
def list_jobs(
    parts: Parts,
    model: Annotated[str | None, Query(max_length=64)] = None,
    state: JobState | None = None,
    limit: Limit = 20,
    after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> JobListResponse:
    """Without their specs, which may hold many points; `GET /jobs/{id}` shows them."""
    found = parts.desk.list_newest(limit + 1, cursor(after), model, state)
    jobs, following = page(found, limit, lambda job: job.number)
    return JobListResponse(jobs=[job_summary(job) for job in jobs], next=following)


@router.get("/jobs/{job_id}", responses=_NOT_FOUND, summary="Show a job")
async def get_job(parts: Parts, job_id: JobId, prefer: Prefer = None) -> JobResponse:
    """State, progress, metrics, promotion, and the spec with every default filled in.

    With `Prefer: wait=N` it answers when the job has ended and, where its version was promoted,
    every live web process serves it; or after N seconds.
    """
    seconds = wait_seconds(prefer, parts.settings.max_wait_seconds)
    job = await run_in_threadpool(parts.desk.get, job_id)
    return job_in_full(job if seconds is None else await wait_for_end(parts, job, seconds))


@router.post(
    "/jobs/{job_id}/cancel",
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    summary="Cancel a job",
)
def cancel_job(parts: Parts, job_id: JobId) -> JobResponse:
    """A queued job ends at once, a running one within a second; again changes nothing."""
    return job_in_full(parts.desk.cancel(job_id))


@router.get("/jobs/{job_id}/curve", responses=_NOT_FOUND, summary="Learning curve so far")
def get_curve(parts: Parts, job_id: JobId) -> CurveResponse:
    """At epochs 0, `evaluate_every`, 2 × …, and the last."""
    points = [CurvePointResponse.model_validate(point) for point in parts.desk.curve(job_id)]
    return CurveResponse(points=points)


@router.get("/jobs/{job_id}/curve.{kind}", responses=_PICTURE, summary="Learning curve drawn")
def draw_curve(parts: Parts, job_id: JobId, kind: Literal["svg", "png"]) -> Response:
    """Train loss in blue, test loss in green."""
    content = picture_of_curve(parts.desk, parts.desk.get(job_id), kind)
    return Response(content, media_type=_MEDIA[kind])


@router.get("/jobs/{job_id}/fit.{kind}", responses=_PICTURE, summary="Predictions drawn")
def draw_fit(parts: Parts, job_id: JobId, kind: Literal["svg", "png"]) -> Response:
    """Train points in blue, test points in green, predictions in red."""
    job = parts.desk.get(job_id)
    fit = load_fit(parts.registry, parts.inference, parts.datasets, job)
    return Response(picture_of_fit(fit, kind), media_type=_MEDIA[kind])


@router.get(
    "/jobs/{job_id}/fit",
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    summary="Predictions beside actual values",
)
def get_fit(parts: Parts, job_id: JobId) -> FitResponse:
    """For at most 1,000 rows of each split, evenly spread; the same rows every time."""
    job = parts.desk.get(job_id)
    return fit_response(job, load_fit(parts.registry, parts.inference, parts.datasets, job))


@router.get(
    "/jobs/{job_id}/events",
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "state, point, end"},
        204: {"description": "The job has ended and there is nothing after Last-Event-ID."},
        **problems(HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS),
    },
    summary="Follow a job (server-sent events)",
)
async def follow_job(
    parts: Parts, job_id: JobId, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Events `state`, `point` and `end`, with ids; `Last-Event-ID` resumes without gap or repeat.

    The history of a finished job is replayed and ends.
    """
    after = _event_number(last_event_id)
    job = await run_in_threadpool(parts.desk.peek, job_id)
    if job.ended and not await run_in_threadpool(parts.desk.events, job_id, after, 1):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    if parts.event_streams >= parts.settings.max_event_streams:
        raise TooManyStreamsError(f"{parts.event_streams} event streams are open already")
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    stream = _stream(parts, job_id, after)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def _event_number(header: str | None) -> int:
    if header is None or header == "":
        return 0
    if not (header.isascii() and header.isdigit() and len(header) <= 9):
        detail = "Last-Event-ID: expected the id of an event of this stream"
        raise InvalidRequestError(detail, [Fault("", detail)])
    return int(header)


async def _stream(parts: AppState, job_id: str, after: int) -> AsyncIterator[str]:
    parts.event_streams += 1
    try:
        yield "retry: 1000\n\n"
        quiet = 0.0
        while not parts.draining:
            try:
                events = await run_in_threadpool(parts.desk.events, job_id, after)
            except StoreUnavailableError:
                # The client comes back by itself, with the id of the last event it got.
                return
            for event in events:
                yield _as_text(event)
                after = event.seq
                if event.kind == "end":
                    return
            if events:
                quiet = 0.0
                continue
            await asyncio.sleep(STREAM_POLL_SECONDS)
            quiet += STREAM_POLL_SECONDS
            if quiet >= KEEP_ALIVE_SECONDS:
                yield ": still here\n\n"
                quiet = 0.0
    finally:
        parts.event_streams -= 1


def _as_text(event: JobEvent) -> str:
    data = json.dumps({**event.data, "at": event.at.isoformat().replace("+00:00", "Z")})
    return f"id: {event.seq}\nevent: {event.kind}\ndata: {data}\n\n"
