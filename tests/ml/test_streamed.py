"""Training on rows that stay on disk: the same steps, the same optimum, the same bits twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ml.data.rowfile as rowfile
import ml.data.table as table_module
from ml.data.dataset import DatasetFiles
from ml.data.rowfile import Layout, RowFile, RowFileWriter
from ml.data.scaling import Scaling, fit_range, fit_scaling
from ml.data.table import Table
from ml.datasets.ingest import ingest
from ml.datasets.options import ReadOptions
from ml.datasets.profile import Profile
from ml.spec.dataset import DATASETS
from ml.spec.training import TrainingSpec
from ml.training.fit import Fitted, fit
from ml.training.optimum import least_squares
from ml.training.parts import Part, StreamedPart
from ml.training.stepper import Stepper
from tests.ml.making import CPU

ROWS = 1000


@pytest.fixture
def values() -> np.ndarray:
    random = np.random.default_rng(0)
    x_NF = random.normal(size=(ROWS, 3)) * [1, 100, 1e-3] + [5, -1000, 0]
    y_N = x_NF @ [2.0, 0.03, 500.0] + 7 + 0.1 * random.normal(size=ROWS)
    return np.column_stack([x_NF, y_N])


@pytest.fixture
def rows(tmp_path: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> RowFile:
    """The values on disk, in 4 buckets that are read in blocks of 97 rows."""
    monkeypatch.setattr(rowfile, "BLOCK_ROWS", 97)
    monkeypatch.setattr(table_module, "BLOCK_ROWS", 97)
    layout = Layout(("a", "b", "c"), ("y",))
    writer = RowFileWriter(tmp_path / "rows", layout, 4, np.random.default_rng(1))
    writer.write(values)
    return writer.finish()


def _whole(rows: RowFile) -> Table:
    """The same rows in the same order, in memory."""
    blocks = list(rows.blocks())
    x_NF, y_NT = torch.cat([x for x, _ in blocks]), torch.cat([y for _, y in blocks])
    return Table(x_NF.contiguous(), y_NT.contiguous(), rows.feature_names, rows.target_names)


def test_statistics_are_those_of_all_rows(rows: RowFile, values: np.ndarray) -> None:
    scaling, seen = fit_scaling(rows), fit_range(rows)
    np.testing.assert_allclose(scaling.x_mean_F, values[:, :3].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling.x_std_F, values[:, :3].std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling.y_std_T, values[:, 3:].std(axis=0), rtol=1e-12)
    assert seen.x_min_F.tolist() == values[:, :3].min(axis=0).tolist()
    assert seen.x_max_F.tolist() == values[:, :3].max(axis=0).tolist()


def test_the_optimum_is_that_of_all_rows(rows: RowFile, values: np.ndarray) -> None:
    wanted, *_ = np.linalg.lstsq(np.c_[values[:, :3], np.ones(ROWS)], values[:, 3])
    got = least_squares(rows, fit_scaling(rows))
    np.testing.assert_allclose(got.weight_TF[0], wanted[:3], rtol=1e-10)
    np.testing.assert_allclose(got.bias_T, wanted[3:], rtol=1e-10)


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), nn.HuberLoss()])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_a_step_over_blocks_is_the_step_over_all_rows(
    rows: RowFile, loss: nn.Module, optimizer: str
) -> None:
    scaling = fit_scaling(rows)
    whole = _whole(rows)
    # Twenty evaluations are a step of L-BFGS.
    count = 1 if optimizer == "lbfgs" else 5
    results = []
    for is_streamed in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
        steps = Stepper(model, loss, _optimizer(optimizer, model), expected_steps=count)
        if is_streamed:
            last = steps.streamed_steps(StreamedPart(rows, scaling, CPU, torch.float64), count)
        else:
            x_NF, y_NT = whole.x_NF, whole.y_NT
            last = steps.steps(
                scaling.scale_x(x_NF, torch.float64), scaling.scale_y(y_NT, torch.float64), count
            )
        results.append((last, [p.detach().clone() for p in model.parameters()]))
    (loss_whole, whole_parameters), (loss_streamed, streamed_parameters) = results
    # The order of a sum differs in the last bit, which a line search multiplies.
    tolerance = 1e-6 if optimizer == "lbfgs" else 1e-9
    torch.testing.assert_close(loss_streamed, loss_whole, rtol=tolerance, atol=0)
    for one, other in zip(streamed_parameters, whole_parameters, strict=True):
        torch.testing.assert_close(one, other, rtol=10 * tolerance, atol=tolerance)


def _optimizer(kind: str, model: nn.Module) -> torch.optim.Optimizer:
    if kind == "sgd":
        return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    if kind == "adam":
        return torch.optim.Adam(model.parameters(), lr=0.1)
    return torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")


@pytest.mark.parametrize("batch_rows", [1, 7, 64, 250, 1000, 5000])
def test_batches_hold_every_row_once_and_are_whole_but_for_the_last(
    rows: RowFile, batch_rows: int
) -> None:
    whole = _whole(rows)
    in_memory = Part(whole.x_NF, whole.y_NT)
    for part in (StreamedPart(rows, None, CPU, torch.float64), in_memory):
        sizes, seen = [], []
        for x_NF, y_NT in part.shuffled(torch.Generator().manual_seed(0), batch_rows):
            assert len(x_NF) == len(y_NT)
            sizes += [len(batch) for batch in torch.split(x_NF, batch_rows)]
            seen += y_NT[:, 0].tolist()
        assert sorted(seen) == sorted(whole.y_NT[:, 0].tolist())
        assert seen != whole.y_NT[:, 0].tolist()
        assert set(sizes[:-1]) <= {batch_rows}
        assert sizes[-1] == (ROWS % batch_rows or batch_rows)


@pytest.mark.parametrize("block_rows", [1, 2, 3, 97, 333, 999, 1000])
def test_no_block_is_a_row_alone(
    rows: RowFile, block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rowfile, "BLOCK_ROWS", block_rows)
    blocks = list(StreamedPart(rows, None, CPU, torch.float64).blocks())
    assert min(len(x_NF) for x_NF, _ in blocks) > 1
    assert torch.equal(torch.cat([y_NT for _, y_NT in blocks]), _whole(rows).y_NT)


def test_scaled_rows_are_of_the_dtype_asked_for(rows: RowFile) -> None:
    ones = torch.ones(3, dtype=torch.float64)
    scaling = Scaling(ones, 2 * ones, ones[:1], ones[:1])
    for dtype in (torch.float32, torch.float64):
        x_NF, y_NT = next(StreamedPart(rows, scaling, CPU, dtype).blocks())
        assert (x_NF.dtype, y_NT.dtype) == (dtype, dtype)


# ---- whole trainings ----


def _fit(values: np.ndarray, folder: Path, memory_bytes: int, **training: Any) -> Fitted:
    kept = folder / "kept"
    if not kept.exists():
        kept.mkdir()
        np.savetxt(
            folder / "rows.csv", values, "%.17g", delimiter=",", header="a,b,c,y", comments=""
        )
        ingest(folder / "rows.csv", kept, ReadOptions(kind="csv"))
    profile: Profile = ingest(folder / "rows.csv", kept, ReadOptions(kind="csv"))
    spec = TrainingSpec.model_validate(
        {"data": {"source": "dataset", "dataset": "0" * 32, "target": "y"}, **training},
        context={DATASETS: lambda _: profile},
    )
    scratch = folder / f"scratch-{len(list(folder.iterdir()))}"
    return fit(spec, files=DatasetFiles(lambda _: kept, scratch, memory_bytes))


def test_a_streamed_linear_model_ends_at_the_optimum(values: np.ndarray, tmp_path: Path) -> None:
    fitted = _fit(values, tmp_path, 1)
    assert fitted.environment.streamed
    assert fitted.rows == {"train": 800, "validation": 0, "test": 200, "left_out": 0}
    assert fitted.gap is not None
    assert fitted.gap < 1e-6
    assert fitted.warnings == ()
    assert not _fit(values, tmp_path, 10**9).environment.streamed


def test_without_a_shuffle_streamed_and_whole_are_the_same_parts(
    values: np.ndarray, tmp_path: Path
) -> None:
    one, other = (_fit(values, tmp_path, memory, split={"shuffle": False}) for memory in (1, 10**9))
    assert one.metrics == pytest.approx(other.metrics, rel=1e-6, abs=1e-7)
    assert one.data_sha256 == other.data_sha256


@pytest.mark.parametrize("kind", ["linear", "mlp"])
@pytest.mark.parametrize("batch_size", [None, 64])
def test_streamed_trainings_learn_and_have_the_same_bits_twice(
    values: np.ndarray, tmp_path: Path, kind: str, batch_size: int | None
) -> None:
    fields = {
        "architecture": {"kind": kind},
        "optimizer": {"kind": "adam", "lr": 0.01},
        "batch_size": batch_size,
        "epochs": 60,
    }
    one, other = (_fit(values, tmp_path, 1, **fields) for _ in range(2))
    assert one.curve == other.curve
    assert one.metrics == other.metrics
    for key, state in one.bundle.state.items():
        assert torch.equal(state, other.bundle.state[key])
    assert (one.metrics["test_r2"] or 0) > 0.5
    assert one.curve[-1].train_loss < one.curve[0].train_loss
