"""The tutorial's line."""

from __future__ import annotations

import pytest
import torch

from ml.data.line import load_line
from ml.data.table import Truth
from ml.spec.data import LineSpec
from tests.ml.tutorial import Data


@pytest.mark.parametrize(
    ("weight", "bias", "start", "end", "step"),
    [(0.7, 0.3, 0, 1, 0.02), (0.3, 0.9, 0, 1, 0.01), (-2.5, 10, -3, 4, 0.37), (1e-6, 0, 0, 9, 1)],
)
def test_the_line_has_the_bits_of_the_tutorials(
    weight: float, bias: float, start: float, end: float, step: float
) -> None:
    table = load_line(LineSpec(weight=weight, bias=bias, start=start, end=end, step=step), seed=42)
    data = Data(weight, bias, start, end, step)
    assert torch.equal(table.x_NF, torch.cat([data.X_train, data.X_test]))
    assert torch.equal(table.y_NT, torch.cat([data.y_train, data.y_test]))
    assert table.x_NF.dtype == table.y_NT.dtype == torch.float32
    assert table.truth == Truth(weight, bias)


def test_noise_has_the_deviation_asked_for_and_depends_on_the_seed_alone() -> None:
    spec = LineSpec(noise=0.5, step=0.0001)
    clean_N1 = load_line(LineSpec(step=0.0001), seed=1).y_NT
    noise_N1 = load_line(spec, seed=1).y_NT - clean_N1
    # 10,000 rows: the standard error of the mean is 0.005, of the deviation 0.0035.
    assert abs(float(noise_N1.mean())) < 0.025
    assert abs(float(noise_N1.std()) - 0.5) < 0.02
    assert torch.equal(load_line(spec, seed=1).y_NT, load_line(spec, seed=1).y_NT)
    assert not torch.equal(load_line(spec, seed=1).y_NT, load_line(spec, seed=2).y_NT)


def test_noise_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_line(LineSpec(noise=1), seed=3)
    assert torch.equal(torch.get_rng_state(), before)
