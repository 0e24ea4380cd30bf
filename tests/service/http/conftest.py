"""Servers to speak to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch

from ml.artifact import Bundle
from ml.data.scaling import Scaling
from ml.models.build import build_model
from ml.spec.model import MlpSpec
from service.artifacts.local import LocalArtifacts
from service.settings import Settings
from service.store.database import Database
from tests.service.http.speaking import Asker, Serving, serving
from tests.service.making import Place, line

MODELS = ("default", "two", "wide", "steep", "mlp", "painted", "scaled", "many.of_them-1")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"poll_seconds": 0.01})


def mlp(features: int, targets: int, activation: Literal["relu", "tanh"] = "relu") -> Bundle:
    spec = MlpSpec(hidden=(8,), activation=activation)
    torch.manual_seed(0)
    state = build_model(spec, features, targets).state_dict()
    names = tuple(f"x{i}" for i in range(features))
    return Bundle(spec, names, tuple(f"y{i}" for i in range(targets)), None, state)


def publish_all(place: Place) -> None:
    """A model of every kind that a prediction may meet."""
    place.publish(line(0.7, 0.3))
    place.publish(line([2.0, 3.0], 1.0, features=("a", "b")), model="two")
    place.publish(line([[2.0, 3.0, 0.1], [0.5, -1.0, 7.0]], [1.0, -2.5]), model="wide")
    place.publish(line(1e30, 0.0), model="steep")
    place.publish(mlp(1, 1), model="mlp")
    place.publish(mlp(1, 1, "tanh"), model="bounded")
    painted = Bundle(
        **{
            **vars(line([1.0, 2.0])),
            "feature_names": ("c",),
            "categories": {"c": ("blue", "red")},
        }
    )
    place.publish(painted, model="painted")
    numbers = (torch.tensor([value], dtype=torch.float64) for value in (3.7, 2.1, -1.5, 0.3))
    place.publish(line(0.7, 0.3, scaling=Scaling(*numbers)), model="scaled")
    place.publish(line([[2.0], [3.0]], [1.0, 0.0]), model="many.of_them-1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Iterator[Serving]:
    """One server with all models, for the tests of a file."""
    data_dir = tmp_path_factory.mktemp("served")
    shutil.copy(migrated_file, data_dir / "refit.db")
    settings = Settings(data_dir=data_dir, device="cpu", max_predict_rows=50)
    database = Database(settings.sqlalchemy_url)
    publish_all(Place(settings, database, LocalArtifacts(settings.artifacts_dir)))
    database.close()
    with serving(settings) as started:
        yield started


@pytest.fixture(scope="module")
def asker(server: Serving) -> Iterator[Asker]:
    asker = Asker(server)
    yield asker
    asker.close()
