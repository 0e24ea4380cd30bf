"""Learning rates while training: torch's sequences, in the plain loop and in replayed steps."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn, optim
from torch.optim import lr_scheduler

from ml.models.build import build_model
from ml.spec.model import MlpSpec
from ml.spec.training import (
    ConstantSpec,
    CosineSpec,
    EarlyStoppingSpec,
    OneCycleSpec,
    PlateauSpec,
    ScheduleSpec,
)
from ml.training.fit import fit
from ml.training.loop import Budget, Loop
from ml.training.parts import Part
from ml.training.schedules import Plateau, step_schedule
from ml.training.stepper import WORTH_RECORDING
from tests.ml.making import spec

ROWS = 24


class NotingRates(optim.Adam):
    """Notes the learning rate of every step; of no type that is replayed."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.rates: list[float] = []

    def step(self, closure: Any = None) -> Any:
        self.rates.append(self.param_groups[0]["lr"])
        return super().step(closure)


def _part(rows: int, seed: int = 0) -> Part:
    generator = torch.Generator().manual_seed(seed)
    x_NF = torch.randn(rows, 3, generator=generator)
    return Part(x_NF, x_NF.sin().sum(dim=1, keepdim=True))


def _run(
    kind: type[optim.Adam], schedule: ScheduleSpec, epochs: int, **changed: Any
) -> tuple[Loop, Any]:
    torch.manual_seed(1)
    model = build_model(MlpSpec(hidden=(4,)), 3, 1)
    optimizer = kind(model.parameters(), lr=changed.pop("lr", 0.05))
    parts = {"train": _part(ROWS), "validation": _part(0), "test": _part(0)}
    budget = Budget(
        epochs,
        changed.pop("evaluate_every", 50),
        changed.pop("batch_size", None),
        changed.pop("early_stopping", None),
        0,
        schedule,
    )
    loop = Loop(model, nn.MSELoss(), optimizer, budget=budget, **(parts | changed))
    list(loop)
    return loop, optimizer


def _torchs_rates(make: Any, steps: int, steps_per_call: int = 1) -> list[float]:
    optimizer = optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.05)
    scheduler = make(optimizer)
    rates = []
    for step in range(1, steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step % steps_per_call == 0 and step < steps:
            scheduler.step()
    return rates


@pytest.mark.parametrize(("batch_size", "per_epoch"), [(None, 1), (10, 3), (ROWS, 1)])
@pytest.mark.parametrize("epochs", [1, 2, 5, 40, 300])
@pytest.mark.parametrize("final_lr", [0.0, 0.004])
def test_cosine_is_torchs_by_the_epoch(
    batch_size: int | None, per_epoch: int, epochs: int, final_lr: float
) -> None:
    _, noting = _run(NotingRates, CosineSpec(final_lr=final_lr), epochs, batch_size=batch_size)
    wanted = _torchs_rates(
        lambda o: lr_scheduler.CosineAnnealingLR(o, epochs, eta_min=final_lr),
        epochs * per_epoch,
        per_epoch,
    )
    # torch multiplies its way along, so its rounding grows with the epochs.
    assert noting.rates == pytest.approx(wanted, rel=1e-12, abs=1e-14)
    assert noting.rates[0] == 0.05


@pytest.mark.parametrize(("batch_size", "per_epoch"), [(None, 1), (10, 3)])
@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5, 40, 100])
@pytest.mark.parametrize("max_lr", [None, 0.2])
def test_one_cycle_is_torchs_by_the_step(
    batch_size: int | None, per_epoch: int, epochs: int, max_lr: float | None
) -> None:
    _, noting = _run(NotingRates, OneCycleSpec(max_lr=max_lr), epochs, batch_size=batch_size)
    steps = epochs * per_epoch
    wanted = _torchs_rates(
        lambda o: lr_scheduler.OneCycleLR(
            o, max_lr or 0.05, total_steps=steps, cycle_momentum=False
        ),
        steps,
    )
    assert noting.rates == wanted


@pytest.mark.parametrize("asked", [{}, {"patience": 0}, {"factor": 0.5, "min_lr": 0.01}])
def test_a_plateau_is_torchs(asked: dict[str, Any]) -> None:
    plateau_spec = PlateauSpec(**{"patience": 3, **asked})
    random.seed(4)
    mine, torchs = (optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.05) for _ in range(2))
    plateau = Plateau(plateau_spec, mine)
    wanted = lr_scheduler.ReduceLROnPlateau(torchs, **plateau_spec.model_dump(exclude={"kind"}))
    rates = set()
    for epoch in range(300):
        # Falling at first, then noise, with gains around torch's threshold of 1e-4.
        loss = math.exp(-min(epoch, 40) / 10) * (1 + random.uniform(-2e-4, 2e-4))
        plateau.see(loss)
        wanted.step(loss)
        rates.add(mine.param_groups[0]["lr"])
        assert mine.param_groups[0]["lr"] == torchs.param_groups[0]["lr"]
    assert len(rates) > 2


@pytest.mark.parametrize("batch_size", [None, 10])
@pytest.mark.parametrize(
    "schedule", [CosineSpec(final_lr=0.001), OneCycleSpec(), PlateauSpec(patience=1, factor=0.7)]
)
def test_replayed_steps_follow_the_schedule_with_the_bits_of_plain_ones(
    schedule: ScheduleSpec, batch_size: int | None
) -> None:
    # More epochs between two points than one stride takes.
    changed: dict[str, Any] = {"batch_size": batch_size, "validation": _part(5, 1)}
    plain, noting = _run(NotingRates, schedule, WORTH_RECORDING, **changed)
    replayed, _ = _run(optim.Adam, schedule, WORTH_RECORDING, **changed)
    assert len(set(noting.rates)) > 3
    for a, b in zip(plain.model.parameters(), replayed.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_one_cycle_trains_as_the_tutorials_loop_with_torchs_scheduler() -> None:
    asked = spec(schedule={"kind": "one_cycle", "max_lr": 0.1}, epochs=150, evaluate_every=1)
    fitted = fit(asked)
    torch.manual_seed(42)
    model = nn.Linear(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=150, cycle_momentum=False)
    x_N1 = torch.arange(0, 1, 0.02)[:40, None]
    losses = []
    for _ in range(150):
        loss = nn.L1Loss()(model(x_N1), 0.7 * x_N1 + 0.3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    assert [point.train_loss for point in fitted.curve] == losses


@pytest.mark.parametrize("schedule", [ConstantSpec(), PlateauSpec()])
def test_where_steps_do_not_decide_there_is_no_step_schedule(schedule: ScheduleSpec) -> None:
    optimizer = optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.05)
    assert step_schedule(schedule, optimizer, 10, 3) is None
    assert optimizer.param_groups[0]["lr"] == 0.05


class TestWhatAPlateauWatches:
    """A loss that rises lowers the rate after every epoch, one that falls never."""

    def _rates(self, **parts: Part) -> list[float]:
        _, noting = _run(NotingRates, PlateauSpec(patience=0), 6, lr=0.01, **parts)
        rates: list[float] = noting.rates
        return rates

    def _away(self) -> Part:
        x_NF, y_N1 = _part(8).x_NF, _part(8).y_NT
        # Further from the model with every step towards the training rows.
        return Part(x_NF, -100 * y_N1)

    def test_the_validation_loss_before_the_test_loss(self) -> None:
        assert min(self._rates(validation=self._away(), test=_part(ROWS))) < 1e-5
        assert set(self._rates(validation=_part(ROWS), test=self._away())) == {0.01}

    def test_the_test_loss_before_the_train_loss(self) -> None:
        assert min(self._rates(test=self._away())) < 1e-5

    def test_the_train_loss_where_there_is_nothing_else(self) -> None:
        assert set(self._rates()) == {0.01}

    def test_early_stopping_watches_the_same_and_restores(self) -> None:
        stopping = EarlyStoppingSpec(patience=3)
        loop, noting = _run(
            NotingRates,
            PlateauSpec(patience=0),
            20,
            validation=self._away(),
            early_stopping=stopping,
        )
        assert (loop.best_epoch, loop.epochs_run, loop.converged) == (0, 4, False)
        assert noting.rates == pytest.approx([0.05, 0.05, 0.005, 0.0005])


@pytest.mark.parametrize(
    ("asked", "place", "code"),
    [
        ({"schedule": {"kind": "cosine"}}, ("schedule",), "schedule_with_lbfgs"),
        ({"schedule": {"kind": "one_cycle"}}, ("schedule",), "schedule_with_lbfgs"),
        ({"schedule": {"kind": "plateau"}}, ("schedule",), "schedule_with_lbfgs"),
        ({"clip_grad_norm": 1}, ("clip_grad_norm",), "clip_with_lbfgs"),
    ],
)
def test_lbfgs_is_left_alone(asked: dict[str, Any], place: tuple[str, ...], code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(optimizer={"kind": "lbfgs"}, **asked)
    error = caught.value.errors()[0]
    assert (error["loc"], error["type"]) == (place, code)
    assert spec(optimizer={"kind": "lbfgs"}, schedule={"kind": "constant"}).epochs == 50


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ({"schedule": {"kind": "linear"}}, ("schedule",)),
        ({"schedule": {}}, ("schedule",)),
        ({"schedule": None}, ("schedule",)),
        ({"schedule": {"kind": "constant", "lr": 1}}, ("schedule", "constant", "lr")),
        ({"schedule": {"kind": "cosine", "final_lr": -1}}, ("schedule", "cosine", "final_lr")),
        ({"schedule": {"kind": "one_cycle", "max_lr": 0}}, ("schedule", "one_cycle", "max_lr")),
        ({"schedule": {"kind": "plateau", "factor": 1}}, ("schedule", "plateau", "factor")),
        ({"schedule": {"kind": "plateau", "patience": -1}}, ("schedule", "plateau", "patience")),
        ({"clip_grad_norm": 0}, ("clip_grad_norm",)),
        ({"clip_grad_norm": "1"}, ("clip_grad_norm",)),
    ],
)
def test_refusals_name_the_place(asked: dict[str, Any], place: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(**asked)
    assert caught.value.errors()[0]["loc"] == place


def test_nothing_asked_is_a_constant_rate_and_gradients_as_they_are() -> None:
    assert (spec().schedule, spec().clip_grad_norm) == (ConstantSpec(), None)
    round_trip = spec(schedule={"kind": "plateau", "factor": 0.5}, clip_grad_norm=2)
    assert type(round_trip).model_validate_json(round_trip.model_dump_json()) == round_trip
