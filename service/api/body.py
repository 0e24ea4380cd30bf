"""Bodies: bounded, typed, strict."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from service.api.faults import invalid_body
from service.errors import TooLargeError, UnsupportedMediaTypeError
from service.serving.work import LARGE_BYTES

JSON = "application/json"
Body = TypeVar("Body", bound=BaseModel)

_LARGE = threading.Lock()


def media_type(request: Request) -> str:
    """The media type of the body without parameters; JSON where the client names none."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower()


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        TooLargeError: it has more than ``limit`` bytes; the rest is not read.
    """
    return b"".join(await read_chunks(request, limit))


async def read_chunks(request: Request, limit: int) -> list[bytes]:
    """The whole body, in the pieces in which it came.

    Raises:
        TooLargeError: it has more than ``limit`` bytes; the rest is not read.
    """
    check_length(request, limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(f"more than {limit}", limit)
        chunks.append(chunk)
    return chunks


def check_length(request: Request, limit: int) -> None:
    """Refuse a body by the length that its header tells, before any of it is read.

    Raises:
        TooLargeError: it would have more than ``limit`` bytes.
    """
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdigit():
        if len(told) > 18:
            raise too_large(f"more than {limit}", limit)
        if int(told) > limit:
            raise too_large(told, limit)


def too_large(size: str, limit: int) -> TooLargeError:
    return TooLargeError(f"the body has {size} bytes, at most {limit} are allowed")


def require_media_type(request: Request, *allowed: str) -> str:
    """The media type, if it is one of ``allowed``.

    Raises:
        UnsupportedMediaTypeError: it is another.
    """
    kind = media_type(request)
    if kind not in allowed:
        wanted = " or ".join(allowed)
        raise UnsupportedMediaTypeError(f"send the body with Content-Type: {wanted}")
    return kind


def parse_json(body: bytes, model: type[Body], context: dict[str, Any] | None = None) -> Body:
    """Validate a JSON body strictly; an empty body is ``{}``.

    Raises:
        InvalidRequestError: names what is wrong and where.
    """
    with _LARGE if len(body) > LARGE_BYTES else nullcontext():
        try:
            return model.model_validate_json(body or b"{}", context=context)
        except ValidationError as error:
            raise invalid_body(error, body) from error


def json_body(model: type[BaseModel], required: bool, *others: str) -> dict[str, Any]:
    """The OpenAPI text of a body that the route reads itself."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    examples = {}
    extra = model.model_config.get("json_schema_extra")
    if isinstance(extra, dict):
        given = extra["examples"]
        assert isinstance(given, list)
        examples = {f"example {i}": {"value": value} for i, value in enumerate(given, start=1)}
    content: dict[str, Any] = {JSON: {"schema": schema, "examples": examples}}
    for other in others:
        content[other] = {"schema": {"type": "string"}, "example": "x\n0.5\n0.6\n"}
    return {"requestBody": {"required": required, "content": content}}
