"""Bodies that go to disk as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from service.errors import UploadStalledError

BLOCK_BYTES = 1024 * 1024
"""The hand-over to a thread costs 0.1 ms, as much as hashing 150 KB."""

STALL_SECONDS = 60.0
"""A client that sends nothing for so long loses its place to another."""

T = TypeVar("T")


async def blocks(request: Request) -> AsyncIterator[bytes]:
    """The body in blocks of about `BLOCK_BYTES`.

    Raises:
        UploadStalledError: nothing came for `STALL_SECONDS`.
        ClientDisconnect: the client left.
    """
    stream = aiter(request.stream())
    block = bytearray()
    while True:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            detail = f"nothing of the body came for {STALL_SECONDS:g} seconds; nothing was kept"
            raise UploadStalledError(detail) from error
        if chunk is None:
            break
        block += chunk
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


async def work_while_connected(
    request: Request, work: Callable[[], T], stop: Callable[[], None]
) -> T:
    """Do ``work`` in a thread, as long as somebody waits for it; then ``stop`` must end it soon.

    Raises:
        ClientDisconnect: the client left.
    """
    working = asyncio.ensure_future(run_in_threadpool(work))
    leaving = asyncio.ensure_future(_leaving(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return await working
    finally:
        leaving.cancel()
        if not working.done():
            stop()
            # What it works on must not be taken from under it.
            await asyncio.wait((working,))
            # Nobody asks any more how it ended; asked once, it is not logged as forgotten.
            working.exception()


async def _leaving(request: Request) -> None:
    # The body has been read: the next thing to come is the end of the connection.
    while (await request.receive())["type"] != "http.disconnect":
        pass
