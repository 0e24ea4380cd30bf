"""One request, and how its answer is read, for each endpoint."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from service.remote.rows import JSON, Prediction, predict_call, to_json
from service.remote.steps import Answer, Call, Page
from service.schemas.datasets import DatasetListResponse, DatasetResponse, DatasetSummaryResponse
from service.schemas.health import HealthResponse
from service.schemas.jobs import (
    CurvePointResponse,
    CurveResponse,
    JobListResponse,
    JobResponse,
    JobSummaryResponse,
)
from service.schemas.models import (
    DeploymentResponse,
    ImportResponse,
    ModelListResponse,
    ModelResponse,
    ParamsResponse,
    PromoteImport,
    VersionListResponse,
    VersionResponse,
)

M = TypeVar("M", bound=BaseModel)

PAGE = ("limit", "100")
"""The largest page that the service gives."""

StateDictKind = Literal["safetensors", "pth"]


def health() -> Call[HealthResponse]:
    """Not ready is an answer too."""
    also = frozenset({int(HTTPStatus.SERVICE_UNAVAILABLE)})
    return replace(_get(HealthResponse, "/health"), also=also)


def train(model: str, spec: Mapping[str, Any], key: str | None) -> Call[JobResponse]:
    """The key makes it the same job however often it is sent."""
    headers = {"Content-Type": JSON, "Idempotency-Key": f'"{key or uuid.uuid4().hex}"'}
    path = f"{_model(model)}/train"
    parse = _parser(JobResponse)
    return Call("POST", path, parse, headers=headers, body=to_json(spec), repeatable=True)


def predict(model: str, version: int | None, x: Any, explain: bool) -> Call[Prediction]:
    return predict_call(_model(model, version), x, explain)


def params(model: str, version: int | None) -> Call[ParamsResponse]:
    return _get(ParamsResponse, f"{_model(model, version)}/params")


def model(name: str) -> Call[ModelResponse]:
    return _get(ModelResponse, _model(name))


def models(after: str | None) -> Call[Page[ModelResponse]]:
    def parse(answer: Answer) -> Page[ModelResponse]:
        told = ModelListResponse.model_validate_json(answer.content)
        return Page(told.models, told.next)

    return _page("/models", parse, after)


def version(model: str, number: int) -> Call[VersionResponse]:
    return _get(VersionResponse, _model(model, number))


def versions(model: str, after: str | None) -> Call[Page[VersionResponse]]:
    def parse(answer: Answer) -> Page[VersionResponse]:
        told = VersionListResponse.model_validate_json(answer.content)
        return Page(told.versions, told.next)

    return _page(f"{_model(model)}/versions", parse, after)


def activate(model: str, version: int, wait: float | None) -> Call[DeploymentResponse]:
    """Not repeatable: in between, somebody else may have activated another version."""
    return _move(f"{_model(model, version)}/activate", wait)


def roll_back(model: str, wait: float | None) -> Call[DeploymentResponse]:
    """Not repeatable: twice goes back twice."""
    return _move(f"{_model(model)}/rollback", wait)


def delete_version(model: str, version: int) -> Call[None]:
    return Call("DELETE", _model(model, version), _nothing)


def state_dict(model: str, version: int, kind: StateDictKind) -> Call[bytes]:
    return _content(f"{_model(model, version)}/state_dict.{kind}")


def artifact(model: str, version: int) -> Call[bytes]:
    return _content(f"{_model(model, version)}/artifact")


def import_version(
    model: str, content: bytes, promote: PromoteImport, wait: float | None
) -> Call[ImportResponse]:
    """Repeatable: the same artifact is the same version."""
    return Call(
        "POST",
        f"{_model(model)}/versions",
        _parser(ImportResponse),
        query=(("promote", promote),),
        headers={"Content-Type": "application/octet-stream", **_prefer(wait)},
        body=content,
        repeatable=True,
        hold_seconds=wait or 0.0,
    )


def job(job_id: str, wait: float | None = None) -> Call[JobResponse]:
    """With ``wait`` it is answered when the job has ended, or after so many seconds."""
    path = f"/jobs/{_part(job_id)}"
    return _get(JobResponse, path, wait)


def jobs(model: str | None, state: str | None, after: str | None) -> Call[Page[JobSummaryResponse]]:
    def parse(answer: Answer) -> Page[JobSummaryResponse]:
        told = JobListResponse.model_validate_json(answer.content)
        return Page(told.jobs, told.next)

    named = {"model": model, "state": state}
    query = tuple((name, value) for name, value in named.items() if value is not None)
    return _page("/jobs", parse, after, query)


def cancel(job_id: str) -> Call[JobResponse]:
    """Repeatable: a job that is cancelled already is answered alike."""
    path = f"/jobs/{_part(job_id)}/cancel"
    return Call("POST", path, _parser(JobResponse), repeatable=True)


def curve(job_id: str) -> Call[list[CurvePointResponse]]:
    def parse(answer: Answer) -> list[CurvePointResponse]:
        return CurveResponse.model_validate_json(answer.content).points

    return Call("GET", f"/jobs/{_part(job_id)}/curve", parse, repeatable=True)


def events(job_id: str, last: int, silence_seconds: float) -> Call[None]:
    """A stream of what has happened after the event ``last``."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
    return Call(
        "GET",
        f"/jobs/{_part(job_id)}/events",
        _nothing,
        headers=headers,
        repeatable=True,
        silence_seconds=silence_seconds,
    )


def dataset(dataset_id: str) -> Call[DatasetResponse]:
    return _get(DatasetResponse, f"/datasets/{_part(dataset_id)}")


def datasets(after: str | None) -> Call[Page[DatasetSummaryResponse]]:
    def parse(answer: Answer) -> Page[DatasetSummaryResponse]:
        told = DatasetListResponse.model_validate_json(answer.content)
        return Page(told.datasets, told.next)

    return _page("/datasets", parse, after)


def delete_dataset(dataset_id: str) -> Call[None]:
    return Call("DELETE", f"/datasets/{_part(dataset_id)}", _nothing)


def _part(text: str) -> str:
    return quote(text, safe="")


def _model(name: str, version: int | None = None) -> str:
    path = f"/models/{_part(name)}"
    return path if version is None else f"{path}/versions/{version}"


def _parser(kind: type[M]) -> Any:
    return lambda answer: kind.model_validate_json(answer.content)


def _get(kind: type[M], path: str, wait: float | None = None) -> Call[M]:
    parse = _parser(kind)
    hold = wait or 0.0
    return Call("GET", path, parse, headers=_prefer(wait), repeatable=True, hold_seconds=hold)


def _content(path: str) -> Call[bytes]:
    return Call("GET", path, lambda answer: answer.content, repeatable=True)


def _page(
    path: str, parse: Any, after: str | None, query: tuple[tuple[str, str], ...] = ()
) -> Call[Page[Any]]:
    place = () if after is None else (("after", after),)
    return Call("GET", path, parse, query=(*query, PAGE, *place), repeatable=True)


def _move(path: str, wait: float | None) -> Call[DeploymentResponse]:
    parse, hold = _parser(DeploymentResponse), wait or 0.0
    return Call("POST", path, parse, headers=_prefer(wait), hold_seconds=hold)


def _prefer(wait: float | None) -> dict[str, str]:
    return {} if wait is None else {"Prefer": f"wait={max(0, round(wait))}"}


def _nothing(answer: Answer) -> None:
    return None
