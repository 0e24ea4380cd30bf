"""Datasets that are larger than the memory a training may take: rows are read from disk."""

from __future__ import annotations

from typing import Any

import pytest

from service.settings import Settings
from tests.service.api.driving import Client, check_problem
from tests.service.api.test_train_dataset import (
    LONG,
    coloured,
    data,
    houses,
    send,
    train,
    trained,
    wait_for_state,
)
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("training")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """No row may be in memory."""
    return settings.model_copy(update={"train_memory_bytes": 1})


def scratch(settings: Settings) -> list[str]:
    """What trainings have left on the disk."""
    folder = settings.scratch_dir
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def environment(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(job["links"]["version"]).json()["environment"]
    return found


def test_a_streamed_training_ends_with_the_same_model(
    empty_client: Client, settings: Settings
) -> None:
    job = trained(empty_client, coloured(send(empty_client, houses())))
    assert environment(empty_client, job)["streamed"] is True
    rows = {"train": 32, "validation": 0, "test": 8, "left_out": 0}
    assert environment(empty_client, job)["rows"] == rows
    assert job["metrics"]["test_r2"] == pytest.approx(1, abs=1e-6)
    assert job["metrics"]["least_squares_gap"] < 1e-4
    row = {"area": 100, "colour": "green", "garden": True}
    answer = empty_client.post(job["links"]["predict"], {"rows": [row], "explain": True}).json()
    assert answer["y"] == [pytest.approx(325, abs=0.05)]
    assert answer["extrapolating"] == [False]
    assert scratch(settings) == []


def test_points_and_lines_are_never_streamed(empty_client: Client) -> None:
    points = {"source": "points", "x": list(range(20)), "y": list(range(20))}
    for asked in (points, {"source": "line"}):
        job = trained(empty_client, asked, epochs=3)
        assert environment(empty_client, job)["streamed"] is False


def test_rows_with_missing_cells_are_left_out_of_a_stream_too(empty_client: Client) -> None:
    dataset = send(empty_client, houses(missing=(1, 5, 9)))
    job = trained(empty_client, coloured(dataset, missing="drop"))
    rows = {"train": 29, "validation": 0, "test": 8, "left_out": 3}
    assert environment(empty_client, job)["rows"] == rows
    assert "3 of 40 rows have a missing cell and were left out" in job["warnings"]


def test_streamed_versions_are_compared_on_the_same_rows(empty_client: Client) -> None:
    trained(empty_client, coloured(send(empty_client, houses())))
    colours = ("blue", "green", "pink", "red")
    job = trained(empty_client, coloured(send(empty_client, houses(80, colours))))
    assert "cannot answer the rows held out" in job["promotion"]["reason"]
    slow: dict[str, Any] = {"epochs": 1, "optimizer": {"kind": "sgd", "lr": 1e-6}}
    worse = trained(empty_client, coloured(send(empty_client, houses(60, colours))), **slow)
    assert worse["promotion"]["promoted"] is False
    assert "of version 2 on the same rows" in worse["promotion"]["reason"]


@pytest.mark.parametrize(
    "fields",
    [
        {"architecture": {"kind": "mlp", "hidden": [4]}, "batch_size": 7, "epochs": 3},
        {"split": {"train": 0.6, "validation": 0.2, "shuffle": True}},
        {"split": {"train": 1}},
        {"standardize": False, "optimizer": {"kind": "sgd", "lr": 1e-7}, "epochs": 2},
    ],
)
def test_whatever_is_trained_leaves_nothing_on_the_disk(
    empty_client: Client, settings: Settings, fields: dict[str, Any]
) -> None:
    job = trained(empty_client, coloured(send(empty_client, houses())), **fields)
    assert environment(empty_client, job)["streamed"] is True
    # The end is told first: the process that trained it still lives for a moment.
    until(lambda: scratch(settings) == [], "the rows to be deleted")


def test_a_training_that_fails_leaves_nothing_on_the_disk(
    empty_client: Client, settings: Settings
) -> None:
    wild: dict[str, Any] = {"standardize": False, "optimizer": {"kind": "sgd", "lr": 10}}
    job = train(empty_client, coloured(send(empty_client, houses())), epochs=50, **wild)
    assert (job["state"], job["error"]["code"]) == ("failed", "diverged")
    text = "a,y\n" + "1,\n,1\n" * 5
    job = train(empty_client, data(send(empty_client, text), target="y", missing="drop"))
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_data")
    until(lambda: scratch(settings) == [], "the rows to be deleted")


def test_rows_lie_on_the_disk_until_the_training_is_cancelled(
    empty_client: Client, settings: Settings
) -> None:
    body = {"data": coloured(send(empty_client, houses())), **LONG}
    job = empty_client.post("/train", body).json()
    path = f"/jobs/{job['id']}"
    until(lambda: empty_client.get(path).json()["progress"]["epoch"] > 0, "the training to begin")
    assert scratch(settings) == [f"{job['id']}-1"]
    empty_client.post(f"{path}/cancel")
    wait_for_state(empty_client, job, "cancelled")
    until(lambda: scratch(settings) == [], "the rows to be deleted")


def test_a_streamed_fit_is_not_drawn(empty_client: Client, settings: Settings) -> None:
    # Its rows were split as they came by: drawn from memory, others would be called test rows.
    job = trained(empty_client, coloured(send(empty_client, houses())))
    check_problem(empty_client.get(job["links"]["fit_svg"]), 409, "picture_too_large")
    assert empty_client.get(job["links"]["curve_svg"]).status_code == 200
    until(lambda: scratch(settings) == [], "the rows to be deleted")
