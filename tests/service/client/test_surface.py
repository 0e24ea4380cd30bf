"""What the client is, beside what the service is: errors, options, both kinds, and no ballast."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import service.client
from service.api.errors import STATUS
from service.client import AsyncClient, AsyncJob, Client, Job, ServiceError
from service.remote.errors import ERRORS
from service.remote.training import DataOptions, TrainOptions
from service.remote.uploads import MEDIA, Reading, ReadOptions
from service.schemas.datasets import UploadQuery
from service.schemas.training import TrainRequest
from tests.e2e.running import RunningService

BARRED = ("torch", "numpy", "fastapi", "starlette", "uvicorn", "sqlalchemy", "polars", "pandas")


def test_there_is_one_class_for_each_code_of_the_service() -> None:
    assert ERRORS.keys() == STATUS.keys()
    assert len(set(ERRORS.values())) == len(ERRORS)
    for code, error in ERRORS.items():
        assert error.code == code
        assert getattr(service.client, error.__name__) is error


def test_all_that_is_named_is_there() -> None:
    names = service.client.__all__
    assert len(set(names)) == len(names)
    assert all(hasattr(service.client, name) for name in names)


def test_every_field_of_a_training_can_be_said() -> None:
    options = TrainOptions.__annotations__.keys() - DataOptions.__annotations__.keys()
    assert options == TrainRequest.model_fields.keys() - {"data"}
    of_rows = {"features", "target", "categories", "missing", "x", "y"}
    assert DataOptions.__annotations__.keys() == of_rows


def test_every_way_to_read_a_file_can_be_said() -> None:
    assert ReadOptions.__annotations__.keys() == Reading.__dataclass_fields__.keys()
    assert ReadOptions.__annotations__.keys() == UploadQuery.model_fields.keys() | {"format"}
    from service.api.routes.datasets import FORMATS

    assert {media: kind for kind, media in MEDIA.items()} == FORMATS


def public(kind: type) -> dict[str, Any]:
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: method for name, method in found if not name.startswith("_")}


@pytest.mark.parametrize(("plain", "other"), [(Client, AsyncClient), (Job, AsyncJob)])
def test_both_kinds_can_do_the_same(plain: type, other: type) -> None:
    ours, theirs = public(plain), public(other)
    assert ours.keys() == theirs.keys()
    for name, method in ours.items():
        assert inspect.signature(method).parameters == inspect.signature(theirs[name]).parameters
        wanted = get_type_hints(method)["return"]
        given = get_type_hints(theirs[name])["return"]
        if wanted is Job:
            assert given is AsyncJob
        elif get_origin(wanted) is Iterator:
            assert (get_origin(given), get_args(given)) == (AsyncIterator, get_args(wanted))
            assert not inspect.iscoroutinefunction(theirs[name])
            continue
        else:
            assert given == wanted, name
        if name not in vars(plain):
            continue
        assert inspect.iscoroutinefunction(theirs[name]), name


def test_an_error_holds_all_that_the_service_said() -> None:
    error = ServiceError("words", code="of_a_newer_service", status=418, request_id="f00d")
    assert (str(error), error.code, error.status) == ("words", "of_a_newer_service", 418)
    assert (error.errors, error.request_id, error.retry_after) == ((), "f00d", None)


@pytest.mark.e2e
def test_it_works_where_nothing_heavy_can_be_imported(real: RunningService) -> None:
    program = f"""
import sys
for name in {BARRED}:
    sys.modules[name] = None  # importing it raises ImportError
import asyncio
from service.client import AsyncClient, Client
with Client({real.url!r}) as client:
    job = client.train(model="light", x=[1, 2, 3], y=[2, 4, 6]).wait(60)
    print(round(client.predict([4, 5], model="light").y[1], 3), job.state)
    print([type(event).__name__ for event in job.events()][-1])
async def ask():
    async with AsyncClient({real.url!r}) as client:
        return (await client.predict({{"x": 4}}, model="light")).y
print(round(asyncio.run(ask()), 3))
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == ["10.0 succeeded", "EndEvent", "8.0"], done.stderr
