"""New and active version scored on the same rows."""

from __future__ import annotations

import math

import pytest
import torch

from ml.data.scaling import Scaling
from ml.data.table import Table
from ml.spec.training import LossName
from service.jobs.contest import hold_contest
from tests.service.making import CPU, line, mlp


def rows(x: list[list[float]], y: list[list[float]], *names: str) -> Table:
    features = names or tuple(f"x{i}" for i in range(len(x[0])))
    return Table(torch.tensor(x).double(), torch.tensor(y).double(), features, ("y",))


ON_A_LINE = rows([[0.0], [1.0], [2.0], [3.0]], [[1.0], [3.0], [5.0], [7.0]], "x")
"""y = 2x + 1."""


def test_both_are_scored_in_raw_units_whatever_their_scaling() -> None:
    mean, deviation = torch.tensor([10.0]).double(), torch.tensor([4.0]).double()
    # The same line twice: once as it is, once with the scaling folded out.
    scaled = line(2.0, (2.0 * 10 + 1 - 10) / 4, scaling=Scaling(mean, deviation, mean, deviation))
    held = hold_contest(line(2.0, 1.5), scaled, ON_A_LINE, "l1", CPU, 7, False)
    assert (held.metric, held.new, held.active_version) == ("mae", 0.5, 7)
    assert held.active == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("loss", "metric", "score"),
    [("l1", "mae", 1.5), ("huber", "mae", 1.5), ("mse", "rmse", math.sqrt(3.5))],
)
def test_the_metric_is_the_one_that_goes_with_the_loss(
    loss: LossName, metric: str, score: float
) -> None:
    # Wrong by 0, 1, 2, 3.
    held = hold_contest(line(3.0, 1.0), line(2.0, 1.0), ON_A_LINE, loss, CPU, 1, False)
    assert (held.metric, held.active) == (metric, 0)
    assert held.new == pytest.approx(score)


def test_an_architecture_of_another_kind_is_compared_all_the_same() -> None:
    held = hold_contest(mlp(), line(2.0, 1.0), ON_A_LINE, "l1", CPU, 1, False)
    assert held.active == 0
    assert 0 < held.new < math.inf


def test_what_cannot_be_loaded_scores_infinitely_badly() -> None:
    held = hold_contest(line(), None, ON_A_LINE, "l1", CPU, 1, False)
    assert held.active == math.inf


def test_a_prediction_beyond_float32_scores_infinitely_badly() -> None:
    held = hold_contest(line(2.0, 1.0), line(3e38, 3e38), ON_A_LINE, "l1", CPU, 1, False)
    assert (held.new, held.active) == (0, math.inf)


def test_other_features_or_targets_cannot_be_compared() -> None:
    two_features, two_targets = line([1.0, 2.0]), line([[1.0], [2.0]], [0.0, 0.0])
    for active in (two_features, two_targets):
        assert hold_contest(line(), active, ON_A_LINE, "l1", CPU, 1, False).active is None


def test_the_same_columns_in_another_order_cannot_be_compared() -> None:
    # Promoted, it would silently change what {"x": [[…]]} means to the clients.
    table = rows([[1.0, 10.0], [2.0, 30.0]], [[12.0], [34.0]], "rooms", "area")
    new = line([2.0, 1.0], 0.0, features=("rooms", "area"))
    moved = line([1.0, 2.0], 0.0, features=("area", "rooms"))
    assert hold_contest(new, moved, table, "l1", CPU, 1, False).active is None
    assert hold_contest(new, new, table, "l1", CPU, 1, False).active == 0


def test_columns_of_other_names_are_taken_as_they_stand() -> None:
    table = rows([[1.0, 10.0]], [[12.0]], "rooms", "area")
    active = line([2.0, 1.0], 0.0, features=("x1", "x2"))
    assert hold_contest(active, active, table, "l1", CPU, 1, False).active == 0


def test_the_bootstrap_is_told_on() -> None:
    assert hold_contest(line(), None, ON_A_LINE, "l1", CPU, 1, True).active_is_bootstrap
