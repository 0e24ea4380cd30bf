"""The only train/test loop: progress, cancel, early stopping, batches, train and eval mode."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any

import pytest
import torch
from torch import nn

from ml.errors import DivergedError
from ml.models.build import build_model
from ml.spec.model import MlpSpec
from ml.spec.training import EarlyStoppingSpec
from ml.training.loop import REPORT_SECONDS, Budget, Loop, Point
from ml.training.parts import Part
from ml.training.stopping import EarlyStopper

STEP_SECONDS = 0.03


class Watched(nn.Module):
    """y = w x, that counts its passes, notes its rows, and takes 0.03 s of a false clock each."""

    def __init__(self, weight: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weight]))
        self.now = 0.0
        self.training_rows: list[list[float]] = []
        self.evaluations = 0

    def forward(self, x_N1: torch.Tensor) -> torch.Tensor:
        self.now += STEP_SECONDS
        if self.training:
            self.training_rows.append(x_N1[:, 0].tolist())
        else:
            assert torch.is_inference_mode_enabled()
            self.evaluations += 1
        return x_N1 * self.weight


def _part(rows: int, slope: float = 1.0) -> Part:
    x_N1 = torch.arange(1.0, rows + 1)[:, None] / max(rows, 1)
    return Part(x_N1, slope * x_N1)


def _loop(model: nn.Module, epochs: int = 10, evaluate_every: int = 1, **changed: Any) -> Loop:
    budget = Budget(
        epochs,
        evaluate_every,
        changed.pop("batch_size", None),
        changed.pop("early_stopping", None),
        changed.pop("shuffle_seed", 0),
    )
    parts: dict[str, Part] = {"train": _part(8), "validation": _part(0), "test": _part(4)}
    return Loop(
        model=model,
        loss=nn.MSELoss(),
        optimizer=changed.pop("optimizer", None) or torch.optim.SGD(model.parameters(), lr=0.1),
        budget=budget,
        **(parts | changed),
    )


def _points(loop: Loop) -> list[Point]:
    return [progress.point for progress in loop if progress.point is not None]


def test_points_are_at_0_every_nth_and_the_last_epoch() -> None:
    assert [point.epoch for point in _points(_loop(Watched(), 10, 4))] == [0, 4, 8, 9]
    assert [point.epoch for point in _points(_loop(Watched(), 9, 4))] == [0, 4, 8]
    assert [point.epoch for point in _points(_loop(Watched(), 1, 100))] == [0]


def test_progress_counts_whole_epochs() -> None:
    assert [p.epochs_done for p in _loop(Watched(), 5, 2)] == [1, 3, 5]


def test_train_loss_is_before_the_step_and_test_loss_after_it() -> None:
    model, part = Watched(), Part(torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    (point,) = _points(_loop(model, 1, train=part, test=part))
    # w = 0: loss 1, gradient -2, so w = 0.2 and the loss 0.64.
    assert point.train_loss == 1
    assert point.test_loss == pytest.approx(0.64)


def test_a_part_without_rows_has_no_loss() -> None:
    (point,) = _points(_loop(Watched(), 1, test=_part(0)))
    assert (point.validation_loss, point.test_loss) == (None, None)
    (point,) = _points(_loop(Watched(), 1, validation=_part(3)))
    assert point.validation_loss is not None


def test_evaluating_less_often_changes_no_bit() -> None:
    often, seldom = Watched(), Watched()
    all_points = _points(_loop(often, 30, 1))
    some_points = _points(_loop(seldom, 30, 7))
    assert some_points == [point for point in all_points if point.epoch in (0, 7, 14, 21, 28, 29)]
    assert torch.equal(often.weight, seldom.weight)
    assert seldom.evaluations == 6


def test_the_model_trains_in_train_mode_and_ends_in_eval_mode() -> None:
    model = Watched()
    list(_loop(model, 3))
    assert len(model.training_rows) == 3
    assert not model.training


def _silences(model: Watched, loop: Loop) -> list[float]:
    """Seconds of the false clock between two reports."""
    times = [model.now, *(model.now for _ in loop)]
    return [later - earlier for earlier, later in pairwise(times)]


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_a_report_comes_in_time(batch_size: int | None) -> None:
    model = Watched()
    loop = _loop(model, 200, 10**6, batch_size=batch_size, clock=lambda: model.now)
    silences = _silences(model, loop)
    # One pass more at most: a step that has begun is finished. A point takes an evaluation too.
    assert max(silences) < REPORT_SECONDS + 2 * STEP_SECONDS
    # Nor does it chatter: the seconds spent are reported some five times each.
    assert len(silences) <= model.now / REPORT_SECONDS + 3


def test_a_report_within_an_epoch_counts_the_epochs_before_it() -> None:
    model = Watched()
    loop = _loop(model, 2, 10**6, train=_part(50), batch_size=1, clock=lambda: model.now)
    done = [progress.epochs_done for progress in loop]
    assert done == sorted(done)
    assert done.count(0) >= 5  # 50 steps of 0.03 s are seven reports
    assert done[-1] == 2


def test_the_seconds_of_the_reader_do_not_count() -> None:
    model = Watched()
    reports = 0
    for _ in _loop(model, 50, 10**6, clock=lambda: model.now):
        model.now += 10
        reports += 1
    assert reports <= 50 * STEP_SECONDS / REPORT_SECONDS + 2


@pytest.mark.parametrize("batch_size", [None, 2])
def test_closing_the_iteration_stops_training(batch_size: int | None) -> None:
    model = Watched()
    turning = iter(_loop(model, 10**9, 1, batch_size=batch_size))
    assert isinstance(turning, Iterator)
    next(turning)
    next(turning)
    weight, passes = model.weight.detach().clone(), len(model.training_rows)
    turning.close()  # type: ignore[attr-defined]
    assert next(turning, None) is None
    assert torch.equal(model.weight, weight)
    assert len(model.training_rows) == passes


def test_batches_take_every_row_once_an_epoch_in_a_new_order() -> None:
    model = Watched()
    list(_loop(model, 2, train=_part(10), batch_size=4))
    sizes = [len(rows) for rows in model.training_rows]
    assert sizes == [4, 4, 2, 4, 4, 2]
    first = [*chain.from_iterable(model.training_rows[:3])]
    second = [*chain.from_iterable(model.training_rows[3:])]
    assert sorted(first) == sorted(second) == _part(10).x_NF[:, 0].tolist()
    assert first != second


def test_the_same_shuffle_seed_gives_the_same_bits_and_another_gives_others() -> None:
    weights = []
    for seed in (3, 3, 4):
        model = Watched()
        list(_loop(model, 5, train=_part(9), batch_size=2, shuffle_seed=seed))
        weights.append(model.weight.item())
    assert weights[0] == weights[1] != weights[2]


def test_batches_do_not_depend_on_the_global_generator() -> None:
    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = Watched()
        list(_loop(model, 3, batch_size=3))
        weights.append(model.weight.item())
    assert weights[0] == weights[1]


def test_train_loss_of_batches_is_the_mean_over_rows() -> None:
    model = Watched(weight=0.25)
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    (point,) = _points(_loop(model, 1, train=_part(10), batch_size=4, optimizer=still))
    x_N1 = _part(10).x_NF
    assert point.train_loss == pytest.approx(float(((0.75 * x_N1) ** 2).mean()), rel=1e-6)


def test_lbfgs_reports_the_loss_before_its_step() -> None:
    model = Watched()
    lbfgs = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")
    first, second = _points(_loop(model, 2, optimizer=lbfgs))
    assert first.train_loss == pytest.approx(float((_part(8).y_NT ** 2).mean()), rel=1e-6)
    assert second.train_loss < 1e-10


class TestEarlyStopping:
    """Train towards y = x, where validation holds y = 0.5 x: the best weight is passed by."""

    def _run(self, patience: int, epochs: int = 500, **changed: Any) -> tuple[Watched, Loop, int]:
        model = Watched()
        spec = EarlyStoppingSpec(patience=patience, min_delta=changed.pop("min_delta", 0.0))
        loop = _loop(
            model, epochs, 10**6, early_stopping=spec, validation=_part(5, slope=0.5), **changed
        )
        last = [progress.epochs_done for progress in loop][-1]
        return model, loop, last

    def _weights(self, epochs: int) -> list[float]:
        model = Watched()
        return [model.weight.item() for _ in _loop(model, epochs)]

    def test_stops_when_the_patience_is_spent_and_restores_the_best_epoch(self) -> None:
        model, loop, epochs_done = self._run(patience=4)
        weights = self._weights(50)
        best = min(range(50), key=lambda epoch: abs(weights[epoch] - 0.5))
        assert loop.best_epoch == best
        assert model.weight.item() == weights[best]  # the same bits
        assert epochs_done == best + 4 + 1

    def test_the_last_point_is_that_of_the_epoch_it_stopped_at(self) -> None:
        model = Watched()
        spec = EarlyStoppingSpec(patience=4)
        loop = _loop(model, 500, 10**6, early_stopping=spec, validation=_part(5, slope=0.5))
        points = _points(loop)
        assert loop.best_epoch is not None
        assert [point.epoch for point in points] == [0, loop.best_epoch + 4]

    def test_without_a_validation_part_the_test_part_is_watched(self) -> None:
        model, loop, _ = self._run(patience=4)
        other = Watched()
        spec = EarlyStoppingSpec(patience=4)
        by_test = _loop(other, 500, 10**6, early_stopping=spec, test=_part(5, slope=0.5))
        list(by_test)
        assert (by_test.best_epoch, other.weight.item()) == (loop.best_epoch, model.weight.item())

    def test_a_budget_that_ends_first_restores_the_best_epoch_too(self) -> None:
        model, loop, epochs_done = self._run(patience=400, epochs=30)
        assert epochs_done == 30
        assert loop.best_epoch is not None
        assert loop.best_epoch < 29
        assert model.weight.item() == self._weights(30)[loop.best_epoch]

    def test_a_gain_below_min_delta_does_not_count(self) -> None:
        _, loop, epochs_done = self._run(patience=3, min_delta=10.0)
        assert (loop.best_epoch, epochs_done) == (0, 4)

    def test_without_early_stopping_there_is_no_best_epoch(self) -> None:
        loop = _loop(Watched())
        list(loop)
        assert loop.best_epoch is None

    def test_buffers_are_restored_as_well(self) -> None:
        stopper = EarlyStopper(EarlyStoppingSpec(patience=1))
        norm = nn.BatchNorm1d(2)
        assert not stopper.see(0, 1.0, norm)
        norm.train()(torch.randn(8, 2))
        assert norm.running_mean is not None
        assert norm.running_mean.abs().sum() > 0
        assert stopper.see(1, 2.0, norm)
        assert stopper.restore(norm) == 0
        assert norm.running_mean.abs().sum() == 0

    def test_a_watched_loss_that_is_no_number_is_divergence(self) -> None:
        with pytest.raises(DivergedError, match="watched loss is nan at epoch 3"):
            EarlyStopper(EarlyStoppingSpec()).see(3, math.nan, nn.Linear(1, 1))


@pytest.mark.parametrize("evaluate_every", [1, 10**9])
def test_a_loss_that_is_no_number_is_divergence_with_advice(evaluate_every: int) -> None:
    model = Watched()
    steep = torch.optim.SGD(model.parameters(), lr=1e9)
    # Where no point is due, it is seen at a report.
    loop = _loop(model, 10**9, evaluate_every, optimizer=steep, clock=lambda: model.now)
    with pytest.raises(DivergedError, match=r"loss is (inf|nan) at epoch \d+: lower the learning"):
        list(loop)
    assert len(model.training_rows) < 100


def test_dropout_is_active_in_training_and_inactive_in_evaluation() -> None:
    torch.manual_seed(0)
    model = build_model(MlpSpec(hidden=(64,), dropout=0.5), 1, 1)
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    same = _part(20)
    points = _points(_loop(model, 4, train=same, validation=same, test=same, optimizer=still))
    # The parameters stand still: training losses differ by dropout alone, evaluated ones do not.
    assert len({point.train_loss for point in points}) == 4
    assert len({loss for p in points for loss in (p.validation_loss, p.test_loss)}) == 1
    with torch.inference_mode():
        plain = nn.MSELoss()(model.eval()(same.x_NF), same.y_NT).item()
    assert points[0].test_loss == plain


def test_batch_norm_takes_batch_statistics_in_training_and_running_ones_in_evaluation() -> None:
    torch.manual_seed(0)
    model = build_model(MlpSpec(hidden=(4,), batch_norm=True), 1, 1)
    before = model.state_dict()["hidden.0.norm.running_mean"].clone()
    loop = _loop(model, 3)
    list(loop)
    assert int(model.state_dict()["hidden.0.norm.num_batches_tracked"]) == 3
    assert not torch.equal(model.state_dict()["hidden.0.norm.running_mean"], before)
    after = {key: values.clone() for key, values in model.state_dict().items()}
    one_row = Part(torch.tensor([[0.5]]), torch.tensor([[0.5]]))
    assert loop.loss_of(one_row) is not None  # a single row, which training mode would refuse
    assert all(torch.equal(values, after[key]) for key, values in model.state_dict().items())
