"""The client that does not block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, Unpack

import anyio
import httpx

from service.entities import DEFAULT_MODEL, JobState
from service.remote import calls, downloads, training, uploads
from service.remote.driving import DEFAULT_URL, AsyncDriver, http_options
from service.remote.handles import AsyncJob
from service.remote.rows import Prediction
from service.remote.steps import RETRIES, Call, Item, Page, Retries, exchange, pages
from service.remote.training import TrainOptions
from service.remote.uploads import Reading, ReadOptions
from service.schemas.datasets import DatasetResponse, DatasetSummaryResponse
from service.schemas.health import HealthResponse
from service.schemas.jobs import JobResponse, JobSummaryResponse
from service.schemas.models import (
    DeploymentResponse,
    ImportResponse,
    ModelResponse,
    ParamsResponse,
    PromoteImport,
    VersionResponse,
)

T = TypeVar("T")


class AsyncClient:
    """As `Client`, with `await`, `async for` and `async with`; on asyncio or trio."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = 60.0,
        retries: Retries = RETRIES,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """As `Client`."""
        options = http_options(url, timeout, headers)
        self._http = httpx.AsyncClient(transport=transport, **options)
        self._driver = AsyncDriver(self._http, sleep)
        self._retries = retries
        self.url = url

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def health(self) -> HealthResponse:
        """As `Client.health`."""
        return await self._ask(calls.health())

    async def train(
        self,
        data: Any = None,
        *,
        model: str = DEFAULT_MODEL,
        idempotency_key: str | None = None,
        **options: Unpack[TrainOptions],
    ) -> AsyncJob:
        """As `Client.train`."""
        steps = training.train(data, model, options, idempotency_key, self._retries)
        return self._job(await self._driver.run(steps))

    async def predict(
        self,
        x: Any,
        *,
        model: str = DEFAULT_MODEL,
        version: int | None = None,
        explain: bool = False,
    ) -> Prediction:
        """As `Client.predict`."""
        return await self._ask(calls.predict(model, version, x, explain))

    async def params(
        self, model: str = DEFAULT_MODEL, version: int | None = None
    ) -> ParamsResponse:
        """As `Client.params`."""
        return await self._ask(calls.params(model, version))

    def models(self) -> AsyncIterator[ModelResponse]:
        """As `Client.models`."""
        return self._entries(calls.models)

    async def model(self, model: str = DEFAULT_MODEL) -> ModelResponse:
        """As `Client.model`."""
        return await self._ask(calls.model(model))

    def versions(self, model: str = DEFAULT_MODEL) -> AsyncIterator[VersionResponse]:
        """As `Client.versions`."""
        return self._entries(lambda after: calls.versions(model, after))

    async def version(self, version: int, model: str = DEFAULT_MODEL) -> VersionResponse:
        """As `Client.version`."""
        return await self._ask(calls.version(model, version))

    async def activate(
        self, version: int, model: str = DEFAULT_MODEL, *, wait: float | None = None
    ) -> DeploymentResponse:
        """As `Client.activate`."""
        return await self._ask(calls.activate(model, version, wait))

    async def rollback(
        self, model: str = DEFAULT_MODEL, *, wait: float | None = None
    ) -> DeploymentResponse:
        """As `Client.rollback`."""
        return await self._ask(calls.roll_back(model, wait))

    async def delete_version(self, version: int, model: str = DEFAULT_MODEL) -> None:
        """As `Client.delete_version`."""
        await self._ask(calls.delete_version(model, version))

    async def download_state_dict(
        self, to: str | PathLike[str], model: str = DEFAULT_MODEL, version: int | None = None
    ) -> Path:
        """As `Client.download_state_dict`."""
        return await self._driver.run(downloads.state_dict(to, model, version, self._retries))

    async def artifact(self, version: int, model: str = DEFAULT_MODEL) -> bytes:
        """As `Client.artifact`."""
        return await self._ask(calls.artifact(model, version))

    async def import_version(
        self,
        content: bytes,
        model: str = DEFAULT_MODEL,
        *,
        promote: PromoteImport = "if_first",
        wait: float | None = None,
    ) -> ImportResponse:
        """As `Client.import_version`."""
        return await self._ask(calls.import_version(model, content, promote, wait))

    def jobs(
        self, *, model: str | None = None, state: JobState | None = None
    ) -> AsyncIterator[JobSummaryResponse]:
        """As `Client.jobs`."""
        return self._entries(lambda after: calls.jobs(model, state, after))

    async def job(self, job_id: str) -> AsyncJob:
        """As `Client.job`."""
        return self._job(await self._ask(calls.job(job_id)))

    async def upload(self, source: Any, **reading: Unpack[ReadOptions]) -> DatasetResponse:
        """As `Client.upload`."""
        steps = uploads.upload(source, Reading(**reading), self._retries)
        return await self._driver.run(steps)

    def datasets(self) -> AsyncIterator[DatasetSummaryResponse]:
        """As `Client.datasets`."""
        return self._entries(calls.datasets)

    async def dataset(self, dataset_id: str) -> DatasetResponse:
        """As `Client.dataset`."""
        return await self._ask(calls.dataset(dataset_id))

    async def delete_dataset(self, dataset_id: str) -> None:
        """As `Client.delete_dataset`."""
        await self._ask(calls.delete_dataset(dataset_id))

    async def _ask(self, call: Call[T]) -> T:
        return await self._driver.run(exchange(call, self._retries))

    async def _entries(self, ask: Callable[[str | None], Call[Page[T]]]) -> AsyncIterator[T]:
        async for made in self._driver.play(pages(ask, self._retries)):
            if isinstance(made, Item):
                yield made.value

    def _job(self, latest: JobResponse) -> AsyncJob:
        return AsyncJob(self._driver, self._retries, latest)
