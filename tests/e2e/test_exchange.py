"""`import` and `export`, as a person types them, against a real service."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.e2e.running import RunningService
from tests.ml.exchange.files import malicious_files
from tests.packages import run_python

pytestmark = pytest.mark.e2e


class LinearRegressionModel(nn.Module):
    """The tutorial's first model."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.6990]))
        self.bias = nn.Parameter(torch.tensor([0.3093]))


def refit(service: RunningService, *words: object) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "service", *words, "--url", service.url)


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def predict(service: RunningService, model: str, x: Any) -> list[float]:
    answer = service.client.post(f"/models/{model}/predict", json={"x": x})
    assert answer.status_code == 200, answer.text
    y: list[float] = answer.json()["y"]
    return y


def test_the_tutorial_s_file_serves_after_one_command(
    service: RunningService, tmp_path: Path
) -> None:
    path = tmp_path / "01_pytorch_workflow_model_0.pth"
    torch.save(LinearRegressionModel().state_dict(), path)
    done = refit(service, "import", path, "--architecture", "parameters", "-m", "tutorial")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "tutorial, version 1: active (first version)\n",
        "",
    )
    # It waits for every worker: both answer at once.
    for _ in range(8):
        assert predict(service, "tutorial", 1.0) == pytest.approx([1.0083])
    again = refit(service, "import", path, "-m", "tutorial")
    assert again.stdout == "tutorial, version 1: active (it is the active version already)\n"


def test_what_is_exported_and_imported_again_predicts_the_same_to_the_bit(
    service: RunningService, tmp_path: Path
) -> None:
    x = [[float(i), float(i * i)] for i in range(40)]
    points = {"source": "points", "x": x, "y": [3.0 * a - b / 7 + 1e6 for a, b in x]}
    job = service.train("wide", data=points, architecture={"kind": "mlp", "hidden": [8]}, epochs=30)
    assert job["state"] == "succeeded", job["error"]
    folder = tmp_path / "out"
    report = told(refit(service, "export", folder, "-m", "wide", "--json"))
    assert report["left_out"] == {}
    assert report["checks"].keys() == {
        "model.safetensors",
        "state_dict.pth",
        "model.pt2",
        "model.onnx",
    }
    points = service.client.get(f"/jobs/{job['id']}/curve").json()["points"]
    told_points = [{k: v for k, v in point.items() if v is not None} for point in points]
    assert json.loads((folder / "curve.json").read_text()) == {"points": told_points}
    version = told(refit(service, "import", folder, "-m", "copy", "--json"))
    source = service.client.get("/models/wide/versions/1").json()
    assert version["artifact"] == source["artifact"] == {"sha256": report["artifact"]}
    assert predict(service, "copy", x) == predict(service, "wide", x)
    # And the state_dict alone, in raw units, as far as float32 has digits.
    bare = refit(service, "import", folder / "state_dict.pth", "-m", "bare", "--activation", "relu")
    assert bare.returncode == 0, bare.stderr
    assert predict(service, "bare", x) == pytest.approx(predict(service, "wide", x), rel=1e-6)


def test_a_sequential_is_told_apart_by_its_names_and_its_activation(
    service: RunningService, tmp_path: Path
) -> None:
    net = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))
    path = tmp_path / "net.pt"
    torch.save({"epoch": 7, "model_state_dict": net.state_dict()}, path)
    asked = refit(service, "import", path, "-m", "net")
    assert asked.returncode == 2
    assert asked.stderr.startswith(f"error: {path}: a state_dict does not tell its activation")
    names = ("--feature", "area", "--feature", "rooms", "--target", "price")
    options = ("-m", "net", "--activation", "tanh", *names, "--json")
    version = told(refit(service, "import", path, *options))
    assert version["spec"]["architecture"]["activation"] == "tanh"
    rows = {"rows": [{"area": 0.5, "rooms": -1.0}]}
    answer = service.client.post("/models/net/predict", json=rows).json()
    wanted = net(torch.tensor([[0.5, -1.0]])).item()
    assert answer["y"] == [pytest.approx(wanted, rel=1e-5)]
    by_json = json.dumps(version["spec"]["architecture"])
    same = told(
        refit(service, "import", path, "-m", "net", "--architecture", by_json, *names, "--json")
    )
    assert same["version"] == version["version"]


def test_a_malicious_file_reaches_nobody(service: RunningService, tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(malicious_files(tmp_path / "marker")["in a state_dict"])
    done = refit(service, "import", path, "-m", "evil")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path}: it asks for posix.system")
    assert not (tmp_path / "marker").exists()
    assert service.client.get("/models/evil").status_code == 404


def test_what_goes_wrong_is_one_line_and_an_exit_code(
    service: RunningService, tmp_path: Path
) -> None:
    path = tmp_path / "model.pth"
    torch.save(LinearRegressionModel().state_dict(), path)
    mine = tmp_path / "mine"
    mine.mkdir()
    nobody = "http://127.0.0.1:1"
    for words, code, sentence in (
        (("import", tmp_path / "no.pth"), 2, "there is no such file"),
        (
            ("import", path, "--architecture", "mlp", "--activation", "relu"),
            2,
            "weights with bias is neither",
        ),
        (("import", path, "--architecture", "{"), 2, "--architecture: expected a kind or JSON"),
        (("import", path, "--architecture", "nonsense"), 1, "expected one of"),
        (("import", path, "--feature", "a", "--feature", "b"), 1, "one feature and one target"),
        (("export", "-m", "nowhere"), 1, "there is no model nowhere (model_not_found)"),
        (("export", "-v", "99"), 1, "model default has no version 99 (version_not_found)"),
        (("export", mine), 2, "is there already"),
    ):
        done = refit(service, *words)
        assert (done.returncode, done.stdout) == (code, ""), (words, done.stderr)
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: "), line
        assert sentence in line
    done = run_python("-m", "service", "export", "--url", nobody)
    assert done.returncode == 3
    assert done.stderr.startswith(f"error: {nobody}: the service cannot be reached: ")
    assert len(done.stderr.splitlines()) == 1
