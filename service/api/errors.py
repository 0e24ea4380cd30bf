"""Every `application/problem+json` (RFC 9457) is made here: the codes, their statuses, their words.

An answer never echoes the input and never shows a trace.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from ml.spec.base import FLOAT32_MAX
from ml.spec.model import ARCHITECTURES
from service.errors import Fault, InvalidRequestError, ServiceError

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
    "`REFIT_MAX_DATASET_BYTES`.",
    "unsupported_media_type": "The `Content-Type` is none that this address takes.",
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

MAX_FAULTS = 20
"""A body of a million wrong numbers is answered with the first few."""

MAX_NAME = 100
"""Characters of a field name that a pointer repeats."""

_TAGS = frozenset(
    {
        *("line", "points", "dataset", "numbers", "number", "rows"),
        *("text", "boolean", "name", "names"),
        *("literal['scratch','active']", "constrained-int"),
        *ARCHITECTURES,
        *("sgd", "adam", "adamw", "lbfgs", "constant", "cosine", "one_cycle", "plateau"),
    }
)
"""Names that pydantic puts into a location to say which member of a union it means."""


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
    content = _content(code, detail, faults, request.scope.get("request_id", ""))
    return Response(content, int(STATUS[code]), dict(headers or {}), MEDIA_TYPE)


def raw_problem(code: str) -> bytes:
    """A problem as the bytes of a whole answer that closes the connection: for a client that never
    got as far as the application."""
    status, content = STATUS[code], _content(code, MEANING[code], (), "")
    head = [
        f"HTTP/1.1 {int(status)} {status.phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(content)}",
        "connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


def _content(code: str, detail: str, faults: Sequence[Fault], request_id: str) -> bytes:
    status = STATUS[code]
    body = {
        "type": f"/docs/errors#{code}",
        "title": status.phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
        "errors": [_told(fault) for fault in faults[:MAX_FAULTS]],
        "request_id": request_id,
    }
    # ensure_ascii: a lone surrogate in a name that the client sent cannot be written as UTF-8.
    return json.dumps(body, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()


def _told(fault: Fault) -> dict[str, object]:
    told = {"pointer": fault.pointer, "detail": fault.detail}
    place = {"line": fault.line, "column": fault.column}
    return told | {name: value for name, value in place.items() if value is not None}


def invalid_body(error: ValidationError, body: bytes) -> InvalidRequestError:
    """A pydantic error about a JSON body, as faults with JSON pointers into it."""
    problems = _without_echoes(error.errors(include_url=False))
    try:
        document: Any = from_json(body)
    except ValueError:
        document = None
    faults = [Fault(json_pointer(p["loc"], document), _sentence(p)) for p in problems[:MAX_FAULTS]]
    count = len(problems)
    first = f"{faults[0].pointer or 'the body'}: {faults[0].detail}"
    detail = first if count == 1 else f"{first} (and {count - 1} more)"
    return InvalidRequestError(detail, faults)


def _without_echoes(problems: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without the complaint that a list is empty where its first element is wrong: with
    `fail_fast`, pydantic says both."""

    def lies_in(inner: ErrorDetails, outer: ErrorDetails) -> bool:
        depth = len(outer["loc"])
        return len(inner["loc"]) > depth and inner["loc"][:depth] == outer["loc"]

    return [
        problem
        for problem in problems
        if problem["type"] != "too_short" or not any(lies_in(other, problem) for other in problems)
    ]


def json_pointer(location: Iterable[str | int], document: Any) -> str:
    """The JSON pointer (RFC 6901) of a pydantic location, without the names of union members."""
    pointer, here, after_tag = "", document, False
    parts = list(location)
    for place, part in enumerate(parts):
        # In an object of a list, which is a row by name, every name is a feature's.
        in_row = place > 0 and isinstance(parts[place - 1], int)
        after_tag = not (after_tag or in_row) and _is_tag(part, here, place == len(parts) - 1)
        if after_tag:
            continue
        here = here[part] if _has(here, part) else None
        pointer += "/" + str(part)[:MAX_NAME].replace("~", "~0").replace("/", "~1")
    return pointer


def _is_tag(part: str | int, here: Any, is_last: bool) -> bool:
    """Whether ``part`` names no field of ``here`` but the member of a union that ``here`` is."""
    chosen = (here.get("kind"), here.get("source")) if isinstance(here, dict) else ()
    if _has(here, part):
        # `{"source": "dataset", "dataset": …}`: the name of the member comes before any field.
        return not is_last and part in chosen
    return part in chosen or part in _TAGS


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _sentence(problem: Mapping[str, Any]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in _WANTED:
        return f"expected {_WANTED[kind]}, got {_name_of(problem['input'])}"
    if kind in ("less_than_equal", "greater_than_equal") and FLOAT32_MAX in (
        context.get("le"),
        -context.get("ge", 0),
    ):
        return f"expected a number within float32 (±{FLOAT32_MAX:.7g})"
    if kind == "extra_forbidden":
        return "unknown field"
    if kind == "missing":
        return "this field is required"
    if kind == "json_invalid":
        # Its words hold a position, and no part of the body.
        return str(problem["msg"])
    if kind in ("union_tag_invalid", "union_tag_not_found", "literal_error", "enum"):
        # The usual words quote what was sent.
        wanted = context.get("expected_tags") or context.get("expected")
        return f"expected one of {wanted}" if wanted else "expected an object"
    return str(problem["msg"])


_WANTED = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def _name_of(value: object) -> str:
    """What kind of JSON value was sent; never the value itself."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "a whole number"
        case float():
            return "a number" if math.isfinite(value) else "one that is not finite"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "something else"


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
