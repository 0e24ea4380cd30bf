"""Builds what the requests of one process share, starts the rollout, and ends both."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.concurrency import run_in_threadpool

from service.api.app import MakeState
from service.api.state import AppState
from service.settings import Settings
from service.wiring import build_parts


def state_maker(settings: Settings, node: str, slot: int) -> MakeState:
    """Makes the state of the web process with that place in the tree."""

    @asynccontextmanager
    async def make() -> AsyncIterator[AppState]:
        database, state = build_parts(settings, node, slot, os.getpid())
        # The active versions are loaded before the first request is accepted.
        await run_in_threadpool(state.rollout.step, 0.0)
        state.rollout.start(settings.poll_seconds)
        try:
            yield state
        finally:
            state.draining = True
            await run_in_threadpool(state.rollout.stop)
            database.close()

    return make
