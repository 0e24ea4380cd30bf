"""The body of an inference: JSON, the bytes of tensors behind it, either compressed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from service.api.body import JSON, read_chunks, require_media_type, too_large
from service.errors import Fault, InvalidRequestError, UnsupportedMediaTypeError

OCTETS = "application/octet-stream"
HEADER_LENGTH = "Inference-Header-Content-Length"

_WINDOWS = {"gzip": 31, "deflate": 15}
"""zlib's `wbits` for each content coding (RFC 9110, 8.4.1): deflate is the zlib format."""

_ALIGNMENT = 16
"""Bytes: memory from malloc begins at a multiple of it, and elements have 8 at most."""


@dataclass(frozen=True)
class InferBody:
    """A body in two parts, neither copied out of it."""

    json: bytes | None
    """None where the client sent the bytes of the one input and nothing else."""
    binary: memoryview
    size: int


async def read_infer_body(request: Request, limit: int) -> InferBody:
    """The body, decompressed; at most ``limit`` bytes before and after.

    Raises:
        UnsupportedMediaTypeError: another Content-Type or Content-Encoding than it takes.
        TooLargeError: it has more bytes.
        InvalidRequestError: it is not what its headers say.
    """
    require_media_type(request, JSON, OCTETS)
    coding = _coding(request)
    length = _header_length(request)
    chunks = await read_chunks(request, limit)
    if coding is not None:
        chunks = [await run_in_threadpool(_decompress, chunks, coding, limit)]
    size = sum(map(len, chunks))
    if length is not None and length > size:
        said = f"{HEADER_LENGTH} is {length}, the body has {size} bytes"
        raise InvalidRequestError(said, [Fault("", said)])
    return in_two_parts(chunks, length, size)


def in_two_parts(chunks: Sequence[bytes | memoryview], length: int | None, size: int) -> InferBody:
    """A body of ``size`` bytes in ``chunks``, whose first ``length`` are JSON; None: all are."""
    if length is None:
        return InferBody(b"".join(chunks), memoryview(b""), size)
    # So that the tensors begin where their elements may: arrays then need no copy of them. A
    # bytearray, as torch warns of memory that it must not write to.
    padding = -length % _ALIGNMENT
    content = memoryview(bytearray().join([bytes(padding), *chunks]))
    json = bytes(content[padding : padding + length]) if length else None
    return InferBody(json, content[padding + length :], size)


def _coding(request: Request) -> str | None:
    told = request.headers.get("content-encoding", "").strip().lower()
    if told in ("", "identity"):
        return None
    if told not in _WINDOWS:
        raise UnsupportedMediaTypeError("send the body with Content-Encoding: gzip or deflate")
    return told


def _header_length(request: Request) -> int | None:
    told = request.headers.get(HEADER_LENGTH.lower())
    if told is None:
        return None
    if not is_length(told):
        said = f"{HEADER_LENGTH}: expected the length of the JSON in bytes"
        raise InvalidRequestError(said, [Fault("", said)])
    return int(told)


def is_length(told: str) -> bool:
    """Whether that may be a number of bytes."""
    return told.isascii() and told.isdigit() and len(told) <= 18


def _decompress(chunks: list[bytes], coding: str, limit: int) -> bytes:
    """At most ``limit`` bytes come out, however many the client has folded into a few."""
    stream = zlib.decompressobj(_WINDOWS[coding])
    try:
        # One byte more shows that there is more.
        content = stream.decompress(b"".join(chunks), limit + 1)
    except zlib.error as error:
        said = f"the body is no {coding}"
        raise InvalidRequestError(said, [Fault("", said)]) from error
    if len(content) > limit:
        raise too_large(f"more than {limit}", limit)
    if not stream.eof or stream.unused_data:
        said = f"the {coding} of the body " + (
            "goes on after its end" if stream.eof else "ends early"
        )
        raise InvalidRequestError(said, [Fault("", said)])
    return content
