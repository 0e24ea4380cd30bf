"""The Python client of the service: `Client` blocks, `AsyncClient` does not.

    with Client("http://127.0.0.1:8000") as refit:
        job = refit.train("flats.csv", target="rent", model="rent").wait()
        print(job.metrics["test_mae"], refit.predict({"size_m2": 58, "rooms": 2}, model="rent").y)

It needs httpx and pydantic only: neither torch nor FastAPI nor numpy. What a refused request raises
is told by `service.remote.errors`, everything that is not waiting for a socket is shared by both
clients in `service.remote`, and `docs/client.md` shows all of it at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, Unpack

import httpx

from service.entities import DEFAULT_MODEL, JobState
from service.remote import calls, downloads, errors, training, uploads
from service.remote.async_client import AsyncClient
from service.remote.driving import DEFAULT_URL, Driver, http_options
from service.remote.errors import *  # noqa: F403  # all of them are public
from service.remote.follow import EndEvent, JobEvent, PointEvent, StateEvent
from service.remote.handles import AsyncJob, Job
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

__all__ = [
    *errors.__all__,
    "DEFAULT_URL",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "EndEvent",
    "Job",
    "JobEvent",
    "PointEvent",
    "Prediction",
    "Retries",
    "StateEvent",
]

T = TypeVar("T")


class Client:
    """Speaks to one service. A context manager; may be used by several threads at once."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = 60.0,
        retries: Retries = RETRIES,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``timeout`` is the longest silence of the service in the midst of a call, in seconds;
        ``headers`` go with every request, as a proxy may want them; ``transport`` and ``sleep``
        take the place of the network and of waiting in tests."""
        options = http_options(url, timeout, headers)
        self._http = httpx.Client(transport=transport, **options)
        self._driver = Driver(self._http, sleep)
        self._retries = retries
        self.url = url

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def health(self) -> HealthResponse:
        """Whether it can answer predictions; not being ready is an answer, not an error."""
        return self._ask(calls.health())

    def train(
        self,
        data: Any = None,
        *,
        model: str = DEFAULT_MODEL,
        idempotency_key: str | None = None,
        **options: Unpack[TrainOptions],
    ) -> Job:
        """Queue a training, on the tutorial's line where nothing else is given.

        Args:
            data: a frame of pandas or polars, the path of a file, a file that is open for bytes, a
                dataset or its id (each with ``target=``), or the `data` of `POST /train` as a dict;
                points are given by ``x=`` and ``y=`` instead.
            model: the name to train; a new one makes a new model.
            idempotency_key: the same key is the same job, for a day and from any client; without,
                the client makes one, so that it may try again.
            options: the fields of `POST /train`.

        Raises:
            InvalidRequestError: the service cannot mean it; `errors` say what is wrong where.
            BadFileError: the file cannot be read; `errors` name line and column.
            TypeError, ValueError: what was given does not go together.
        """
        steps = training.train(data, model, options, idempotency_key, self._retries)
        return self._job(self._driver.run(steps))

    def predict(
        self,
        x: Any,
        *,
        model: str = DEFAULT_MODEL,
        version: int | None = None,
        explain: bool = False,
    ) -> Prediction:
        """Predict from a number, a list of numbers or of rows, an array, a frame, rows by the names
        of the features, or the `Path` of a CSV file; `y` comes back in the kind that was given, of
        a file as a list.

        By the active version where none is named. ``explain`` tells which rows lie outside what was
        seen in training.

        Raises:
            InvalidRequestError: wrong features; `errors` say where.
            TypeError, ValueError: it is nothing to predict from, or not finite.
        """
        return self._ask(calls.predict(model, version, x, explain))

    def params(self, model: str = DEFAULT_MODEL, version: int | None = None) -> ParamsResponse:
        """Weight and bias, beside the truth and the least-squares optimum where there are such."""
        return self._ask(calls.params(model, version))

    def models(self) -> Iterator[ModelResponse]:
        """All models by name."""
        return self._entries(calls.models)

    def model(self, model: str = DEFAULT_MODEL) -> ModelResponse:
        """Its active version, and how many it has."""
        return self._ask(calls.model(model))

    def versions(self, model: str = DEFAULT_MODEL) -> Iterator[VersionResponse]:
        """All versions of a model, newest first."""
        return self._entries(lambda after: calls.versions(model, after))

    def version(self, version: int, model: str = DEFAULT_MODEL) -> VersionResponse:
        """Spec, metrics, data hash, environment and sha256."""
        return self._ask(calls.version(model, version))

    def activate(
        self, version: int, model: str = DEFAULT_MODEL, *, wait: float | None = None
    ) -> DeploymentResponse:
        """Make a version the active one; with ``wait``, until every worker serves it or so many
        seconds have passed."""
        return self._ask(calls.activate(model, version, wait))

    def rollback(
        self, model: str = DEFAULT_MODEL, *, wait: float | None = None
    ) -> DeploymentResponse:
        """Go back to the version that was active before; ``wait`` as for `activate`."""
        return self._ask(calls.roll_back(model, wait))

    def delete_version(self, version: int, model: str = DEFAULT_MODEL) -> None:
        """Delete a version; refused for the active one."""
        self._ask(calls.delete_version(model, version))

    def download_state_dict(
        self, to: str | PathLike[str], model: str = DEFAULT_MODEL, version: int | None = None
    ) -> Path:
        """Write the weights of a version, the active one where none is named, to a file that ends
        in `.safetensors` or `.pth`."""
        return self._driver.run(downloads.state_dict(to, model, version, self._retries))

    def artifact(self, version: int, model: str = DEFAULT_MODEL) -> bytes:
        """The whole of a version as one safetensors file, which `import_version` takes; see
        `docs/exchange.md`."""
        return self._ask(calls.artifact(model, version))

    def import_version(
        self,
        content: bytes,
        model: str = DEFAULT_MODEL,
        *,
        promote: PromoteImport = "if_first",
        wait: float | None = None,
    ) -> ImportResponse:
        """Bring a model in, as a file that `artifact` gave; the same file is the same version.
        ``wait`` as for `activate`, where it becomes the active one."""
        return self._ask(calls.import_version(model, content, promote, wait))

    def jobs(
        self, *, model: str | None = None, state: JobState | None = None
    ) -> Iterator[JobSummaryResponse]:
        """All jobs, or those of a model or in a state, newest first."""
        return self._entries(lambda after: calls.jobs(model, state, after))

    def job(self, job_id: str) -> Job:
        """A job by its id."""
        return self._job(self._ask(calls.job(job_id)))

    def upload(self, source: Any, **reading: Unpack[ReadOptions]) -> DatasetResponse:
        """Send a frame, a file that is open for bytes, or the file at a path, piece by piece; the
        same bytes, read the same way, are the same dataset."""
        steps = uploads.upload(source, Reading(**reading), self._retries)
        return self._driver.run(steps)

    def datasets(self) -> Iterator[DatasetSummaryResponse]:
        """All datasets, newest first."""
        return self._entries(calls.datasets)

    def dataset(self, dataset_id: str) -> DatasetResponse:
        """A dataset with its columns."""
        return self._ask(calls.dataset(dataset_id))

    def delete_dataset(self, dataset_id: str) -> None:
        """Delete a dataset; refused while a job that has not ended reads it."""
        self._ask(calls.delete_dataset(dataset_id))

    def _ask(self, call: Call[T]) -> T:
        return self._driver.run(exchange(call, self._retries))

    def _entries(self, ask: Callable[[str | None], Call[Page[T]]]) -> Iterator[T]:
        for made in self._driver.play(pages(ask, self._retries)):
            if isinstance(made, Item):
                yield made.value

    def _job(self, latest: JobResponse) -> Job:
        return Job(self._driver, self._retries, latest)
