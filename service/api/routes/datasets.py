"""POST /datasets, list, show, delete."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.api.body import JSON, check_length, media_type
from service.api.openapi import problems
from service.api.params import DatasetId, Limit, cursor, page
from service.api.state import Parts
from service.api.upload import blocks, work_while_connected
from service.datasets.intake import Upload
from service.entities import Dataset, DatasetFormat
from service.errors import InvalidRequestError, TooManyUploadsError, UnsupportedMediaTypeError
from service.schemas.datasets import (
    ColumnResponse,
    DatasetListResponse,
    DatasetResponse,
    DatasetSummaryResponse,
    UploadQuery,
)

router = APIRouter(tags=["datasets"])

FORMATS: dict[str, DatasetFormat] = {
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/x-ndjson": "ndjson",
}
_OTHER_NAMES: dict[str, DatasetFormat] = {
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
}

_EXAMPLES = {
    "text/csv": {
        "schema": {"type": "string"},
        "example": "area,rooms,price\n30,1,67000\n45,2,112000\n60,2,142000\n",
    },
    "application/x-ndjson": {
        "schema": {"type": "string"},
        "example": '{"area": 30, "price": 67000}\n{"area": 45, "price": 112000}\n',
    },
    "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
}
_BODY = {"requestBody": {"required": True, "content": _EXAMPLES}}

_NOT_FOUND = problems(HTTPStatus.NOT_FOUND)
_RESPONSES = {
    200: {"model": DatasetResponse, "description": "These bytes were sent before."},
    **problems(
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.INSUFFICIENT_STORAGE,
    ),
}

SHOWN_CATEGORIES = 100
SHOWN_CHARACTERS = 1_000_000
"""Of all categories of a dataset together."""
CUT_AT = 100
"""Characters of the first and the last text of a column."""


@router.post(
    "/datasets",
    status_code=201,
    response_model=DatasetResponse,
    responses=_RESPONSES,
    openapi_extra=_BODY,
    summary="Send a file of rows",
)
async def upload(
    request: Request, parts: Parts, query: Annotated[UploadQuery, Query()]
) -> Response:
    """CSV with a header, one JSON object a line, or Parquet; streamed to disk.

    The same bytes, read the same way, are the same dataset. A bad row is refused with its line and
    column.
    """
    kind = _format(request)
    options = _options(query, kind)
    check_length(request, parts.settings.max_dataset_bytes)
    if parts.uploads >= parts.settings.max_uploads:
        raise TooManyUploadsError(f"{parts.uploads} files are being taken in already")
    parts.uploads += 1
    try:
        upload = await run_in_threadpool(parts.intake.open)
        try:
            dataset, is_new = await _take_in(request, upload, query.name, kind, options)
        finally:
            # Begun whatever happens, even where this request is cancelled.
            await asyncio.shield(run_in_threadpool(upload.close))
    finally:
        parts.uploads -= 1
    status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    headers = {"Location": f"/datasets/{dataset.id}"}
    content = await run_in_threadpool(lambda: _in_full(dataset).model_dump_json())
    return Response(content, status, headers, JSON)


async def _take_in(
    request: Request,
    upload: Upload,
    name: str | None,
    kind: DatasetFormat,
    options: dict[str, Any],
) -> tuple[Dataset, bool]:
    async for block in blocks(request):
        await run_in_threadpool(upload.write, block)
    work = partial(upload.finish, name, kind, options)
    return await work_while_connected(request, work, upload.stop)


def _format(request: Request) -> DatasetFormat:
    kind = media_type(request)
    found = FORMATS.get(kind) or _OTHER_NAMES.get(kind)
    if found is None:
        wanted = " or ".join(FORMATS)
        raise UnsupportedMediaTypeError(f"send the bare file with Content-Type: {wanted}")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError("send the file without Content-Encoding")
    return found


def _options(query: UploadQuery, kind: DatasetFormat) -> dict[str, Any]:
    if kind != "csv":
        for name in ("delimiter", "decimal"):
            if name in query.model_fields_set:
                detail = f"query parameter {name}: goes with Content-Type: text/csv only"
                raise InvalidRequestError(detail)
    return query.options()


@router.get("/datasets", responses=problems(), summary="List datasets, newest first")
def list_datasets(
    parts: Parts,
    limit: Limit = 20,
    after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> DatasetListResponse:
    """Without their columns, which may be many; `GET /datasets/{id}` shows them."""
    found = parts.datasets.list_newest(limit + 1, cursor(after))
    datasets, following = page(found, limit, lambda dataset: dataset.number)
    entries = [DatasetSummaryResponse(**_fields(dataset)) for dataset in datasets]
    return DatasetListResponse(datasets=entries, next=following)


@router.get("/datasets/{dataset_id}", responses=_NOT_FOUND, summary="Show a dataset")
def get_dataset(parts: Parts, dataset_id: DatasetId) -> DatasetResponse:
    """Its columns with their types and figures."""
    return _in_full(parts.datasets.get(dataset_id))


@router.delete(
    "/datasets/{dataset_id}",
    status_code=204,
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    summary="Delete a dataset",
)
def delete_dataset(parts: Parts, dataset_id: DatasetId) -> None:
    """Refused while a job that waits or runs reads it. Versions trained on it stay."""
    parts.datasets.delete(dataset_id)


def _in_full(dataset: Dataset) -> DatasetResponse:
    assert dataset.profile is not None
    room, columns = SHOWN_CHARACTERS, []
    for column in dataset.profile.columns:
        words = column.vocabulary
        length = sum(map(len, words or ()))
        shown = words is not None and len(words) <= SHOWN_CATEGORIES and length <= room
        room -= length if shown else 0
        columns.append(
            ColumnResponse(
                name=column.name,
                type=column.type,
                nulls=column.nulls,
                distinct=column.distinct,
                min=_cut(column.min),
                max=_cut(column.max),
                mean=column.mean,
                std=column.std,
                categories=list(words or ()) if shown else None,
            )
        )
    return DatasetResponse(**_fields(dataset), columns=columns)


def _cut(value: float | str | None) -> float | str | None:
    if isinstance(value, str) and len(value) > CUT_AT:
        return value[: CUT_AT - 1] + "…"
    return value


def _fields(dataset: Dataset) -> dict[str, Any]:
    return {
        "id": dataset.id,
        "name": dataset.name,
        "sha256": dataset.sha256,
        "bytes": dataset.bytes,
        "format": dataset.format,
        "options": dataset.options,
        "rows": dataset.rows,
        "created_at": dataset.created_at,
        "links": {"self": f"/datasets/{dataset.id}", "train": "/train"},
    }
