"""Small makers shared by the tests of `service`."""

from __future__ import annotations

import multiprocessing
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import torch
from sqlalchemy import create_engine

from ml.artifact import Bundle
from ml.data.scaling import Scaling
from ml.datasets.profile import Column, Profile
from ml.models.build import build_model
from ml.predictor import Predictor
from ml.spec.model import LinearSpec, MlpSpec
from service.artifacts.local import LocalArtifacts
from service.entities import Job, MoveKind, NewDataset, NewVersion, Origin
from service.jobs.desk import JobDesk
from service.schemas.training import TrainRequest
from service.settings import Settings
from service.store.database import WRITER_LOCK, Database
from service.store.jobs import NewJob

T = TypeVar("T")

CPU = torch.device("cpu")

FORKSERVER = multiprocessing.get_context("forkserver")
"""Starts real processes in milliseconds, from one that has imported torch and runs no thread."""
FORKSERVER.set_forkserver_preload(["service.jobs.child", "torch._dynamo"])

PROFILE = Profile(3, (Column("area", "number", 0, 3, 1.0, 3.0, 2.0, 0.5, None),))
"""Three rows of one column of numbers."""

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class PowerCutError(BaseException):
    """Ends what is under way, as far as the code under test can see."""


def later(seconds: float) -> datetime:
    """That long after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def new_job(model: str = "default", job_id: str | None = None, **spec: Any) -> NewJob:
    """A job as the desk would add it."""
    request = TrainRequest.model_validate(spec)
    return NewJob(
        id=job_id or uuid.uuid4().hex,
        model=model,
        origin="api",
        spec=request.model_dump(mode="json"),
        epochs=request.epochs,
    )


def new_version(model: str = "default", artifact: str = "a" * 64) -> NewVersion:
    """A version as the training process would register it."""
    return NewVersion(
        model=model,
        job_id=uuid.uuid4().hex,
        artifact=artifact,
        spec=TrainRequest().model_dump(mode="json"),
        metrics={"train_loss": 0.25, "test_r2": None},
        truth={"weight": 0.7, "bias": 0.3},
        least_squares={"weight_TF": [[0.7]], "bias_T": [0.3]},
        data_sha256="d" * 64,
        environment={"torch": "2.13", "device": "cpu"},
        warnings=[],
        feature_names=["x"],
        target_names=["y"],
    )


def new_dataset(dataset_id: str | None = None, profile: Profile = PROFILE) -> NewDataset:
    """A dataset as an upload would register it."""
    return NewDataset(
        id=dataset_id or uuid.uuid4().hex,
        name="houses",
        sha256="b" * 64,
        bytes=42,
        format="csv",
        options={"delimiter": None, "decimal": "point", "text": []},
        profile=profile,
    )


def line(
    weight: float | list[float] | list[list[float]] = 0.7,
    bias: float | list[float] = 0.3,
    features: tuple[str, ...] | None = None,
    targets: tuple[str, ...] | None = None,
    scaling: Scaling | None = None,
) -> Bundle:
    """A linear model with these parameters: weight as a number, [F] or [T][F]."""
    weight_TF = torch.tensor(weight, dtype=torch.float32)
    weight_TF = weight_TF.reshape(1, -1) if weight_TF.dim() < 2 else weight_TF
    bias_T = torch.tensor(bias, dtype=torch.float32).reshape(-1)
    count_T, count_F = weight_TF.shape
    return Bundle(
        architecture=LinearSpec(),
        feature_names=features or (("x",) if count_F == 1 else _numbered("x", count_F)),
        target_names=targets or (("y",) if count_T == 1 else _numbered("y", count_T)),
        scaling=scaling,
        state={"linear_layer.weight": weight_TF, "linear_layer.bias": bias_T},
    )


def mlp() -> Bundle:
    """A small multilayer perceptron of one feature and one target, untrained."""
    spec = MlpSpec(hidden=(3,))
    torch.manual_seed(0)
    state = {key: v.detach().clone() for key, v in build_model(spec, 1, 1).state_dict().items()}
    return Bundle(spec, ("x",), ("y",), None, state)


def spec_of(bundle: Bundle) -> dict[str, Any]:
    """A request that could have made ``bundle``."""
    features, targets = len(bundle.feature_names), len(bundle.target_names)
    asked: dict[str, Any] = {"architecture": bundle.architecture.model_dump()}
    if (features, targets) != (1, 1):
        rows = range(5)
        x = [[float(row * features + column) for column in range(features)] for row in rows]
        y = [[float(row * targets + column) for column in range(targets)] for row in rows]
        names = {"feature_names": bundle.feature_names, "target_names": bundle.target_names}
        asked["data"] = {"source": "points", "x": x, "y": y, **names}
    return TrainRequest.model_validate(asked).model_dump(mode="json")


def _names(bundle: Bundle) -> dict[str, list[str]]:
    return {
        "feature_names": list(bundle.feature_names),
        "target_names": list(bundle.target_names),
    }


def _numbered(stem: str, count: int) -> tuple[str, ...]:
    return tuple(f"{stem}{i}" for i in range(1, count + 1))


def predicted(bundle: Bundle, x: list[float]) -> list[float]:
    """What ``bundle`` says of these x, bit by bit."""
    answers: list[float] = Predictor(bundle, CPU).predict(torch.tensor(x)[:, None])[:, 0].tolist()
    return answers


@dataclass(frozen=True)
class Place:
    """A data folder with a migrated database, as one process sees it."""

    settings: Settings
    database: Database
    artifacts: LocalArtifacts

    def publish(
        self,
        bundle: Bundle | None = None,
        model: str = "default",
        active: bool = True,
        origin: Origin = "api",
        kind: MoveKind = "promoted",
        **changes: Any,
    ) -> int:
        """Publish and register a version, and make it the active one; its number."""
        bundle = line() if bundle is None else bundle
        new = new_version(model, self.artifacts.publish(bundle))
        new = NewVersion(**{**vars(new), "spec": spec_of(bundle), **_names(bundle), **changes})
        now = datetime.now(UTC)
        with self.database.write() as stores:
            number = stores.versions.add(new, origin, now).number
            if active:
                stores.deployments.move(model, number, kind, now)
        return number

    def queue(self, model: str = "default", **spec: Any) -> Job:
        """Submit a training."""
        desk = JobDesk(self.database, self.settings)
        return desk.submit(model, TrainRequest.model_validate(spec))

    def claim(self) -> Job:
        """Claim the oldest job, as the supervisor does."""
        with self.database.write() as stores:
            job = stores.jobs.claim(datetime.now(UTC))
        assert job is not None
        return job

    def job(self, job_id: str) -> Job:
        with self.database.read() as stores:
            return stores.jobs.get(job_id)

    def states(self, job_id: str) -> list[str]:
        """Every state the job has told of, in order."""
        with self.database.read() as stores:
            events = stores.jobs.events(job_id, 0, 100_000)
        return [event.data["state"] for event in events if event.kind == "state"]

    def active(self, model: str = "default") -> int | None:
        """The number of the active version."""
        with self.database.read() as stores:
            deployment = stores.deployments.get(model)
        return None if deployment is None else deployment.version

    def artifact_of(self, number: int, model: str = "default") -> str:
        with self.database.read() as stores:
            return stores.versions.get(model, number).artifact

    def damage(self, artifact: str) -> None:
        """Flip one bit of the weights at rest."""
        file = self.settings.artifacts_dir / artifact / "model.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)


@contextmanager
def write_locked(url: str) -> Iterator[None]:
    """Somebody else holds the write lock of the database."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
                yield
                connection.rollback()
                return
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.isolation_level = None
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield
            connection.exec_driver_sql("ROLLBACK")
    finally:
        engine.dispose()


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """Call ``work`` with 0 … count-1 in as many threads that start at the same instant."""
    ready = threading.Barrier(count)
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(index: int) -> None:
        ready.wait()
        try:
            results[index] = work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[index] for index in range(count)]
