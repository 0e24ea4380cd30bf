"""L-BFGS: where it ends by itself, and how near the optimum it is then."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn, optim

from ml.models.build import build_model
from ml.spec.model import LinearSpec, MlpSpec
from ml.spec.training import EarlyStoppingSpec, LbfgsSpec
from ml.training.loop import Budget, Loop, Progress
from ml.training.optimizers import build_optimizer
from ml.training.parts import Part

# J. Longley, An Appraisal of Least Squares Programs, JASA 62 (1967): deflator, GNP, unemployed,
# armed forces, population, year, and the employed; the data that statsmodels brings too.
LONGLEY = """
83.0 234289 2356 1590 107608 1947 60323    88.5 259426 2325 1456 108632 1948 61122
88.2 258054 3682 1616 109773 1949 60171    89.5 284599 3351 1650 110929 1950 61187
96.2 328975 2099 3099 112075 1951 63221    98.1 346999 1932 3594 113270 1952 63639
99.0 365385 1870 3547 115094 1953 64989   100.0 363112 3578 3350 116219 1954 63761
101.2 397469 2904 3048 117388 1955 66019  104.6 419180 2822 2857 118734 1956 67857
108.4 442769 2936 2798 120445 1957 68169  110.8 444546 4681 2637 121950 1958 66513
112.6 482704 3813 2552 123366 1959 68655  114.2 502601 3931 2514 125368 1960 69564
115.7 518173 4806 2572 127852 1961 69331  116.9 554894 4007 2827 130081 1962 70551
"""
NIST_LONGLEY = (
    *(15.0618722713733, -0.0358191792925910, -2.02022980381683),
    *(-1.03322686717359, -0.0511041056535807, 1829.15146461355),
)
"""The certified coefficients of NIST's Statistical Reference Datasets, without the constant."""


def _standardized(values_NC: torch.Tensor) -> torch.Tensor:
    return (values_NC - values_NC.mean(0)) / values_NC.std(0, unbiased=False)


def _correlated(
    rows: int, features: int, condition: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardized rows whose columns depend on each other, and a noisy linear target."""
    make = torch.Generator().manual_seed(seed)
    basis_NF = torch.linalg.qr(torch.randn(rows, features, generator=make, dtype=torch.float64))[0]
    turn_FF = torch.linalg.qr(torch.randn(features, features, generator=make, dtype=torch.float64))[
        0
    ]
    spread_F = torch.logspace(0, -math.log10(condition), features, dtype=torch.float64)
    x_NF = _standardized(basis_NF * spread_F @ turn_FF)
    y_N1 = x_NF @ torch.randn(features, 1, generator=make, dtype=torch.float64)
    noise_N1 = torch.randn(rows, 1, generator=make, dtype=torch.float64)
    return x_NF, _standardized(y_N1 + 0.1 * noise_N1)


def _optimum(x_NF: torch.Tensor, y_NT: torch.Tensor) -> torch.Tensor:
    # Standardized: the bias of the optimum is 0.
    best_FT: torch.Tensor = torch.linalg.lstsq(x_NF, y_NT, driver="gelsd").solution
    return best_FT


class Run:
    """A linear model trained by L-BFGS on all rows."""

    def __init__(
        self,
        x_NF: torch.Tensor,
        y_NT: torch.Tensor,
        dtype: torch.dtype = torch.float64,
        epochs: int = 50,
        **changed: Any,
    ) -> None:
        torch.manual_seed(42)
        model = build_model(changed.pop("architecture", LinearSpec()), x_NF.shape[1], y_NT.shape[1])
        self.model = model.to(dtype)
        optimizer = build_optimizer(LbfgsSpec(), model.parameters())
        train = Part(x_NF.to(dtype), y_NT.to(dtype))
        nothing = Part(train.x_NF[:0], train.y_NT[:0])
        parts = {"validation": nothing, "test": nothing} | changed.pop("parts", {})
        budget = Budget(epochs, 10**6, None, changed.pop("early_stopping", None), 0)
        loss = changed.pop("loss", nn.MSELoss())
        self.loop = Loop(model, loss, optimizer, train, budget=budget, **parts)
        self.reports: list[Progress] = list(self.loop)
        state = optimizer.state[next(iter(model.parameters()))]
        self.evaluations: int = state["func_evals"]

    @property
    def weight_FT(self) -> torch.Tensor:
        weight_TF = next(iter(self.model.parameters())).detach()
        return weight_TF.T.double()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("features", [1, 4, 16])
def test_a_well_conditioned_problem_ends_after_a_few_dozen_evaluations(
    features: int, seed: int
) -> None:
    x_NF, y_N1 = _correlated(400, features, 3, seed)
    run = Run(x_NF, y_N1)
    assert run.loop.converged
    assert run.loop.epochs_run <= 4
    # An epoch makes some 25. Processors differ in the last bits, and so in the last of these.
    assert run.evaluations <= 60
    torch.testing.assert_close(run.weight_FT, _optimum(x_NF, y_N1), rtol=0, atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("features", [5, 10, 30])
def test_correlated_features_reach_the_optimum_in_float64(features: int, seed: int) -> None:
    x_NF, y_N1 = _correlated(500, features, 1e4, seed)
    assert torch.linalg.cond(x_NF) > 4000
    run = Run(x_NF, y_N1)
    assert run.loop.converged
    assert run.loop.epochs_run < 25
    best_F1 = _optimum(x_NF, y_N1)
    # A loss L is flat, in float64, where predictions are within sqrt(2e-16 L) of the optimum's.
    apart_N1 = x_NF @ (run.weight_FT - best_F1)
    assert float(apart_N1.square().mean().sqrt()) < 2e-8
    # The weak direction counts 10,000 times less in predictions than in weights.
    largest = float(best_F1.abs().max())
    torch.testing.assert_close(run.weight_FT, best_F1, rtol=0, atol=1e-6 * max(10, largest))


def test_longleys_coefficients_are_those_that_nist_certifies() -> None:
    table_NC = torch.tensor(
        [float(number) for number in LONGLEY.split()], dtype=torch.float64
    ).reshape(16, 7)
    run = Run(_standardized(table_NC[:, :6]), _standardized(table_NC[:, 6:]))
    assert run.loop.converged
    spread_C = table_NC.std(0, unbiased=False)
    raw_F = run.weight_FT[:, 0] * spread_C[6] / spread_C[:6]
    torch.testing.assert_close(
        raw_F, torch.tensor(NIST_LONGLEY, dtype=torch.float64), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e6])
def test_targets_in_other_units_make_no_difference(unit: float) -> None:
    x_NF, y_N1 = _correlated(300, 6, 100, 0)
    run = Run(x_NF, y_N1 * unit)
    assert run.loop.converged
    torch.testing.assert_close(run.weight_FT / unit, _optimum(x_NF, y_N1), rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", [nn.L1Loss(), nn.MSELoss(), nn.HuberLoss()])
def test_where_it_ends_further_epochs_gain_nothing(dtype: torch.dtype, loss: nn.Module) -> None:
    x_NF, y_N1 = _correlated(200, 5, 50, 1)
    run = Run(x_NF, y_N1, dtype, loss=loss)
    assert run.loop.converged
    x_NF, y_N1 = x_NF.to(dtype), y_N1.to(dtype)
    optimizer = run.loop.optimizer

    def closure() -> torch.Tensor:
        value: torch.Tensor = loss(run.model(x_NF), y_N1)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    ended = closure().item()
    for _ in range(10):
        optimizer.step(closure)  # type: ignore[arg-type]
    # As good as nothing where rounding lets it swing; L1 may be left by a lucky step.
    assert closure().item() == pytest.approx(ended, rel=1e-3 if dtype == torch.float32 else 1e-12)


def test_the_last_progress_carries_the_point_where_it_ended() -> None:
    x_NF, y_N1 = _correlated(100, 3, 3, 0)
    run = Run(x_NF, y_N1)
    last = run.reports[-1]
    assert last.epochs_done == run.loop.epochs_run < 50
    assert last.point is not None
    assert last.point.epoch == run.loop.epochs_run - 1
    assert not run.model.training


def test_too_few_epochs_are_no_convergence() -> None:
    x_NF, y_N1 = _correlated(500, 30, 1e4, 0)
    run = Run(x_NF, y_N1, epochs=5)
    assert (run.loop.converged, run.loop.epochs_run) == (False, 5)


def test_early_stopping_may_end_it_first_and_restores() -> None:
    x_NF, y_N1 = _correlated(500, 30, 1e4, 0)
    away = Part(x_NF, -y_N1)
    run = Run(x_NF, y_N1, parts={"validation": away}, early_stopping=EarlyStoppingSpec(patience=2))
    assert run.loop.best_epoch is not None
    assert not run.loop.converged
    assert run.loop.epochs_run == run.loop.best_epoch + 3


def test_an_mlp_may_be_trained_by_it() -> None:
    x_NF, y_N1 = _correlated(60, 2, 3, 0)
    run = Run(x_NF, y_N1, architecture=MlpSpec(hidden=(4,), activation="tanh"), epochs=20)
    points = [report.point for report in run.reports if report.point is not None]
    assert points[-1].train_loss < points[0].train_loss / 10


def test_other_optimizers_do_not_converge_by_themselves() -> None:
    model = nn.Linear(1, 1)
    still = optim.SGD(model.parameters(), lr=0.0)
    part = Part(torch.ones(2, 1), torch.ones(2, 1))
    loop = Loop(model, nn.MSELoss(), still, part, part, part, Budget(7, 1, None, None, 0))
    list(loop)
    assert (loop.converged, loop.epochs_run) == (False, 7)
