"""Wait for something to become true, without holding up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from service.api.state import AppState
from service.entities import Job
from service.registry.registry import Acknowledgement

LOOK_SECONDS = 0.25
"""Longest time between two looks: a bell may be lost, a process begins to drain."""

T = TypeVar("T")


async def _wait(
    parts: AppState,
    look: Callable[[], T],
    done: Callable[[T], bool],
    seconds: float,
    worth_a_look: Callable[[], bool] = lambda: True,
) -> T:
    """Look whenever rows may have changed, until it is done, ``seconds`` have passed or the process
    drains; what was seen last. Only the last look is taken where none is worth it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with parts.rollout.bell.listen() as rung:
        while True:
            rung.clear()
            rest = deadline - loop.time()
            last = rest <= 0 or parts.draining
            if last or worth_a_look():
                seen = await run_in_threadpool(look)
                if last or done(seen):
                    return seen
            with suppress(TimeoutError):
                async with asyncio.timeout(min(rest, LOOK_SECONDS)):
                    await rung.wait()


async def wait_for_end(parts: AppState, job: Job, seconds: float) -> Job:
    """Wait for a job to end and, where its version was promoted, for every live web process to
    serve it: whoever waited is answered by the new version from here on. The job in full."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    await _wait(parts, lambda: parts.desk.peek(job.id), lambda seen: seen.ended, seconds)
    job = await run_in_threadpool(parts.desk.get, job.id)
    if job.promotion is not None and job.promotion.generation is not None:
        await wait_for_workers(parts, job.promotion.generation, deadline - loop.time())
    return job


async def wait_for_workers(parts: AppState, generation: int, seconds: float) -> Acknowledgement:
    """Wait for every live web process to have dealt with a deployment of that generation."""
    return await _wait(
        parts,
        lambda: parts.registry.acknowledgement(generation),
        lambda seen: seen.complete,
        seconds,
        # All have not before this one has.
        lambda: parts.rollout.acknowledged >= generation,
    )
