"""Models in and out: POST a version, GET an artifact as one file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

import torch
from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ml.errors import ExchangeError
from ml.exchange.onefile import pack, unpack
from ml.spec.base import FLOAT32_MAX
from ml.spec.exchange import ImportSpec
from service.api.body import JSON, json_body, parse_json, read_body, require_media_type
from service.api.faults import MAX_FAULTS, MAX_NAME, invalid_body
from service.api.openapi import problems
from service.api.params import ModelName, VersionNumber
from service.api.prefer import wait_seconds
from service.api.render import version as render_version
from service.api.routes.train import Prefer
from service.api.state import AppState, Parts
from service.api.waiting import wait_for_workers
from service.errors import Fault, InvalidRequestError, TooManyUploadsError
from service.registry.importing import Imported
from service.schemas.imports import ImportQuery, ImportRequest
from service.schemas.jobs import PromotionResponse
from service.schemas.models import ImportResponse

router = APIRouter(tags=["versions"])

FILE = "application/octet-stream"

MAX_AXES = 8
"""Of a tensor in JSON; torch itself ends at 64."""

_RESPONSES = {
    200: {"model": ImportResponse, "description": "The model had this artifact already."},
    **problems(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.INSUFFICIENT_STORAGE,
    ),
}


def _bodies() -> dict[str, Any]:
    told = json_body(ImportRequest, required=True)
    told["requestBody"]["content"][FILE] = {"schema": {"type": "string", "format": "binary"}}
    return told


@router.post(
    "/models/{model}/versions",
    status_code=201,
    response_model=ImportResponse,
    responses=_RESPONSES,
    openapi_extra=_bodies(),
    summary="Import a model as a version",
)
async def import_version(
    request: Request,
    parts: Parts,
    model: ModelName,
    query: Annotated[ImportQuery, Query()],
    prefer: Prefer = None,
) -> Response:
    """A `state_dict` as JSON, or a safetensors file: one that `…/artifact` gave, which says all of
    itself, or a bare one with its `architecture` in the query.

    The same artifact is the same version. With `Prefer: wait=N` a version that becomes the active
    one is answered when every live web process serves it.
    """
    kind = require_media_type(request, JSON, FILE)
    seconds = wait_seconds(prefer, parts.settings.max_wait_seconds)
    if parts.uploads >= parts.settings.max_uploads:
        raise TooManyUploadsError(f"{parts.uploads} files are being taken in already")
    parts.uploads += 1
    try:
        settings = parts.settings
        limit = settings.max_body_bytes if kind == JSON else settings.max_import_bytes
        body = await read_body(request, limit)
        imported = await run_in_threadpool(_take_in, parts, model, kind, body, query)
    finally:
        parts.uploads -= 1
    generation = imported.promotion.generation
    if generation is not None:
        await wait_for_workers(parts, generation, seconds or 0)
    return await run_in_threadpool(_answer, parts, imported)


def _take_in(parts: AppState, model: str, kind: str, body: bytes, query: ImportQuery) -> Imported:
    spec, state = _of_json(body, query) if kind == JSON else _of_file(body, query)
    sha256 = hashlib.sha256(body).hexdigest()
    return parts.importer.add(model, spec, state, sha256, query.promote)


def _of_json(body: bytes, query: ImportQuery) -> tuple[ImportSpec, dict[str, torch.Tensor]]:
    if query.architecture is not None:
        detail = "query parameter architecture: goes with a safetensors file; it is in the body"
        raise InvalidRequestError(detail)
    sent = parse_json(body, ImportRequest)
    return sent, {key: _tensor(key, values) for key, values in sent.state_dict.items()}


def _of_file(body: bytes, query: ImportQuery) -> tuple[ImportSpec, Mapping[str, torch.Tensor]]:
    try:
        file = unpack(body)
    except ExchangeError as error:
        raise InvalidRequestError(str(error), [Fault("", str(error))]) from error
    if (file.described is None) == (query.architecture is None):
        detail = (
            "query parameter architecture: the file says nothing of itself, so give its kind"
            if query.architecture is None
            else "query parameter architecture: the file says by itself what it is"
        )
        raise InvalidRequestError(detail)
    if file.described is not None:
        place, text = "the file's entry refit", file.described.encode(errors="replace")
    else:
        place, text = "query parameter architecture", _described(query.architecture or "")
    try:
        return ImportSpec.model_validate_json(text), file.state
    except ValidationError as error:
        refused = invalid_body(error, text)
        detail = f"{place}: {refused.detail}"
        # They point into what is said of the file, and not into the body.
        raise InvalidRequestError(detail, [Fault("", detail)]) from error


def _described(architecture: str) -> bytes:
    """The JSON of an `ImportSpec` with that architecture, a kind or JSON."""
    told: Any = {"kind": architecture}
    if architecture.lstrip().startswith("{"):
        try:
            told = from_json(architecture)
        except ValueError as error:
            detail = "query parameter architecture: expected a kind, or JSON with its fields"
            raise InvalidRequestError(detail) from error
    return json.dumps({"architecture": told}).encode()


def _tensor(key: str, values: Any) -> torch.Tensor:
    """Nested lists of numbers as float64.

    Raises:
        InvalidRequestError: something else is in them, or a list is shorter than its neighbours.
    """
    shape, first = [], values
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else 0.0
    flat: list[float] = []
    faults: list[Fault] = []
    pointer = "/state_dict/" + key[:MAX_NAME].replace("~", "~0").replace("/", "~1")
    if len(shape) > MAX_AXES:
        faults.append(Fault(pointer, f"lists in lists, deeper than {MAX_AXES}"))
    else:
        _collect(values, shape, pointer, flat, faults)
    if faults:
        fault = faults[0]
        raise InvalidRequestError(f"{fault.pointer}: {fault.detail}", faults)
    return torch.tensor(flat, dtype=torch.float64).reshape(shape)


def _collect(
    values: Any, shape: list[int], pointer: str, flat: list[float], faults: list[Fault]
) -> None:
    if len(faults) >= MAX_FAULTS:
        return
    if shape:
        if not isinstance(values, list) or len(values) != shape[0]:
            faults.append(Fault(pointer, f"expected a list of {shape[0]}, as beside it"))
            return
        for place, inner in enumerate(values):
            _collect(inner, shape[1:], f"{pointer}/{place}", flat, faults)
        return
    if isinstance(values, bool) or not isinstance(values, int | float):
        faults.append(Fault(pointer, "expected a number"))
    elif not abs(values) <= FLOAT32_MAX:
        faults.append(Fault(pointer, f"expected a number within float32 (±{FLOAT32_MAX:.7g})"))
    else:
        flat.append(float(values))


def _answer(parts: AppState, imported: Imported) -> Response:
    version, promotion = imported.version, imported.promotion
    deployment = parts.registry.deployment(version.model)
    shown = render_version(version, None if deployment is None else deployment.version)
    told = PromotionResponse(promoted=promotion.promoted, reason=promotion.reason)
    status = HTTPStatus.CREATED if imported.is_new else HTTPStatus.OK
    headers = {"Location": shown.links["self"]}
    content = ImportResponse(**shown.model_dump(), promotion=told).model_dump_json()
    return Response(content, status, headers, JSON)


@router.get(
    "/models/{model}/versions/{version}/artifact",
    responses={
        200: {"content": {FILE: {}}, "description": "A safetensors file."},
        **problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    },
    summary="Download the artifact as one file",
)
def download_artifact(parts: Parts, model: ModelName, version: VersionNumber) -> Response:
    """The tensors as they are served, and architecture, names, scaling and range in the header of
    the file. `POST /models/{model}/versions` takes it, here or in another Refit, and predicts the
    same to the last bit.
    """
    served = parts.inference.version(model, version)
    content = pack(served.predictor.bundle)
    name = f"{model}-{version}.refit.safetensors"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "ETag": f'"{served.artifact}"',
    }
    return Response(content, headers=headers, media_type=FILE)
