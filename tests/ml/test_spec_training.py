"""A training as it is asked for: defaults by source, what fits together, and strictness."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.spec.training import EarlyStoppingSpec, LbfgsSpec, SplitSpec, TrainingSpec
from tests.ml.making import points, quick, spec

POINTS: dict[str, Any] = {"source": "points", "x": [*range(1, 13)], "y": [*range(2, 26, 2)]}


def _refused(**fields: Any) -> tuple[tuple[Any, ...], str]:
    with pytest.raises(ValidationError) as caught:
        spec(**fields)
    error = caught.value.errors()[0]
    return error["loc"], error["type"]


def test_nothing_asked_is_the_tutorial() -> None:
    # Word for word the example of the wire contract.
    assert json.loads(TrainingSpec().model_dump_json()) == {
        "data": {
            "source": "line",
            "weight": 0.7,
            "bias": 0.3,
            "start": 0,
            "end": 1,
            "step": 0.02,
            "noise": 0,
        },
        "split": {"train": 0.8, "validation": 0, "shuffle": False},
        "architecture": {"kind": "linear"},
        "loss": "l1",
        "optimizer": {"kind": "sgd", "lr": 0.01, "momentum": 0, "weight_decay": 0},
        "epochs": 1000,
        "batch_size": None,
        "evaluate_every": 100,
        "seed": 42,
        "standardize": False,
        "early_stopping": None,
        "schedule": {"kind": "constant"},
        "clip_grad_norm": None,
    }


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        # The line is trained as the tutorial trains it, whatever the architecture.
        ({}, ("l1", "sgd", 0.01, 1000, 100, False, False, None)),
        (
            {"architecture": {"kind": "parameters"}},
            ("l1", "sgd", 0.01, 1000, 100, False, False, None),
        ),
        ({"architecture": {"kind": "mlp"}}, ("l1", "sgd", 0.01, 1000, 100, False, False, None)),
        ({"data": {"weight": 2}}, ("l1", "sgd", 0.01, 1000, 100, False, False, None)),
        # Real rows: standardized, shuffled, and fitted by what needs no tuning.
        ({"data": POINTS}, ("mse", "lbfgs", 1.0, 50, 5, True, True, None)),
        (
            {"data": POINTS, "architecture": {"kind": "parameters"}},
            ("mse", "lbfgs", 1.0, 50, 5, True, True, None),
        ),
        (
            {"data": POINTS, "architecture": {"kind": "mlp"}},
            ("mse", "adam", 0.01, 1000, 100, True, True, EarlyStoppingSpec()),
        ),
        # With every row in training there is nothing to watch.
        (
            {"data": POINTS, "architecture": {"kind": "mlp"}, "split": {"train": 1}},
            ("mse", "adam", 0.01, 1000, 100, True, True, None),
        ),
        # What is given stays, and what hangs on it follows.
        (
            {"data": POINTS, "optimizer": {"kind": "sgd"}},
            ("mse", "sgd", 0.01, 1000, 100, True, True, None),
        ),
        (
            {"data": POINTS, "optimizer": {"lr": 0.5}},
            ("mse", "lbfgs", 0.5, 50, 5, True, True, None),
        ),
        ({"optimizer": {"kind": "lbfgs"}}, ("l1", "lbfgs", 1.0, 50, 5, False, False, None)),
        ({"optimizer": {"kind": "adamw"}}, ("l1", "adamw", 0.01, 1000, 100, False, False, None)),
        ({"epochs": 300}, ("l1", "sgd", 0.01, 300, 30, False, False, None)),
        ({"epochs": 7}, ("l1", "sgd", 0.01, 7, 1, False, False, None)),
        (
            {"epochs": 7, "evaluate_every": 3},
            ("l1", "sgd", 0.01, 7, 3, False, False, None),
        ),
        (
            {"data": POINTS, "standardize": False, "loss": "huber", "split": {"shuffle": False}},
            ("huber", "lbfgs", 1.0, 50, 5, False, False, None),
        ),
        (
            {"data": POINTS, "architecture": {"kind": "mlp"}, "early_stopping": None},
            ("mse", "adam", 0.01, 1000, 100, True, True, None),
        ),
    ],
)
def test_defaults_depend_on_the_source(asked: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    got = spec(**asked)
    assert (
        got.loss,
        got.optimizer.kind,
        got.optimizer.lr,
        got.epochs,
        got.evaluate_every,
        got.standardize,
        got.split.shuffle,
        got.early_stopping,
    ) == wanted


def test_defaults_take_spec_objects_as_well_as_dicts() -> None:
    by_object = TrainingSpec(optimizer=LbfgsSpec(), data=points([1, 2, 3], [1, 2, 3]).data)
    by_dict = spec(
        optimizer={"kind": "lbfgs"}, data={"source": "points", "x": [1, 2, 3], "y": [1, 2, 3]}
    )
    assert by_object == by_dict
    assert by_object.epochs == 50


def test_the_default_architecture_of_a_source_does_not_leak_into_the_callers_dict() -> None:
    asked: dict[str, Any] = {"data": {"weight": 1}, "optimizer": {}}
    spec(**asked)
    assert asked == {"data": {"weight": 1}, "optimizer": {}}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"data": POINTS},
        {"data": POINTS, "architecture": {"kind": "mlp", "hidden": [3, 2], "dropout": 0.1}},
        {
            "data": {"source": "points", "x": [[1, 2], [3, 4]], "y": [[0.1], [1e9 + 1]]},
            "split": {"train": 0.5},
        },
        {"optimizer": {"kind": "adamw", "lr": 1e-3, "weight_decay": 0.5}, "batch_size": 7},
        {"early_stopping": {"patience": 3, "min_delta": 1e-5}, "seed": 2**63 - 1},
        {"optimizer": {"kind": "sgd", "momentum": 0.9}, "split": {"validation": 0.1}},
    ],
)
def test_json_round_trip(asked: dict[str, Any]) -> None:
    whole = spec(**asked)
    assert TrainingSpec.model_validate_json(whole.model_dump_json()) == whole
    assert TrainingSpec.model_validate(whole.model_dump()) == whole


@pytest.mark.parametrize(
    ("fields", "place", "code"),
    [
        ({"epoch": 5}, ("epoch",), "extra_forbidden"),
        ({"epochs": 0}, ("epochs",), "greater_than_equal"),
        ({"epochs": "5"}, ("epochs",), "int_type"),
        ({"epochs": True}, ("epochs",), "int_type"),
        ({"epochs": 5.0}, ("epochs",), "int_type"),
        ({"epochs": None}, ("epochs",), "int_type"),
        ({"evaluate_every": 0}, ("evaluate_every",), "greater_than_equal"),
        ({"batch_size": 0}, ("batch_size",), "greater_than_equal"),
        ({"seed": -1}, ("seed",), "greater_than_equal"),
        ({"seed": 2**63}, ("seed",), "less_than"),
        ({"loss": "mae"}, ("loss",), "literal_error"),
        ({"standardize": 1}, ("standardize",), "bool_type"),
        ({"standardize": "true"}, ("standardize",), "bool_type"),
        ({"data": {"source": "csv"}}, ("data",), "union_tag_invalid"),
        ({"data": None}, ("data",), "model_attributes_type"),
        ({"data": [1]}, ("data",), "model_attributes_type"),
        ({"architecture": {"kind": "cnn"}}, ("architecture",), "union_tag_invalid"),
        ({"architecture": {"kind": ["mlp"]}}, ("architecture",), "union_tag_invalid"),
        ({"optimizer": {"kind": "rmsprop"}}, ("optimizer",), "union_tag_invalid"),
        ({"optimizer": {"lr": 0}}, ("optimizer", "sgd", "lr"), "greater_than"),
        ({"optimizer": {"lr": 1e39}}, ("optimizer", "sgd", "lr"), "less_than_equal"),
        ({"optimizer": {"momentum": 1}}, ("optimizer", "sgd", "momentum"), "less_than"),
        (
            {"optimizer": {"kind": "adam", "momentum": 0.9}},
            ("optimizer", "adam", "momentum"),
            "extra_forbidden",
        ),
        ({"split": {"train": 0}}, ("split", "train"), "greater_than"),
        ({"split": {"train": 1.1}}, ("split", "train"), "less_than_equal"),
        (
            {"split": {"train": 0.8, "validation": 0.3}},
            ("split", "validation"),
            "split_above_one",
        ),
        ({"split": {"test": 0.2}}, ("split", "test"), "extra_forbidden"),
        ({"split": {"shuffle": "no"}}, ("split", "shuffle"), "bool_type"),
        ({"split": {"train": 0.01}}, ("split", "train"), "split_empty"),
        (
            {
                "data": {"source": "points", "x": [[1, 2], [3, 4]], "y": [1, 2]},
                "architecture": {"kind": "parameters"},
            },
            ("architecture", "kind"),
            "architecture_shape",
        ),
        (
            {"optimizer": {"kind": "lbfgs"}, "batch_size": 8},
            ("batch_size",),
            "batch_with_lbfgs",
        ),
        (
            {"split": {"train": 1}, "early_stopping": {}},
            ("early_stopping",),
            "nothing_to_watch",
        ),
        ({"early_stopping": {"patience": 0}}, ("early_stopping", "patience"), "greater_than_equal"),
        (
            {"architecture": {"kind": "mlp", "batch_norm": True}, "batch_size": 13},
            ("batch_size",),
            "batch_of_one",  # 40 rows: 13, 13, 13 and one
        ),
        (
            {"architecture": {"kind": "mlp", "batch_norm": True}, "batch_size": 1},
            ("batch_size",),
            "batch_of_one",
        ),
    ],
)
def test_refusals_name_the_place(fields: dict[str, Any], place: tuple[Any, ...], code: str) -> None:
    assert _refused(**fields) == (place, code)


def test_batch_norm_trains_on_batches_of_two_and_more() -> None:
    norm = {"kind": "mlp", "batch_norm": True}
    assert spec(architecture=norm, batch_size=19).batch_size == 19  # 40 rows: 19, 19 and two
    assert spec(architecture=norm).batch_size is None


@pytest.mark.parametrize(
    "text",
    [
        '{"optimizer": {"lr": NaN}}',
        '{"optimizer": {"lr": 1e400}}',
        '{"data": {"weight": 1e39}}',
        '{"data": {"weight": "0.7"}}',
        '{"data": {"weight": true}}',
        '{"epochs": 1e3}',
        '{"early_stopping": {"min_delta": Infinity}}',
        "[]",
        '"line"',
        "null",
    ],
)
def test_json_is_taken_strictly(text: str) -> None:
    with pytest.raises(ValidationError):
        TrainingSpec.model_validate_json(text)


@given(
    st.integers(1, 3000),
    st.floats(0.001, 1),
    st.floats(0, 0.999),
)
@quick
def test_split_counts_add_up(rows: int, train: float, validation: float) -> None:
    if train + validation > 1:
        validation = 1 - train
    counts = SplitSpec(train=train, validation=validation).counts(rows)
    assert counts.train == int(train * rows)  # the tutorial's formula
    assert sum(counts) == rows
    assert min(counts) >= 0


@pytest.mark.parametrize(
    ("train", "validation", "rows", "wanted"),
    [
        (0.8, 0, 50, (40, 0, 10)),
        (0.7, 0.2, 10, (7, 2, 1)),
        (0.7, 0.3, 10, (7, 3, 0)),  # 0.7 + 0.3 leaves no test row
        (0.6, 0.2, 7, (4, 1, 2)),
        (1, 0, 7, (7, 0, 0)),
        (0.9, 0.1, 15, (13, 2, 0)),
        (0.1, 0.2, 10, (1, 2, 7)),
    ],
)
def test_split_counts_by_hand(
    train: float, validation: float, rows: int, wanted: tuple[int, int, int]
) -> None:
    assert SplitSpec(train=train, validation=validation).counts(rows) == wanted


_keys = st.sampled_from(
    [*TrainingSpec.model_fields, "source", "kind", "x", "y", "step", "start", "end", "train", "lr"]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_keys, _json, max_size=5))
@quick
def test_whatever_is_sent_is_taken_or_refused(asked: dict[str, Any]) -> None:
    # Nothing a client sends may raise anything but ValidationError: that would be a 500.
    with suppress(ValidationError):
        assert spec(**asked).epochs >= 1
