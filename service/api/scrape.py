"""What one scrape of `/metrics` tells: the shared cells, and what the database says now."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import get_args

import torch
from prometheus_client.core import Metric
from starlette.concurrency import run_in_threadpool

from service.entities import ENDED, Deployment, Job, JobState
from service.errors import StoreUnavailableError
from service.observability import families
from service.observability.exposition import read_shared, render, single
from service.observability.families import gauge
from service.observability.layout import Shared
from service.registry.registry import WORKER_LIVE_SECONDS
from service.store.database import Database

logger = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""A database that takes longer counts as away: Prometheus gives up a scrape after 10 s."""

MAX_MODELS = 200
"""Models that are told one by one."""


@dataclass(frozen=True)
class Facts:
    """What the database says."""

    jobs: dict[JobState, int]
    oldest_queued: datetime | None
    newest: list[Job]
    """The newest job of each state that ends one."""
    deployments: list[Deployment]
    failures: int
    """Web workers of this service that could not load what they should."""


class Scrape:
    """Renders the page of metrics."""

    def __init__(self, shared: Shared, database: Database, node: str, device: str) -> None:
        self._shared = shared
        self._database = database
        self._node = node
        self._device = device
        self._late: asyncio.Future[Facts | None] | None = None

    async def page(self, accept: str) -> tuple[bytes, str]:
        """The page and its media type, in the format that ``accept`` prefers."""
        facts = await self._facts()

        def work() -> tuple[bytes, str]:
            metrics = [*read_shared(self._shared), *_database(facts), self._build()]
            return render(metrics, accept)

        return await run_in_threadpool(work)

    async def _facts(self) -> Facts | None:
        """None where the database does not answer in time; it is then asked again only once it
        has, so that waiting scrapes do not pile up."""
        if self._late is not None and not self._late.done():
            return None
        self._late = asyncio.ensure_future(run_in_threadpool(self._look))
        done, _ = await asyncio.wait([self._late], timeout=LOOK_SECONDS)
        return self._late.result() if done else None

    def _look(self) -> Facts | None:
        try:
            with self._database.read() as stores:
                newest = [
                    job
                    for state in sorted(ENDED)
                    for job in stores.jobs.list_newest(1, None, None, state)
                ]
                since = datetime.now(UTC) - timedelta(seconds=WORKER_LIVE_SECONDS)
                workers = stores.workers.live(since)
                return Facts(
                    jobs=stores.jobs.count_by_state(),
                    oldest_queued=stores.jobs.oldest_queued(),
                    newest=newest,
                    deployments=stores.deployments.list_all(),
                    failures=sum(w.node == self._node and w.failure is not None for w in workers),
                )
        except StoreUnavailableError:
            return None
        except Exception:
            # As where the tables are not what they should be; the rest is worth telling.
            logger.exception("the database could not be asked for metrics")
            return None

    def _build(self) -> Metric:
        build = gauge(families.BUILD_INFO)
        build.add_metric(
            [version("refit"), torch.__version__, platform.python_version(), self._device], 1
        )
        return build


def _database(facts: Facts | None) -> Iterator[Metric]:
    yield single(families.DATABASE_UP, facts is not None)
    if facts is None:
        return
    jobs = gauge(families.JOBS)
    for state in get_args(JobState):
        jobs.add_metric([state], facts.jobs.get(state, 0))
    age = 0.0
    if facts.oldest_queued is not None:
        age = max(0.0, (datetime.now(UTC) - facts.oldest_queued).total_seconds())
    yield from (jobs, single(families.QUEUE_AGE, age))
    finished, seconds = gauge(families.LAST_JOB_FINISHED), gauge(families.LAST_JOB_SECONDS)
    epochs = gauge(families.LAST_JOB_EPOCHS)
    for job in facts.newest:
        if job.finished_at is not None:
            finished.add_metric([job.state], job.finished_at.timestamp())
            epochs.add_metric([job.state], job.epoch)
            if job.started_at is not None:
                took = (job.finished_at - job.started_at).total_seconds()
                seconds.add_metric([job.state], took)
    yield from (finished, seconds, epochs)
    active = gauge(families.ACTIVE_VERSION)
    for deployment in sorted(facts.deployments, key=lambda d: d.model)[:MAX_MODELS]:
        active.add_metric([deployment.model], deployment.version)
    yield from (active, single(families.WORKERS_BEHIND, facts.failures))
