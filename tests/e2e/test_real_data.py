"""Real data by the API alone: send a file, name the target, and get the least-squares optimum."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from tests.e2e.running import RunningService, running

pytestmark = pytest.mark.e2e

DATA = Path(__file__).parents[1] / "data"

LONGLEY = {
    "GNPDEFL": 15.0618722713733,
    "GNP": -0.358191792925910e-1,
    "UNEMP": -2.02022980381683,
    "ARMED": -1.03322686717359,
    "POP": -0.511041056535807e-1,
    "YEAR": 1829.15146461355,
}
"""Certified values (NIST Statistical Reference Datasets, Longley), with the bias below."""
LONGLEY_BIAS = -3482258.63459582


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running(tmp_path_factory.mktemp("real") / "data") as service:
        yield service


def send(service: RunningService, path: Path) -> dict[str, Any]:
    """Send a CSV; the dataset."""

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk

    answer = service.client.post(
        "/datasets",
        params={"name": path.stem},
        content=chunks(),
        headers={"Content-Type": "text/csv"},
        timeout=120,
    )
    assert answer.status_code in (200, 201), answer.text
    dataset: dict[str, Any] = answer.json()
    return dataset


def train(service: RunningService, model: str, dataset: str, target: str, **spec: Any) -> Any:
    """Train on a dataset and wait; the job, which has succeeded."""
    data = {"source": "dataset", "dataset": dataset, "target": target, **spec.pop("data", {})}
    job = service.train(model, data=data, **spec)
    job = service.wait_for_job(
        job["id"], lambda job: job["state"] not in ("queued", "running"), 300
    )
    assert job["state"] == "succeeded", job["error"]
    return job


def table(name: str) -> dict[str, list[str]]:
    """The columns of a file under tests/data."""
    with (DATA / name).open() as file:
        rows = list(csv.DictReader(file))
    return {column: [row[column] for row in rows] for column in rows[0]}


def training_rows(count: int, seed: int = 42) -> np.ndarray:
    """The rows that the default split trains on: the first 80 % of a permutation by the seed."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[: int(0.8 * count)].numpy()


def closed_form(x_NF: np.ndarray, y_N: np.ndarray) -> tuple[np.ndarray, float]:
    """Weight and bias of the optimum, by LAPACK on centred columns of deviation 1."""
    mean_F, std_F = x_NF.mean(axis=0), x_NF.std(axis=0)
    solution, *_ = np.linalg.lstsq((x_NF - mean_F) / std_F, y_N - y_N.mean())
    weight_F = solution / std_F
    return weight_F, float(y_N.mean() - weight_F @ mean_F)


def assert_optimal(
    service: RunningService, model: str, x_NF: np.ndarray, y_N: np.ndarray, train_N: np.ndarray
) -> None:
    """The predictions over the API are those of the closed form, to 4 digits of their scale."""
    weight_F, bias = closed_form(x_NF[train_N], y_N[train_N])
    wanted_N = x_NF @ weight_F + bias
    answer = service.client.post(f"/models/{model}/predict", json={"x": x_NF.tolist()})
    got_N = np.array(answer.json()["y"])
    assert np.abs(got_N - wanted_N).max() < 1e-4 * wanted_N.std()
    params = service.client.get(f"/models/{model}/params").json()
    assert params["least_squares"]["gap"] < 1e-5
    np.testing.assert_allclose(params["least_squares"]["weight"], weight_F, rtol=1e-6)
    np.testing.assert_allclose(params["least_squares"]["bias"], bias, rtol=1e-6)


def test_diabetes(service: RunningService) -> None:
    dataset = send(service, DATA / "diabetes.csv")
    assert dataset["rows"] == 442
    job = train(service, "diabetes", dataset["id"], "progression")
    assert job["warnings"] == []
    columns = table("diabetes.csv")
    y_N = np.array(columns.pop("progression"), dtype=float)
    x_NF = np.array(list(columns.values()), dtype=float).T
    assert job["spec"]["data"]["features"] == list(columns)
    assert_optimal(service, "diabetes", x_NF, y_N, training_rows(442))
    # The textbook figure of this data: a linear model explains about half of the variance.
    assert 0.4 < job["metrics"]["test_r2"] < 0.6


def test_longley_against_certified_values(service: RunningService) -> None:
    dataset = send(service, DATA / "longley.csv")
    job = train(service, "longley", dataset["id"], "TOTEMP")
    columns = table("longley.csv")
    y_N = np.array(columns.pop("TOTEMP"), dtype=float)
    x_NF = np.array(list(columns.values()), dtype=float).T
    assert_optimal(service, "longley", x_NF, y_N, training_rows(16))
    assert job["warnings"] == []

    job = train(service, "certified", dataset["id"], "TOTEMP", split={"train": 1})
    params = service.client.get("/models/certified/params").json()
    assert params["columns"] == list(LONGLEY)
    np.testing.assert_allclose(params["least_squares"]["weight"], list(LONGLEY.values()), rtol=1e-9)
    assert params["least_squares"]["bias"] == pytest.approx(LONGLEY_BIAS, rel=1e-9)
    # What was trained, too, by gradients alone.
    np.testing.assert_allclose(params["weight"], list(LONGLEY.values()), rtol=1e-3)
    assert job["metrics"]["train_r2"] == pytest.approx(0.995479004577296, abs=1e-8)
    assert any("no row was held out" in warning for warning in job["warnings"])


@pytest.mark.parametrize("number", ["I", "II", "III", "IV"])
def test_anscombe(service: RunningService, tmp_path: Path, number: str) -> None:
    """Four sets that differ in everything but the line through them (Anscombe, 1973)."""
    columns = table("anscombe.csv")
    rows = [row for row in zip(*columns.values(), strict=True) if row[0] == number]
    path = tmp_path / f"anscombe-{number}.csv"
    path.write_text("x,y\n" + "".join(f"{x},{y}\n" for _, x, y in rows))
    dataset = send(service, path)
    model = f"anscombe-{number}"
    train(service, model, dataset["id"], "y")
    x_NF = np.array([[float(x)] for _, x, _ in rows])
    y_N = np.array([float(y) for *_, y in rows])
    if number != "IV":
        # Of the fourth, all x but one are equal: what is held out may leave nothing to learn.
        assert_optimal(service, model, x_NF, y_N, training_rows(11))
    job = train(service, model, dataset["id"], "y", split={"train": 1}, promote="always")
    params = service.client.get(f"/models/{model}/params").json()
    assert params["weight"] == pytest.approx(0.5, abs=0.001)
    assert params["bias"] == pytest.approx(3.0, abs=0.01)
    assert job["metrics"]["train_r2"] == pytest.approx(0.67, abs=0.005)


def test_anscombe_by_its_sets_as_categories(service: RunningService) -> None:
    dataset = send(service, DATA / "anscombe.csv")
    job = train(service, "sets", dataset["id"], "y", data={"categories": ["set"]})
    assert job["warnings"] == []
    assert job["metrics"]["least_squares_gap"] < 1e-5
    body = {"rows": [{"set": "I", "x": 10}, {"set": "V", "x": 10}]}
    refused = service.client.post("/models/sets/predict", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "unseen_category")
    answer = service.client.post("/models/sets/predict", json={"rows": body["rows"][:1]})
    assert answer.json()["y"][0] == pytest.approx(7.5, abs=0.7)


def test_ten_million_rows(service: RunningService, tmp_path: Path) -> None:
    rows, true_weight, true_bias = 10_000_000, (2.0, -0.03), 5.0
    random = np.random.default_rng(0)
    x_NF = np.column_stack(
        [random.normal(3, 1, rows).round(4), random.normal(-200, 50, rows).round(2)]
    )
    y_N = (x_NF @ true_weight + true_bias + random.normal(size=rows)).round(4)
    path = tmp_path / "ten-million.csv"
    pl.DataFrame({"a": x_NF[:, 0], "b": x_NF[:, 1], "y": y_N}).write_csv(path)
    dataset = send(service, path)
    path.unlink()
    assert dataset["rows"] == rows
    job = train(service, "large", dataset["id"], "y")
    assert job["warnings"] == []
    assert job["metrics"]["least_squares_gap"] < 1e-5
    train_N = training_rows(rows)
    weight_F, bias = closed_form(x_NF[train_N], y_N[train_N])
    params = service.client.get("/models/large/params").json()
    np.testing.assert_allclose(params["weight"], weight_F, rtol=1e-5)
    np.testing.assert_allclose(params["bias"], bias, rtol=1e-5)
    np.testing.assert_allclose(params["weight"], true_weight, atol=1e-3)
