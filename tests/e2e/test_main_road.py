"""Train through the API, serve, retrain, swap: what a person does first."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

from tests.e2e.running import RunningService

pytestmark = pytest.mark.e2e


def at(points: list[dict[str, Any]], epoch: int) -> dict[str, Any]:
    return next(point for point in points if point["epoch"] == epoch)


def test_first_start_answers_with_the_tutorials_line(service: RunningService) -> None:
    health = service.client.get("/health")
    assert health.json() | {"version": 1} == {
        "status": "ok",
        "live": True,
        "ready": True,
        "model": "default",
        "version": 1,
        "device": "cpu",
        "workers": 2,
    }
    answer = service.client.post("/predict", json={"x": [0.8, 0.98]})
    assert answer.json()["y"] == pytest.approx([0.8600, 0.9854], abs=5e-5)


def test_an_empty_body_gives_the_tutorials_published_numbers_over_http(
    service: RunningService,
) -> None:
    job = service.train()
    assert job["state"] == "succeeded"
    points = service.client.get(f"/jobs/{job['id']}/curve").json()["points"]
    assert [point["epoch"] for point in points] == [*range(0, 1000, 100), 999]
    assert at(points, 0)["train_loss"] == pytest.approx(0.55517799, abs=1e-8)
    assert at(points, 0)["test_loss"] == pytest.approx(0.57397622, abs=1e-8)
    assert at(points, 900)["train_loss"] == pytest.approx(0.00126450, abs=1e-8)
    assert at(points, 900)["test_loss"] == pytest.approx(0.01380180, abs=1e-8)
    params = service.client.get("/params").json()
    assert params["version"] == job["version"]
    assert params["weight"] == pytest.approx(0.6968, abs=5e-5)
    assert params["bias"] == pytest.approx(0.3025, abs=5e-5)
    assert params["truth"] == {"weight": 0.7, "bias": 0.3}
    assert params["least_squares"]["weight"] == pytest.approx(0.7, abs=1e-6)
    x = [0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98]
    y = service.client.post("/predict", json={"x": x}).json()["y"]
    assert [y[0], y[-1]] == pytest.approx([0.8600, 0.9854], abs=5e-5)


def test_two_parameters_give_the_tutorials_published_numbers_over_http(
    service: RunningService,
) -> None:
    job = service.train("tutorial", architecture={"kind": "parameters"}, epochs=100)
    points = service.client.get(f"/jobs/{job['id']}/curve").json()["points"]
    assert at(points, 0)["train_loss"] == pytest.approx(0.31288138, abs=1e-8)
    assert at(points, 0)["test_loss"] == pytest.approx(0.48106518, abs=1e-8)
    assert at(points, 50)["train_loss"] == pytest.approx(0.04167863, abs=1e-8)
    assert at(points, 50)["test_loss"] == pytest.approx(0.09919948, abs=1e-8)
    state = service.client.get("/models/tutorial/params").json()["state_dict"]
    assert state["weights"] == pytest.approx([0.5784], abs=5e-5)
    assert state["bias"] == pytest.approx([0.3513], abs=5e-5)


def test_whoever_waited_for_a_retrain_is_answered_by_the_new_version(
    service: RunningService,
) -> None:
    for _ in range(5):
        job = service.train(promote="always")
        for _ in range(6):
            # A connection of its own each time, so that either worker may get it.
            with httpx_client(service) as client:
                answer = client.post("/predict", json={"x": 0.5})
            assert answer.json()["version"] == job["version"]
            assert answer.headers["Refit-Version"] == str(job["version"])


def httpx_client(service: RunningService) -> Any:
    import httpx

    return httpx.Client(base_url=service.url, timeout=30)


def test_points_in_raw_units_are_fitted_without_tuning(service: RunningService) -> None:
    x = [[area, rooms] for area in (30, 45, 60, 75, 90, 120) for rooms in (1, 2, 3)]
    y = [2000 * area + 15000 * rooms - 8000 for area, rooms in x]
    names = {"feature_names": ["area", "rooms"], "target_names": ["price"]}
    job = service.train("house-price", data={"source": "points", "x": x, "y": y, **names})
    assert job["state"] == "succeeded"
    assert job["spec"]["standardize"] is True
    assert job["spec"]["optimizer"]["kind"] == "lbfgs"
    params = service.client.get("/models/house-price/params").json()
    assert params["weight"] == pytest.approx([2000, 15000], rel=1e-4)
    assert params["bias"] == pytest.approx(-8000, rel=1e-2)
    road = "/models/house-price/predict"
    wanted = 2000 * 100 + 15000 * 2 - 8000
    by_row = service.client.post(road, json={"x": [[100, 2]]}).json()
    by_name = service.client.post(road, json={"rows": [{"rooms": 2, "area": 100}]}).json()
    by_csv = service.client.post(
        road, content="rooms,area\n2,100\n", headers={"Content-Type": "text/csv"}
    ).json()
    assert by_row["y"] == pytest.approx([wanted], rel=1e-5)
    assert by_row == by_name == by_csv


class LinearRegressionModelV2(nn.Module):
    """The tutorial's own class, typed in again."""

    def __init__(self) -> None:
        super().__init__()
        self.linear_layer = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.linear_layer(x)
        return y


@pytest.mark.parametrize("standardize", [False, True])
def test_the_state_dict_loads_into_the_tutorials_class(
    service: RunningService, standardize: bool
) -> None:
    job = service.train("export", standardize=standardize, promote="always")
    file = service.client.get(f"{job['links']['version']}/state_dict.pth")
    model = LinearRegressionModelV2()
    model.load_state_dict(torch.load(io.BytesIO(file.content), weights_only=True))
    model.eval()
    x = [0.1, 0.5, 0.9]
    with torch.inference_mode():
        mine = model(torch.tensor(x)[:, None])[:, 0].tolist()
    theirs = service.client.post(job["links"]["version"] + "/predict", json={"x": x}).json()["y"]
    # The scaling that is folded into the parameters rounds differently; without it, same bits.
    assert mine == (pytest.approx(theirs, abs=1e-6) if standardize else theirs)


def test_pictures_are_drawn(service: RunningService) -> None:
    job = service.train("pictures", epochs=50)
    for name, start in (("curve.svg", b"<?xml"), ("fit.svg", b"<?xml"), ("fit.png", b"\x89PNG")):
        answer = service.client.get(f"/jobs/{job['id']}/{name}")
        assert answer.status_code == 200
        assert answer.content.startswith(start)


def test_a_diverged_job_fails_with_advice_and_is_never_promoted(service: RunningService) -> None:
    before = service.train("diverge", promote="always")
    points = {"source": "points", "x": [1e3, 2e3, 3e3, 4e3, 5e3], "y": [1, 2, 3, 4, 5]}
    job = service.train(
        "diverge",
        data=points,
        standardize=False,
        loss="mse",
        optimizer={"kind": "sgd", "lr": 1.0},
        promote="always",
    )
    assert job["state"] == "failed"
    assert job["error"]["code"] == "diverged"
    assert "standardize" in job["error"]["message"]
    assert "lr" in job["error"]["message"]
    assert job["version"] is None
    model = service.client.get("/models/diverge").json()
    assert (model["active_version"], model["versions"]) == (before["version"], 1)
