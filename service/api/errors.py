"""Every `application/problem+json` (RFC 9457) is made here: the codes, their statuses, their words.

An answer never echoes the input and never shows a trace. Under /v2 words and codes are the same;
the Open Inference Protocol adds the member `error`, and its status for what is malformed is 400.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from service.api.faults import MAX_FAULTS, MAX_NAME
from service.errors import Fault, ServiceError

STATUS: dict[str, HTTPStatus] = {
    "invalid_request": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unseen_category": HTTPStatus.UNPROCESSABLE_ENTITY,
    "bad_file": HTTPStatus.UNPROCESSABLE_ENTITY,
    "idempotency_key_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "not_found": HTTPStatus.NOT_FOUND,
    "model_not_found": HTTPStatus.NOT_FOUND,
    "version_not_found": HTTPStatus.NOT_FOUND,
    "job_not_found": HTTPStatus.NOT_FOUND,
    "dataset_not_found": HTTPStatus.NOT_FOUND,
    "cross_origin": HTTPStatus.FORBIDDEN,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "job_finished": HTTPStatus.CONFLICT,
    "job_not_finished": HTTPStatus.CONFLICT,
    "version_active": HTTPStatus.CONFLICT,
    "version_unloadable": HTTPStatus.CONFLICT,
    "spec_unreadable": HTTPStatus.CONFLICT,
    "nothing_to_roll_back": HTTPStatus.CONFLICT,
    "picture_too_large": HTTPStatus.CONFLICT,
    "dataset_in_use": HTTPStatus.CONFLICT,
    "dataset_unreadable": HTTPStatus.CONFLICT,
    "too_many_datasets": HTTPStatus.CONFLICT,
    "upload_stalled": HTTPStatus.REQUEST_TIMEOUT,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unsupported_operation": HTTPStatus.BAD_REQUEST,
    "malformed_http": HTTPStatus.BAD_REQUEST,
    "client_too_slow": HTTPStatus.REQUEST_TIMEOUT,
    "head_too_large": HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "too_many_connections": HTTPStatus.SERVICE_UNAVAILABLE,
    "queue_full": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_streams": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_uploads": HTTPStatus.TOO_MANY_REQUESTS,
    "overloaded": HTTPStatus.TOO_MANY_REQUESTS,
    "deadline_exceeded": HTTPStatus.GATEWAY_TIMEOUT,
    "not_ready": HTTPStatus.SERVICE_UNAVAILABLE,
    "store_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "storage_full": HTTPStatus.INSUFFICIENT_STORAGE,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Which status goes with which code; a test holds it and `MEANING` to the codes there are."""

MEANING: dict[str, str] = {
    "invalid_request": "The request cannot be meant; `errors` say what was got, wanted, and where.",
    "bad_file": "The file cannot be read as rows; `errors` say where, with line and column.",
    "unseen_category": "A category holds a value that no row of the training had.",
    "idempotency_key_reused": "The same Idempotency-Key came with another body within a day.",
    "not_found": "There is nothing at this address.",
    "model_not_found": "No model has this name; the first version that is trained makes it.",
    "version_not_found": "The model has no version of this number, or no longer.",
    "job_not_found": "No job has this id.",
    "dataset_not_found": "No dataset has this id, or no longer.",
    "cross_origin": "A web page of another origin asked for a change; only the service's own may.",
    "method_not_allowed": "The address is right, the method is not; see the header `Allow`.",
    "job_finished": "The job has ended and cannot be cancelled any more.",
    "job_not_finished": "The job has not come far enough for what was asked.",
    "version_active": "The active version cannot be deleted: activate another first.",
    "version_unloadable": "The version's files are missing or damaged; what serves keeps serving.",
    "spec_unreadable": "Its architecture is not installed here any more, or has changed.",
    "picture_too_large": "The version was trained on more rows than are read for a picture.",
    "nothing_to_roll_back": "No other version was active before, or it was deleted.",
    "dataset_in_use": "A job that waits or runs reads the dataset: cancel it, or wait.",
    "dataset_unreadable": "The dataset's file is missing or damaged: send the same file again.",
    "too_many_datasets": "There are `REFIT_MAX_DATASETS` datasets: delete one that is not needed.",
    "upload_stalled": "Nothing of the file came for a minute; nothing was kept; send it again.",
    "too_large": "The body is larger than `REFIT_MAX_BODY_BYTES`; a file of rows, than "
    "`REFIT_MAX_DATASET_BYTES`; a file of a model, than `REFIT_MAX_IMPORT_BYTES`.",
    "unsupported_media_type": "The `Content-Type` is none that this address takes.",
    "unsupported_operation": "The protocol knows this, Refit does it otherwise; `detail` says how.",
    "malformed_http": "What came is no HTTP request.",
    "client_too_slow": "The request did not come in `REFIT_CLIENT_TIMEOUT` seconds.",
    "head_too_large": "The headers take more than 64 kB.",
    "too_many_connections": "`REFIT_MAX_CONNECTIONS` connections are all in use; try again later.",
    "queue_full": "`REFIT_MAX_QUEUED_JOBS` jobs wait; try again after `Retry-After` seconds.",
    "too_many_streams": "`REFIT_MAX_EVENT_STREAMS` streams are open; try again later.",
    "too_many_uploads": "`REFIT_MAX_UPLOADS` files are being taken in; try again later.",
    "overloaded": "`REFIT_MAX_PREDICTIONS` predictions are being worked on; try again after "
    "`Retry-After` seconds.",
    "deadline_exceeded": "The prediction took longer than `REFIT_PREDICT_SECONDS`; send fewer "
    "rows, or try again.",
    "not_ready": "No active version is loaded: train one, or wait until it is.",
    "store_unavailable": "The database does not answer; nothing was changed; try again.",
    "storage_full": "The disk of the service is full; nothing was kept.",
    "internal_error": "A bug of ours; it is logged under the `request_id`.",
}
"""What each code means; served at /docs/errors, where the `type` of a problem points."""

MEDIA_TYPE = "application/problem+json"


def install_error_handlers(app: FastAPI) -> None:
    """Let every error of ``app`` leave as a problem; bugs are left to `middleware.RequestIds`."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_parameter_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


def problem(
    request: Request,
    code: str,
    detail: str,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem as an answer."""
    # For `middleware.Measured`.
    request.scope["refit_problem"] = code
    status, is_v2 = STATUS[code], _speaks_v2(request)
    if is_v2 and status is HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST
    request_id = request.scope.get("request_id", "")
    content = _content(status, code, detail, faults, request_id, is_v2)
    return Response(content, int(status), dict(headers or {}), MEDIA_TYPE)


@cache
def raw_problem(code: str) -> bytes:
    """A problem as the bytes of a whole answer that closes the connection: for a client that never
    got as far as the application."""
    status = STATUS[code]
    content = _content(status, code, MEANING[code], (), "", False)
    head = [
        f"HTTP/1.1 {int(status)} {status.phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(content)}",
        "connection: close",
        *(["retry-after: 1"] if status is HTTPStatus.SERVICE_UNAVAILABLE else []),
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


def _content(
    status: HTTPStatus,
    code: str,
    detail: str,
    faults: Sequence[Fault],
    request_id: str,
    is_v2: bool,
) -> bytes:
    body: dict[str, object] = {
        "type": f"/docs/errors#{code}",
        "title": status.phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
        "errors": [_told(fault) for fault in faults[:MAX_FAULTS]],
        "request_id": request_id,
    }
    if is_v2:
        body["error"] = detail
    # ensure_ascii: a lone surrogate in a name that the client sent cannot be written as UTF-8.
    return json.dumps(body, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()


def _speaks_v2(request: Request) -> bool:
    path: str = request.scope["path"]
    return path == "/v2" or path.startswith("/v2/")


def _told(fault: Fault) -> dict[str, object]:
    told = {"pointer": fault.pointer, "detail": fault.detail}
    place = {"line": fault.line, "column": fault.column}
    return told | {name: value for name, value in place.items() if value is not None}


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.code in ("too_large", "storage_full", "upload_stalled"):
        # The rest of the body is not read.
        headers["Connection"] = "close"
    return problem(request, error.code, error.detail, error.faults, headers)


async def _on_parameter_error(request: Request, error: Exception) -> Response:
    """A path or query parameter that is not what it should be."""
    assert isinstance(error, RequestValidationError)
    faults = []
    for wrong in error.errors():
        place, *names = wrong["loc"]
        name = ".".join(map(str, names))[:MAX_NAME]
        faults.append(Fault("", f"{place} parameter {name}: {wrong['msg']}"))
    return problem(request, "invalid_request", faults[0].detail, faults)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = "this method is not allowed here; the header Allow names those that are"
        headers = {"Allow": ", ".join(_allowed_methods(request))}
        return problem(request, "method_not_allowed", detail, headers=headers)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem(request, "not_found", "there is nothing at this address; see /docs")
    return problem(request, "invalid_request", "the request cannot be understood")


def _allowed_methods(request: Request) -> list[str]:
    # FastAPI names those of the first route with that address; others may share it.
    allowed = []
    for method in ("GET", "POST", "DELETE"):
        scope = {"type": "http", "path": request.scope["path"], "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            allowed += ["GET", "HEAD"] if method == "GET" else [method]
    return allowed


async def _on_disconnect(request: Request, error: Exception) -> Response:
    """The client left while sending; nobody will read this."""
    return problem(request, "invalid_request", "the body did not arrive in full")
