"""What is written for others loads there and predicts the same; what does not is not left there."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import ml.exchange.export
import ml.exchange.graph
from ml.artifact import Bundle, artifact_id, decode, encode
from ml.data.scaling import Range, Scaling
from ml.errors import ExchangeError
from ml.exchange.brought import bundle_of
from ml.exchange.card import write_card
from ml.exchange.checking import predict_elsewhere
from ml.exchange.export import Report, export
from ml.exchange.foreign import ACTIVATIONS
from ml.exchange.graph import trace, write_onnx, write_pt2
from ml.exchange.names import ONNX, PT2, PTH
from ml.exchange.onefile import unpack
from ml.exchange.sample import ROWS, draw, tolerance
from ml.predictor import Predictor
from ml.spec.exchange import ImportSpec
from ml.spec.model import LinearSpec, MlpSpec, ParametersSpec
from tests.ml.making import ARCHITECTURES, CPU, bundle, scaling
from tests.ml.nets import NetSpec

MODELS = {"model.safetensors", "state_dict.pth", "model.pt2", "model.onnx"}
RECORD = {
    "model": "flats",
    "version": 3,
    "origin": "api",
    "spec": {
        "data": {"source": "points", "x": [[1.5]], "y": [2.5], "feature_names": ["x0"]},
        "loss": "mse",
        "optimizer": {"kind": "lbfgs"},
        "epochs": 50,
        "seed": 42,
        "standardize": True,
    },
    "metrics": {"train_loss": 0.25, "test_r2": None},
    "warnings": ["few rows"],
    "data_sha256": "d" * 64,
    "environment": {"refit": "0.1.0", "torch": "2.13", "device": "cpu", "rows": {"train": 9}},
    "created_at": "2026-03-01T12:00:00Z",
}
CURVE: list[dict[str, float | None]] = [
    {"epoch": 0, "train_loss": 0.5, "validation_loss": None},
    {"epoch": 10, "train_loss": 0.25, "validation_loss": None, "test_loss": 1 / 3},
]


def ranged(made: Bundle) -> Bundle:
    """With the range of training rows, as every trained bundle has one."""
    count = len(made.column_names)
    low_F = torch.linspace(-3, 5, count, dtype=torch.float64)
    return dataclasses.replace(made, range=Range(low_F, low_F + 2))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Report, Path]:
    """A standardized linear model of three features and two targets, in a folder."""
    made = ranged(bundle(LinearSpec(), 3, 2, scaling(3, 2)))
    folder = tmp_path_factory.mktemp("export") / "flats-3"
    record = {**RECORD, "artifact": {"sha256": artifact_id(encode(made))}}
    return made, export(made, record, CURVE, folder), folder


# ---- what is there ----


def test_every_file_is_there_and_predicts_the_same(
    exported: tuple[Bundle, Report, Path],
) -> None:
    _, report, folder = exported
    others = {"manifest.json", "version.json", "curve.json", "curve.csv", "MODEL_CARD.md"}
    assert {path.name for path in folder.iterdir()} == {*MODELS, *others, "export.json"}
    assert report.checks.keys() == MODELS
    assert (report.left_out, report.wrong) == ({}, [])
    assert report.checks["model.safetensors"].same_bits
    for check in report.checks.values():
        assert check.rows == ROWS
        pairs = zip(check.largest_difference, check.tolerance, strict=True)
        assert all(difference <= allowed for difference, allowed in pairs)


def test_the_report_vouches_for_every_file(exported: tuple[Bundle, Report, Path]) -> None:
    _, _, folder = exported
    report = json.loads((folder / "export.json").read_text())
    files = {path.name for path in folder.iterdir()} - {"export.json"}
    assert report["files"].keys() == files
    for name, told in report["files"].items():
        content = (folder / name).read_bytes()
        assert told == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_folder_comes_back_as_the_same_artifact(exported: tuple[Bundle, Report, Path]) -> None:
    made, report, folder = exported
    file = unpack((folder / "model.safetensors").read_bytes())
    back = bundle_of(ImportSpec.model_validate_json(str(file.described)), file.state)
    assert artifact_id(encode(back)) == artifact_id(encode(made)) == report.artifact
    x_NF = draw(made)
    assert torch.equal(Predictor(back, CPU).predict(x_NF), Predictor(made, CPU).predict(x_NF))
    # By its manifest too.
    names = ("manifest.json", "model.safetensors")
    assert decode({name: (folder / name).read_bytes() for name in names}).scaling is not None


def test_the_curve_and_the_record_are_kept(exported: tuple[Bundle, Report, Path]) -> None:
    _, _, folder = exported
    assert json.loads((folder / "curve.json").read_text()) == {
        "points": [
            {"epoch": 0, "train_loss": 0.5},
            {"epoch": 10, "train_loss": 0.25, "test_loss": 1 / 3},
        ]
    }
    with (folder / "curve.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"epoch": "0", "train_loss": "0.5", "test_loss": ""},
            {"epoch": "10", "train_loss": "0.25", "test_loss": repr(1 / 3)},
        ]
    assert json.loads((folder / "version.json").read_text())["metrics"] == RECORD["metrics"]


def test_no_file_tells_where_it_was_written(exported: tuple[Bundle, Report, Path]) -> None:
    _, _, folder = exported
    here = str(Path(ml.exchange.graph.__file__).parents[2]).encode()
    for path in folder.iterdir():
        content = path.read_bytes()
        assert here not in content, path.name
        assert str(folder.parent).encode() not in content, path.name


# ---- the card ----


def blocks(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


def assert_blocks_run(card: str, folder: Path, count: int) -> None:
    """Each prints what its comment says."""
    found = blocks(card)
    assert len(found) == count
    for code in found:
        (told,) = re.findall(r"# \[(.*)\]$", code, re.MULTILINE)
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        printed = [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e[+-]\d+)?", done.stdout)]
        wanted = [float(number) for number in told.split(", ")]
        assert printed[: len(wanted)] == pytest.approx(wanted, rel=1e-4), code


def test_every_block_of_the_card_prints_what_it_says(
    exported: tuple[Bundle, Report, Path],
) -> None:
    _, _, folder = exported
    card = (folder / "MODEL_CARD.md").read_text()
    assert card.startswith("# flats, version 3\n")
    assert_blocks_run(card, folder, 3)
    for words in ("| `train_loss` | 0.25 |", "| `test_r2` | – |", "- few rows", "`x0` -3 to -1"):
        assert words in card
    assert "1.5" not in card.partition("## How to load")[0], "rows stay where they are"


def test_names_cannot_break_out_of_the_card() -> None:
    evil = 'a`b|c\n# "owned" <img onerror=x>'
    made = dataclasses.replace(
        ranged(bundle(LinearSpec(), 2, 1)),
        feature_names=(evil, "x"),
        categories={"x": ("`|\n",)},
        target_names=(evil,),
    )
    record = {**RECORD, "warnings": [evil], "spec": {"data": {"source": evil}}}
    card = write_card(made, record, [PT2])
    assert "\n# " not in card.replace("# flats", "", 1)
    for line in card.splitlines():
        if line.startswith("|"):
            assert line.count("|") == 3, line
        shown = line.replace("\\`", "").replace("\\<", "")
        assert shown.count("`") % 2 == 0 or line.startswith("```"), line
        # In a code span it is text; elsewhere it would be an element.
        assert "<img" not in re.sub(r"`[^`]*`", "", shown), line


def test_an_import_s_card_says_that_nothing_is_known() -> None:
    record = {"model": "m", "version": 1, "origin": "import", "spec": {}, "metrics": {}}
    card = write_card(bundle(MlpSpec(hidden=(2,))), record, [PTH])
    assert "It was imported" in card
    assert "None are known." in card
    assert "What range of inputs it was trained on is not known." in card


# ---- the graphs ----


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("scaled", [False, True])
def test_the_graphs_answer_any_number_of_rows(
    architecture: ParametersSpec | LinearSpec | MlpSpec, scaled: bool, tmp_path: Path
) -> None:
    features, targets = (1, 1) if isinstance(architecture, ParametersSpec) else (3, 2)
    made = bundle(architecture, features, targets, scaling(features, targets) if scaled else None)
    program = trace(made)
    write_pt2(program, made, tmp_path / PT2)
    write_onnx(program, made, tmp_path / ONNX)
    x_NF = draw(made)
    y_NT = Predictor(made, CPU).predict(x_NF).double()
    allowed_T = tolerance(made, x_NF, y_NT)
    assert bool((allowed_T < 1e-4 * made_spread(made)).all()), "else the check would show little"
    module = torch.export.load(tmp_path / PT2).module()
    session = onnxruntime.InferenceSession(tmp_path / ONNX)
    for rows in (ROWS, 1, 0):
        by_export = module(x_NF[:rows])
        (by_onnx,) = session.run(["y"], {"x": x_NF[:rows].numpy()})
        for found in (by_export, torch.from_numpy(np.asarray(by_onnx))):
            assert (found.dtype, tuple(found.shape)) == (torch.float64, (rows, targets))
            assert bool(((found - y_NT[:rows]).abs() <= allowed_T).all())


def made_spread(made: Bundle) -> torch.Tensor:
    """What one standard deviation of each target is, roughly."""
    return torch.ones(1) if made.scaling is None else made.scaling.y_std_T


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_an_operator(activation: str, tmp_path: Path) -> None:
    spec = MlpSpec.model_validate({"hidden": [4], "activation": activation})
    made = bundle(spec, 2, 1)
    write_onnx(trace(made), made, tmp_path / ONNX)
    x_NF = draw(made)
    (found,) = onnxruntime.InferenceSession(tmp_path / ONNX).run(None, {"x": x_NF.numpy()})
    wanted = Predictor(made, CPU).predict(x_NF).numpy()
    assert np.abs(np.asarray(found) - wanted).max() < 1e-6


def test_the_onnx_file_is_whole_and_says_what_it_is(
    exported: tuple[Bundle, Report, Path],
) -> None:
    made, _, folder = exported
    model = onnx.load(folder / ONNX, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    told = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert told["columns"] == list(made.column_names)
    assert told["targets"] == list(made.target_names)
    for value, name, columns in ((model.graph.input, "x", 3), (model.graph.output, "y", 2)):
        (only,) = value
        shape = only.type.tensor_type.shape.dim
        assert (only.name, shape[0].dim_param, shape[1].dim_value) == (name, "rows", columns)
        assert only.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 20)]


class Branching(torch.nn.Module):
    """Takes another way for other numbers, which no graph holds."""

    def __init__(self, spec: object, features: int, targets: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(features, targets)

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        y_NT: torch.Tensor = self.layer(x_NF)
        return -y_NT if float(y_NT.sum()) > 0 else y_NT


class BranchingSpec(NetSpec):
    module: ClassVar[str] = "tests.ml.exchange.test_export:Branching"


def test_an_architecture_that_no_graph_holds_is_told_in_a_sentence() -> None:
    made = bundle(BranchingSpec())  # type: ignore[arg-type]
    with pytest.raises(ExchangeError, match=r"torch\.export cannot follow net: ") as caught:
        trace(made)
    assert "\n" not in str(caught.value)


# ---- the rows to compare on ----


def test_rows_are_drawn_from_what_was_seen(exported: tuple[Bundle, Report, Path]) -> None:
    made, _, _ = exported
    assert made.range is not None
    x_NF = draw(made)
    assert not bool(made.range.is_outside(x_NF).any())
    assert torch.equal(x_NF[0], made.range.x_min_F)
    assert torch.equal(x_NF[1], made.range.x_max_F)
    assert torch.equal(draw(made), x_NF)


def test_each_category_has_one_word_in_each_row() -> None:
    made = dataclasses.replace(
        bundle(LinearSpec(), 5), feature_names=("a", "c", "b"), categories={"c": ("u", "v", "w")}
    )
    x_NF = draw(made)
    assert torch.equal(x_NF[:, 1:4].sum(dim=1), torch.ones(ROWS, dtype=torch.float64))
    assert set(x_NF[:, 1:4].flatten().tolist()) == {0.0, 1.0}
    assert set(x_NF[:, 0].tolist()) - {0.0, 1.0}


def test_what_cancels_is_given_the_digits_that_float32_loses() -> None:
    """y = 1e6 x - 1e6 near x = 1: each float32 answer is off by as much as 0.06."""
    state = {"weights": torch.tensor([1e6]), "bias": torch.tensor([-1e6])}
    one = torch.tensor([1.0], dtype=torch.float64)
    made = Bundle(ParametersSpec(), ("x",), ("y",), None, state, range=Range(one, one + 1e-6))
    x_NF = draw(made)
    y_NT = Predictor(made, CPU).predict(x_NF).double()
    assert float(y_NT.abs().max()) < 2
    assert 0.1 < float(tolerance(made, x_NF, y_NT)) < 2


# ---- what goes wrong ----


def test_a_file_that_predicts_something_else_is_not_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other = (bundle(LinearSpec(), 1, 1, scaling(), seed=seed) for seed in (0, 1))
    monkeypatch.setattr(
        ml.exchange.export, "write_onnx", lambda _, __, path: write_onnx(trace(other), other, path)
    )
    report = export(made, RECORD, [], tmp_path / "out")
    assert report.wrong == [ONNX]
    assert report.left_out[ONNX].startswith("it predicts something else: ")
    assert not (tmp_path / "out" / ONNX).exists()
    assert report.checks.keys() == MODELS - {ONNX}
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "onnxruntime" not in card
    assert_blocks_run(card, tmp_path / "out", 2)
    assert report.left_out.keys() == {ONNX, "curve.json", "curve.csv"}


def test_without_the_extra_the_rest_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ml.exchange.graph, "find_spec", lambda name: None)
    # Looked at by their own tests; here only which files there are.
    monkeypatch.setattr(ml.exchange.export, "predict_elsewhere", _by_predictor)
    report = export(PLAIN, RECORD, CURVE, tmp_path / "out")
    told = "onnx, onnxscript, onnxruntime not installed: pip install 'refit[onnx]'"
    assert report.left_out == {ONNX: told}
    assert report.checks.keys() == MODELS - {ONNX}
    assert report.wrong == []


PLAIN = bundle(LinearSpec())
"""Made once: the checks run in threads, and making one moves torch's global generator."""


def _by_predictor(name: str, folder: Path, x_NF: np.ndarray) -> np.ndarray:
    return Predictor(PLAIN, CPU).predict_array(x_NF)


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2", "model.safetensors", "state_dict.pth"])
def test_a_file_that_cannot_be_loaded_back_is_told_in_a_line(
    exported: tuple[Bundle, Report, Path], tmp_path: Path, name: str
) -> None:
    made, _, folder = exported
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ExchangeError, match="it cannot be loaded back: ") as caught:
        predict_elsewhere(name, tmp_path, draw(made).numpy())
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(ExchangeError, match="is there already"):
        export(bundle(LinearSpec()), RECORD, [], tmp_path)
    with pytest.raises(ExchangeError, match="is there already"):
        export(bundle(LinearSpec()), RECORD, [], tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "precious"


def test_what_is_not_the_artifact_of_the_version_is_not_written(tmp_path: Path) -> None:
    record: dict[str, Any] = {**RECORD, "artifact": {"sha256": "0" * 64}}
    with pytest.raises(ExchangeError, match="not the artifact 000000000000…"):
        export(bundle(LinearSpec()), record, [], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_an_export_that_breaks_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ml.exchange.export, "write_card", interrupted)
    monkeypatch.setattr(ml.exchange.export, "predict_elsewhere", _by_predictor)
    monkeypatch.setattr(ml.exchange.graph, "find_spec", lambda name: None)
    with pytest.raises(KeyboardInterrupt):
        export(PLAIN, RECORD, [], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_overflows_where_it_was_trained_is_told(tmp_path: Path) -> None:
    huge = torch.tensor([1e300], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    made = bundle(LinearSpec(), 1, 1, Scaling(one, one, one, huge))
    with pytest.raises(ExchangeError, match="beyond float32"):
        export(made, RECORD, [], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
