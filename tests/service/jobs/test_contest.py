"""New and active version scored on the same rows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ml.artifact import Bundle
from ml.data.encoding import encode
from ml.data.scaling import Scaling
from ml.data.table import Table
from ml.spec.training import LossName
from service.jobs.contest import hold_contest
from service.registry.promotion import decide
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


# ---- categories ----


def painted(words: tuple[str, ...], weights: list[float], name: str = "colour") -> Bundle:
    """y = weight of the colour + area."""
    made = line([*weights, 1.0], 0.0)
    return replace(made, feature_names=(name, "area"), categories={name: words})


def houses(words: tuple[str, ...], codes: list[int], y: list[float]) -> Table:
    """Houses of those colours, with an area of 10 each."""
    numbers_NC, codes_NK = np.full((len(codes), 1), 10.0), np.array(codes)[:, None]
    names, vocabulary = ("colour", "area"), {"colour": words}
    x_NF = torch.from_numpy(encode(numbers_NC, codes_NK, names, vocabulary))
    return Table(x_NF, torch.tensor(y).double()[:, None], names, ("y",), categories=vocabulary)


BLUE_RED = painted(("blue", "red"), [1.0, 3.0])
BLUE_GREEN_RED = painted(("blue", "green", "red"), [1.0, 2.0, 3.0])


def test_rows_are_encoded_anew_for_a_model_of_other_words() -> None:
    table = houses(("blue", "green", "red"), [0, 2, 2], [11.0, 13.0, 13.0])
    held = hold_contest(BLUE_GREEN_RED, BLUE_RED, table, "l1", CPU, 1, False)
    assert (held.new, held.active) == (0, 0)


def test_a_word_that_only_the_active_one_knows_is_what_its_clients_may_send() -> None:
    table = houses(("blue", "red"), [0, 1, 1], [11.0, 13.0, 13.0])
    held = hold_contest(BLUE_RED, BLUE_GREEN_RED, table, "l1", CPU, 1, False)
    promoted, reason = decide("if_better", held)
    assert not promoted
    assert "values of a category that the new one lacks" in reason


def test_a_word_that_the_active_one_has_never_seen_scores_infinitely_badly() -> None:
    table = houses(("blue", "green", "red"), [0, 1], [11.0, 12.0])
    held = hold_contest(BLUE_GREEN_RED, BLUE_RED, table, "l1", CPU, 1, False)
    assert (held.new, held.active) == (0, math.inf)
    promoted, reason = decide("if_better", held)
    assert promoted
    assert reason == "version 1 cannot answer the rows held out, the new one can"


def test_words_in_other_places_are_found_by_their_names() -> None:
    moved = painted(("red", "blue"), [3.0, 1.0])
    table = houses(("blue", "red"), [0, 1], [11.0, 13.0])
    assert hold_contest(BLUE_RED, moved, table, "l1", CPU, 1, False).active == 0


def test_text_in_another_place_cannot_be_compared() -> None:
    table = houses(("blue", "red"), [0, 1], [11.0, 13.0])
    numbers_only = line([1.0, 1.0, 1.0], 0.0)
    two_numbers = line([1.0, 1.0], 0.0, features=("colour", "area"))
    renamed = painted(("blue", "red"), [1.0, 3.0], name="paint")
    for active in (numbers_only, two_numbers, renamed):
        assert hold_contest(BLUE_RED, active, table, "l1", CPU, 1, False).active is None
        assert hold_contest(active, BLUE_RED, table, "l1", CPU, 1, False).active is None


def test_other_targets_cannot_be_compared_where_there_is_text_either() -> None:
    table = houses(("blue", "red"), [0, 1], [11.0, 13.0])
    two = line([[1.0, 3.0, 1.0], [1.0, 3.0, 1.0]], [0.0, 0.0])
    two = replace(two, feature_names=("colour", "area"), categories=BLUE_RED.categories)
    assert hold_contest(BLUE_RED, two, table, "l1", CPU, 1, False).active is None
    # Another name in the same place is a renaming, as it is for numbers.
    renamed = replace(BLUE_RED, target_names=("price",))
    assert hold_contest(BLUE_RED, renamed, table, "l1", CPU, 1, False).active == 0
    wide = replace(two, target_names=("a", "b"))
    moved = replace(two, target_names=("b", "a"))
    both = replace(table, y_NT=table.y_NT.repeat(1, 2), target_names=("a", "b"))
    assert hold_contest(wide, moved, both, "l1", CPU, 1, False).active is None
    assert hold_contest(wide, wide, both, "l1", CPU, 1, False).active == 0


def test_a_number_that_is_called_like_a_word_is_not_taken_for_it() -> None:
    def model(words: tuple[str, ...], weights: list[float]) -> Bundle:
        made = line(weights, 0.0)
        return replace(made, feature_names=("a", "a=x"), categories={"a": words})

    new, active = model(("w", "x"), [1.0, 2.0, 10.0]), model(("x",), [2.0, 10.0])
    numbers_NC, codes_NK = np.array([[5.0], [6.0]]), np.array([[1], [1]])
    vocabulary = {"a": ("w", "x")}
    x_NF = torch.from_numpy(encode(numbers_NC, codes_NK, ("a", "a=x"), vocabulary))
    y_NT = torch.tensor([[52.0], [62.0]]).double()
    table = Table(x_NF, y_NT, ("a", "a=x"), ("y",), categories=vocabulary)
    held = hold_contest(new, active, table, "l1", CPU, 1, False)
    assert (held.new, held.active) == (0, 0)
