"""What a training may cost: each bound, to the unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ml.datasets.profile import Column, Profile
from ml.spec.dataset import DATASETS
from service.errors import InvalidRequestError
from service.jobs.limits import check_limits
from service.schemas.training import TrainRequest
from service.settings import Settings
from tests.service.making import PROFILE

TEN_POINTS = {"source": "points", "x": list(range(10)), "y": list(range(10))}
MLP = {"kind": "mlp", "hidden": [3, 4]}

BOUNDS: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("max_rows", {"data": TEN_POINTS}, 10, "/data", "rows"),
    ("max_rows", {}, 50, "/data", "rows"),
    ("max_epochs", {"epochs": 7}, 7, "/epochs", "epochs"),
    # 8 rows of 10 are trained on, in 3 batches of at most 3.
    ("max_steps", {"data": TEN_POINTS, "optimizer": {"kind": "adam"}, "batch_size": 3, "epochs": 4},
     12, "/epochs", "steps"),
    ("max_steps", {"epochs": 9}, 9, "/epochs", "steps"),
    ("max_work", {"data": TEN_POINTS, "epochs": 5}, 5 * 8 * 2, "/epochs", "work"),
    ("max_hidden_units", {"architecture": MLP}, 7, "/architecture/hidden", "hidden units"),
    # 1 × 3 + 3, 3 × 4 + 4, 4 × 1 + 1.
    ("max_parameters", {"architecture": MLP}, 6 + 16 + 5, "/architecture", "parameters"),
    ("max_parameters", {"architecture": {**MLP, "batch_norm": True}}, 27 + 14, "/architecture",
     "parameters"),
    ("max_curve_points", {"epochs": 10, "evaluate_every": 3}, 4, "/evaluate_every", "points"),
]  # fmt: skip


def bounded(**bounds: Any) -> Settings:
    return Settings(**bounds)


@pytest.mark.parametrize(("setting", "asked", "figure", "pointer", "what"), BOUNDS)
def test_a_training_passes_at_the_bound_and_is_refused_one_above_it(
    setting: str, asked: dict[str, Any], figure: int, pointer: str, what: str
) -> None:
    request = TrainRequest.model_validate(asked)
    check_limits(request, bounded(**{setting: figure}))
    with pytest.raises(InvalidRequestError) as caught:
        check_limits(request, bounded(**{setting: figure - 1}))
    (fault,) = caught.value.faults
    assert fault.pointer == pointer
    assert what in fault.detail
    assert f"{figure} " in fault.detail
    assert f"at most {figure - 1} allowed" in fault.detail


def test_a_dataset_is_held_to_its_own_bound_of_rows_and_to_the_work_like_all() -> None:
    column = PROFILE.columns[0]
    profile = Profile(1000, (column, replace(column, name="y")))
    data = {"source": "dataset", "dataset": "0" * 32, "target": "y"}
    request = TrainRequest.model_validate(
        {"data": data, "epochs": 5}, context={DATASETS: lambda dataset: profile}
    )
    check_limits(request, bounded(max_rows=1, max_work=5 * 800 * 2))
    with pytest.raises(InvalidRequestError) as caught:
        check_limits(request, bounded(max_work=5 * 800 * 2 - 1))
    assert [fault.pointer for fault in caught.value.faults] == ["/epochs"]


def test_each_word_of_a_category_is_a_parameter() -> None:
    words = tuple(f"w{i:03}" for i in range(300))
    column = PROFILE.columns[0]
    town = Column("town", "text", 0, 300, "w000", "w299", None, None, words)
    data = {"source": "dataset", "dataset": "0" * 32, "target": "area", "categories": ["town"]}
    request = TrainRequest.model_validate(
        {"data": data}, context={DATASETS: lambda dataset: Profile(1000, (column, town))}
    )
    check_limits(request, bounded(max_parameters=301))
    with pytest.raises(InvalidRequestError) as caught:
        check_limits(request, bounded(max_parameters=300))
    assert [fault.detail for fault in caught.value.faults] == [
        "301 parameters asked, at most 300 allowed"
    ]


def test_every_bound_that_is_broken_is_named() -> None:
    request = TrainRequest.model_validate({"epochs": 2000, "evaluate_every": 1})
    settings = Settings(max_epochs=1000, max_rows=49, max_curve_points=500)
    with pytest.raises(InvalidRequestError) as caught:
        check_limits(request, settings)
    assert [fault.pointer for fault in caught.value.faults] == [
        "/data",
        "/epochs",
        "/evaluate_every",
    ]
    assert "2,000 epochs asked, at most 1,000 allowed" in caught.value.faults[1].detail


def test_what_the_tutorial_and_a_large_table_ask_is_allowed_by_default() -> None:
    check_limits(TrainRequest(), Settings())
    many = {"source": "line", "step": 1 / 200_000}
    check_limits(TrainRequest.model_validate({"data": many, "epochs": 1000}), Settings())


HUGE = int("9" * 4300)
"""The longest whole number that pydantic takes (CPython's limit on digits)."""


@pytest.mark.parametrize(
    "asked",
    [
        {"epochs": HUGE},
        {"epochs": HUGE, "evaluate_every": 1},
        {"epochs": 10**400, "evaluate_every": 1},
        {"batch_size": HUGE},
        {"batch_size": 2**63},
        {"evaluate_every": 10, "epochs": HUGE, "architecture": {**MLP, "hidden": [HUGE]}},
        {"architecture": {**MLP, "hidden": [HUGE, HUGE]}},
    ],
)
def test_numbers_beyond_all_measure_are_refused_like_any_other(asked: dict[str, Any]) -> None:
    request = TrainRequest.model_validate(asked)
    with pytest.raises(InvalidRequestError) as caught:
        check_limits(request, Settings())
    for fault in caught.value.faults:
        assert "asked, at most" in fault.detail
        assert len(fault.detail) < 200


def test_a_batch_may_hold_more_rows_than_there_are() -> None:
    check_limits(TrainRequest.model_validate({"batch_size": 1000}), Settings())


@pytest.mark.parametrize("evaluate_every", [1000, 2**63, 10**400])
def test_a_curve_may_have_its_first_and_last_point_alone(evaluate_every: int) -> None:
    check_limits(TrainRequest.model_validate({"evaluate_every": evaluate_every}), Settings())
