"""`python -m ml`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from typer.testing import CliRunner, Result

from ml.artifact import load_state_dict
from ml.cli import build_app
from ml.models.build import build_model
from ml.spec.model import LinearSpec
from ml.training.fit import fit
from tests.ml import tutorial
from tests.ml.making import spec

ROOT = Path(__file__).parents[2]


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


def _train(folder: Path, *arguments: object) -> Result:
    return _run("train", "--output", folder, "--device", "cpu", *arguments)


def _rows(output: str) -> list[list[str]]:
    """The cells of every table row."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in output.splitlines()
        if line.startswith("│")
    ]


def test_train_prints_the_tutorials_losses_and_parameters(tmp_path: Path) -> None:
    done = _train(tmp_path, "--architecture", "parameters", "--epochs", 100)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "Using device: cpu"
    rows = _rows(done.stdout)
    assert [row[0] for row in rows[:11]] == [*map(str, range(0, 100, 10)), "99"]
    assert rows[0] == ["0", "0.31288138", "0.48106518"]
    assert rows[5] == ["50", "0.04167863", "0.09919948"]
    (weight, bias) = rows[11:]
    assert (weight[0], bias[0]) == ("weight", "bias")
    assert [float(cell) for cell in weight[1:]] == pytest.approx([0.5784, 0.7, 0.7], abs=5e-5)
    assert [float(cell) for cell in bias[1:]] == pytest.approx([0.3513, 0.3, 0.3], abs=5e-5)
    assert lines[-1] == "Loaded into a new instance: every prediction is equal"


def test_train_saves_the_model_and_three_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "models"
    done = _train(folder, "--weight", 0.3, "--bias", 0.9, "--epochs", 50)
    assert done.exit_code == 0, done.output
    names = ["curves.svg", "model.pth", "predictions.svg", "split.svg"]
    assert sorted(path.name for path in folder.iterdir()) == names
    told = done.stdout.replace("\n", "")
    assert str(folder) in told
    assert all(name in told for name in names)
    for path in folder.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert "Predictions" in (folder / "predictions.svg").read_text()
    assert "Predictions" not in (folder / "split.svg").read_text()
    loaded = tutorial.load(tutorial.LinearRegressionModelV2, folder / "model.pth")
    wanted = fit(spec(data={"weight": 0.3, "bias": 0.9}, epochs=50)).bundle.raw_state()
    for key, values in loaded.state_dict().items():
        assert torch.equal(values, wanted[key])


def test_every_option_reaches_the_training(tmp_path: Path) -> None:
    line = {"weight": 2, "bias": -1, "start": -1, "end": 3, "step": 0.1, "noise": 0.2}
    asked = spec(
        data=line,
        split={"train": 0.5, "validation": 0.25, "shuffle": True},
        architecture={"kind": "linear"},
        loss="huber",
        optimizer={"kind": "adamw", "lr": 0.05},
        epochs=12,
        batch_size=7,
        evaluate_every=5,
        seed=3,
        standardize=True,
    )
    options = [text for name, value in line.items() for text in (f"--{name}", value)]
    done = _train(
        tmp_path,
        *options,
        *("--train", 0.5, "--validation", 0.25, "--shuffle", "--architecture", "linear"),
        *("--loss", "huber", "--optimizer", "adamw", "--lr", 0.05, "--epochs", 12),
        *("--batch-size", 7, "--evaluate-every", 5, "--seed", 3, "--standardize"),
    )
    assert done.exit_code == 0, done.output
    fitted = fit(asked)
    printed = _rows(done.stdout)[: len(fitted.curve)]
    assert [[float(cell) for cell in row] for row in printed] == [
        pytest.approx([p.epoch, p.train_loss, p.validation_loss, p.test_loss], abs=5e-9)
        for p in fitted.curve
    ]
    loaded = build_model(LinearSpec(), 1, 1)
    load_state_dict(loaded, tmp_path / "model.pth")
    for key, values in fitted.bundle.raw_state().items():
        assert torch.equal(loaded.state_dict()[key], values)


def test_train_without_test_rows_and_with_an_mlp(tmp_path: Path) -> None:
    done = _train(tmp_path, "--architecture", "mlp", "--epochs", 3, "--train", 1)
    assert done.exit_code == 0, done.output
    assert "Test loss" not in done.stdout
    assert "Ground truth" not in done.stdout  # an MLP has no weight and bias to compare
    assert (tmp_path / "predictions.svg").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--epochs", 0), "epochs: Input should be greater than or equal to 1"),
        (("--step", -1), "data.step: Input should be greater than 0"),
        (("--start", 2), "data.end: end 1 must be above start 2"),
        (("--lr", 0), "optimizer.lr: Input should be greater than 0"),
        (("--weight", "nan"), "data.weight: Input should be a finite number"),
        (("--train", 0.001), "split.train: 50 rows × 0.001 leave no row to train on"),
        (
            ("--optimizer", "lbfgs", "--batch-size", 3),
            "batch_size: `lbfgs` needs every row in one batch: leave batch_size null",
        ),
        (
            ("--epochs", 0, "--seed", -1),
            "epochs: Input should be greater than or equal to 1; "
            "seed: Input should be greater than or equal to 0",
        ),
        (("--device", "tpu"), "device: no device is called 'tpu': choose auto, cuda, mps or cpu"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(
    tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    folder = tmp_path / "models"
    done = _train(folder, *options)
    assert (done.exit_code, done.stderr) == (2, f"Error: {message}\n")
    assert not folder.exists()


@pytest.mark.parametrize(
    "options",
    [("--epochs", "many"), ("--loss", "mae"), ("--architecture", "cnn"), ("--eporchs", 1)],
)
def test_what_is_no_option_is_exit_code_2(tmp_path: Path, options: tuple[object, ...]) -> None:
    done = _train(tmp_path / "models", *options)
    assert done.exit_code == 2
    assert str(options[0]) in done.stderr
    assert not (tmp_path / "models").exists()


def test_a_divergence_is_one_line_with_its_advice_and_exit_code_1(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    done = _train(folder, "--loss", "mse", "--lr", 1e6)
    assert done.exit_code == 1
    errors = [line for line in done.stderr.splitlines() if line.strip()]
    assert len([line for line in errors if line.startswith("Error: ")]) == 1
    assert "lower the learning rate (optimizer.lr) or set standardize to true" in errors[-1]
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = _train(tmp_path / "file" / "models", "--epochs", 1)
    assert done.exit_code == 1
    assert "Error: " in done.stderr
    assert "Traceback" not in done.output


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = 2 x + 1, as `nn.Linear`."""
    path = tmp_path_factory.mktemp("models") / "model.pth"
    state = {"linear_layer.weight": torch.tensor([[2.0]]), "linear_layer.bias": torch.tensor([1.0])}
    torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("x", "y"),
    [(["0.5"], ["2"]), (["0.5", "0.6", "1e3"], ["2", "2.2", "2001"]), (["-1.5", "2"], ["-2", "5"])],
)
def test_predict_prints_a_y_for_each_x(model: Path, x: list[str], y: list[str]) -> None:
    done = _run("predict", model, *x)
    assert (done.exit_code, done.stdout.split()) == (0, [*map(_round_trip, y)])


def _round_trip(text: str) -> str:
    """As a float32 is printed with eight digits."""
    return f"{torch.tensor(float(text)).item():.8g}"


def test_predict_takes_the_architecture_before_or_after(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"weights": torch.tensor([3.0]), "bias": torch.tensor([0.5])}, path)
    for order in (
        ("predict", path, "--architecture", "parameters", 2, -2),
        ("predict", "--architecture", "parameters", path, 2, -2),
        ("predict", path, 2, -2, "--architecture", "parameters"),
    ):
        done = _run(*order)
        assert (done.exit_code, done.stdout.split()) == (0, ["6.5", "-5.5"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("a",), 2, "x.0: Input should be a valid number"),
        ((1, "--achitecture"), 2, "x.1: Input should be a valid number"),
        (("nan",), 2, "x.0: Input should be a finite number"),
        ((1, "1e39"), 2, "x.1: Input should be less than or equal to 3402823"),
        ((1, "--architecture", "parameters"), 1, "expected the keys ['bias', 'weights'], got"),
        (("3e38",), 1, "the prediction for row 0 is beyond float32"),
    ],
)
def test_predict_refuses_in_one_line(
    model: Path, arguments: tuple[object, ...], code: int, message: str
) -> None:
    done = _run("predict", model, *arguments)
    assert done.exit_code == code
    assert done.stderr.startswith(f"Error: {message}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_predict_from_no_file_is_one_line(tmp_path: Path) -> None:
    done = _run("predict", tmp_path / "model.pth", 1)
    assert (done.exit_code, done.stderr.startswith("Error: no file")) == (1, True)


def _module(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "ml", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_every_option() -> None:
    overview, train = _module("--help"), _module("train", "--help")
    assert (overview.returncode, train.returncode) == (0, 0)
    assert re.search(r"train .*\n.*predict|predict .*\n.*train", overview.stdout, re.DOTALL)
    for option in (
        *("weight", "bias", "start", "end", "step", "noise", "train", "validation", "shuffle"),
        *("architecture", "loss", "optimizer", "lr", "epochs", "batch-size", "evaluate-every"),
        *("seed", "device", "standardize", "output"),
    ):
        assert f"--{option} " in train.stdout


def test_the_whole_road_as_a_process(tmp_path: Path) -> None:
    trained = _module("train", "--epochs", "20", "--output", str(tmp_path), "--device", "cpu")
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.startswith("Using device: cpu\n")
    assert "Traceback" not in trained.stderr
    predicted = _run("predict", tmp_path / "model.pth", 0.5, 0.6)
    loaded = tutorial.load(tutorial.LinearRegressionModelV2, tmp_path / "model.pth")
    wanted = loaded(torch.tensor([[0.5], [0.6]]))[:, 0].tolist()
    assert predicted.stdout.splitlines() == [f"{y:.8g}" for y in wanted]
