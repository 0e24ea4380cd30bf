"""Builds a web process from settings: its rooms, the rollout, the application."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from ml.device import limit_threads, pick_device
from service.api.app import create_app
from service.api.scrape import Scrape
from service.api.state import AppState
from service.artifacts.local import LocalArtifacts
from service.datasets.catalogue import Datasets
from service.datasets.intake import Intake
from service.jobs.desk import JobDesk
from service.observability.layout import Shared
from service.observability.metrics import Metrics
from service.observability.pulse import pulse
from service.registry.importing import Importer
from service.registry.registry import Registry
from service.serving.heap import keep_freed_memory
from service.serving.inference import Inference
from service.serving.pool import Pool
from service.serving.rollout import Rollout
from service.serving.work import Work
from service.settings import Settings
from service.store.database import Database


def build_parts(
    settings: Settings, node: str, slot: int, pid: int, metrics_fd: int | None = None
) -> tuple[Database, AppState]:
    """Everything that a web process needs; close the database when it ends.

    It counts in the memory behind ``metrics_fd``; without, for itself alone.

    Raises:
        DeviceUnavailableError: the device of the settings is not here.
    """
    keep_freed_memory()
    limit_threads(settings.predict_threads)
    device = pick_device(settings.device)
    database = Database(settings.sqlalchemy_url)
    artifacts = LocalArtifacts(settings.artifacts_dir)
    registry = Registry(database, artifacts)
    datasets = Datasets(database, settings.datasets_dir)
    pool = Pool(settings.max_loaded_versions)
    rollout = Rollout(database, artifacts, pool, device, node, slot, pid)
    shared = Shared.alone(slot) if metrics_fd is None else Shared(metrics_fd, settings.workers)
    metrics = Metrics(shared, slot)
    state = AppState(
        settings=settings,
        desk=JobDesk(database, settings),
        registry=registry,
        importer=Importer(database, artifacts, settings, device),
        datasets=datasets,
        intake=Intake(datasets, settings),
        inference=Inference(pool, registry, rollout, settings.max_predict_rows),
        work=Work(settings.max_predictions, settings.predict_seconds),
        pool=pool,
        rollout=rollout,
        device=device,
        metrics=metrics,
        scrape=Scrape(shared, database, node, str(device)),
    )
    return database, state


def build_app(settings: Settings, node: str, slot: int, metrics_fd: int | None = None) -> FastAPI:
    """The application of the web process with that place in the tree."""

    @asynccontextmanager
    async def make_state() -> AsyncIterator[AppState]:
        database, state = build_parts(settings, node, slot, os.getpid(), metrics_fd)
        # The active versions are loaded before the first request is accepted.
        await run_in_threadpool(state.rollout.step, 0.0)
        state.rollout.start(settings.poll_seconds)
        beating = asyncio.create_task(pulse(state.metrics, state.pool.serving))
        try:
            yield state
        finally:
            state.draining = True
            beating.cancel()
            state.work.close()
            await run_in_threadpool(state.rollout.stop)
            database.close()
            state.metrics.shared.close()

    return create_app(make_state)
