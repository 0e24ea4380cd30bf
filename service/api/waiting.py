"""Wait for something to become true, without holding up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from service.api.state import AppState
from service.entities import Job
from service.registry.registry import Acknowledgement

POLL_SECONDS = 0.03

T = TypeVar("T")


async def poll(look: Callable[[], T], done: Callable[[T], bool], seconds: float) -> T:
    """Look until it is done or ``seconds`` have passed; what was seen last."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        seen = await run_in_threadpool(look)
        if done(seen) or loop.time() >= deadline:
            return seen
        await asyncio.sleep(POLL_SECONDS)


async def wait_for_end(parts: AppState, job: Job, seconds: float) -> Job:
    """Wait for a job to end and, where its version was promoted, for every live web process to
    serve it: whoever waited is answered by the new version from here on. The job in full."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds

    def done(seen: Job) -> bool:
        return seen.ended or parts.draining

    await poll(lambda: parts.desk.peek(job.id), done, seconds)
    job = await run_in_threadpool(parts.desk.get, job.id)
    if job.promotion is not None and job.promotion.generation is not None:
        await wait_for_workers(parts, job.promotion.generation, deadline - loop.time())
    return job


async def wait_for_workers(parts: AppState, generation: int, seconds: float) -> Acknowledgement:
    """Wait for every live web process to have dealt with a deployment of that generation."""
    return await poll(
        lambda: parts.registry.acknowledgement(generation),
        lambda seen: seen.complete or parts.draining,
        seconds,
    )
