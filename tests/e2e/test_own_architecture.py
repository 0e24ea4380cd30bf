"""A package's architecture in a real service: trained, served, restarted, taken away."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import RunningService, running
from tests.packages import EXAMPLE, install_example

pytestmark = pytest.mark.e2e

X = [row / 10 for row in range(60)]
WAVE: dict[str, Any] = {
    "data": {"source": "points", "x": X, "y": [100 * math.sin(2 * x) for x in X]},
    "architecture": {"kind": "fourier", "waves": 100},
}
ASKED = {"x": [0.55, 2.5, 4.05]}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_example(tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("refit") / "data"


@pytest.fixture
def service(
    packages: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningService]:
    """A service with the example installed; each test starts it anew on the same data."""
    monkeypatch.setenv("PYTHONPATH", str(packages))
    with running(data_dir) as started:
        yield started


def predicted(service: RunningService) -> dict[str, Any]:
    answer = service.client.post("/models/wave/predict", json=ASKED)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_it_is_trained_and_served_over_http(service: RunningService) -> None:
    job = service.train("wave", **WAVE)
    assert job["state"] == "succeeded", job
    assert job["spec"]["architecture"] == {"kind": "fourier", "waves": 100, "length_scale": 0.5}
    assert job["spec"]["optimizer"]["kind"] == "adam"
    assert job["metrics"]["test_r2"] > 0.98
    told = predicted(service)
    assert told["y"] == pytest.approx([100 * math.sin(2 * x) for x in ASKED["x"]], abs=15)

    params = service.client.get("/models/wave/params").json()
    assert (params["units"], params["weight"], params["least_squares"]) == ("raw", None, None)
    assert len(params["state_dict"]["phase_W"]) == 100
    file = service.client.get("/models/wave/versions/1/state_dict.safetensors")
    assert (file.status_code, file.headers["refit-units"]) == (200, "raw")
    job = service.train("wave", start_from="active", **WAVE)
    assert job["state"] == "succeeded", job


def test_what_it_says_of_itself_reaches_openapi_and_the_errors(service: RunningService) -> None:
    openapi = service.client.get("/openapi.json").json()
    schemas = openapi["components"]["schemas"]
    union = schemas["TrainRequest"]["properties"]["architecture"]
    assert union["discriminator"]["mapping"]["fourier"] == "#/components/schemas/FourierSpec"
    assert {"$ref": "#/components/schemas/FourierSpec"} in union["oneOf"]
    assert schemas["FourierSpec"]["properties"]["kind"]["const"] == "fourier"
    assert "only their heights are learned" in json.dumps(schemas["FourierSpec"])
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(openapi)))
    assert references == schemas.keys()

    for field, value, pointer in (
        ("waves", 0, "/architecture/waves"),
        ("length_scale", "wide", "/architecture/length_scale"),
        ("heights", 3, "/architecture/heights"),
        ("waves", 20_000, "/architecture"),
    ):
        asked = {"architecture": {"kind": "fourier", field: value}}
        answer = service.client.post("/models/wave/train", json=asked)
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_the_request_of_its_readme_is_trained(service: RunningService) -> None:
    (body,) = re.findall(r"-d '(.*)'", (EXAMPLE / "README.md").read_text())
    assert service.train("tide", **json.loads(body))["state"] == "succeeded"


def test_without_the_package_all_else_is_served_and_what_is_missing_is_named(
    packages: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = "architecture 'fourier' is not installed here (there are parameters, linear, mlp)"
    monkeypatch.setenv("PYTHONPATH", str(packages))
    with running(data_dir) as service:
        before = predicted(service)
        long = {**WAVE, "epochs": 1_000_000, "early_stopping": None}
        left = service.client.post("/models/wave/train", json=long).json()["id"]
        service.wait_for_job(left, lambda job: job["state"] == "running")
        assert service.stop() == 0

    monkeypatch.delenv("PYTHONPATH")
    with running(data_dir) as service:
        job = service.wait_for_job(left, lambda job: job["state"] == "failed")
        assert job["error"]["code"] == "spec_unreadable"
        assert missing in job["error"]["message"]
        assert service.client.post("/predict", json={"x": 0.5}).status_code == 200
        assert service.client.post("/models/wave/predict", json=ASKED).status_code == 503
        answer = service.client.get("/models/wave/versions/1/params")
        assert (answer.status_code, answer.json()["code"]) == (409, "version_unloadable")
        assert missing in answer.json()["detail"]
        answer = service.client.post("/models/wave/train", json={"start_from": "active"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert "version 2 is fourier" in answer.json()["detail"]
        answer = service.client.post("/models/wave/train", json=WAVE)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"].startswith("/architecture")
        listed = service.client.get("/models/wave/versions").json()["versions"]
        assert listed[-1]["spec"]["architecture"]["kind"] == "fourier"

    monkeypatch.setenv("PYTHONPATH", str(packages))
    with running(data_dir) as service:
        assert predicted(service) == before, "it is back, with the same bits"


def test_a_spawned_process_finds_it_too(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(packages))
    with running(tmp_path / "data", start_method="spawn", workers=1) as service:
        assert service.train("wave", **WAVE)["state"] == "succeeded"
        assert predicted(service)["version"] == 1
