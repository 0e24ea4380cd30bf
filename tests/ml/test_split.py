"""Train, validation and test part of a table."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml.data.line import load_line
from ml.data.split import Parts, split_table
from ml.data.table import Table
from ml.errors import DataError
from ml.spec.data import LineSpec
from ml.spec.training import SplitSpec
from tests.ml.making import quick
from tests.ml.tutorial import Data


def _numbered_rows(rows: int) -> Table:
    """Rows that say which they are: x = row, y = -row."""
    x_N1 = torch.arange(rows, dtype=torch.float64)[:, None]
    return Table(x_N1, -x_N1, ("x",), ("y",))


def _rows(part: Table) -> list[float]:
    assert torch.equal(part.y_NT, -part.x_NF)  # x and y of a row stay together
    return [float(x) for x in part.x_NF[:, 0]]


def test_the_tutorials_split_bit_by_bit() -> None:
    parts = split_table(load_line(LineSpec(), 42), SplitSpec(), 42)
    data = Data()
    assert torch.equal(parts.train.x_NF, data.X_train)
    assert torch.equal(parts.train.y_NT, data.y_train)
    assert torch.equal(parts.test.x_NF, data.X_test)
    assert torch.equal(parts.test.y_NT, data.y_test)
    assert len(parts.validation) == 0


@given(
    rows=st.integers(1, 400),
    train=st.floats(0.01, 1),
    validation=st.floats(0, 0.99),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
)
@quick
def test_parts_are_disjoint_and_complete(
    rows: int, train: float, validation: float, shuffle: bool, seed: int
) -> None:
    spec = SplitSpec(train=train, validation=min(validation, 1 - train), shuffle=shuffle)
    if int(train * rows) == 0:
        with pytest.raises(DataError, match="no row to train on"):
            split_table(_numbered_rows(rows), spec, seed)
        return
    parts = split_table(_numbered_rows(rows), spec, seed)
    found = [_rows(part) for part in (parts.train, parts.validation, parts.test)]
    assert len(found[0]) == int(train * rows)
    together = [*chain.from_iterable(found)]
    assert sorted(together) == list(range(rows))
    if not shuffle:
        assert together == sorted(together)


def test_shuffle_depends_on_the_seed_alone() -> None:
    table, spec = _numbered_rows(100), SplitSpec(shuffle=True)
    torch.manual_seed(1)
    once = _rows(split_table(table, spec, 7).train)
    torch.manual_seed(2)
    assert _rows(split_table(table, spec, 7).train) == once
    assert _rows(split_table(table, spec, 8).train) != once
    assert once != sorted(once)


def test_shuffle_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    split_table(_numbered_rows(10), SplitSpec(shuffle=True), 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_names_and_truth_go_with_every_part() -> None:
    parts = split_table(load_line(LineSpec(), 42), SplitSpec(train=0.6, validation=0.2), 42)
    for part in (parts.train, parts.validation, parts.test):
        assert (part.feature_names, part.target_names) == (("x",), ("y",))
        assert part.truth is not None


def test_held_out_is_test_else_validation_else_train() -> None:
    one, two, none = _numbered_rows(1), _numbered_rows(2), _numbered_rows(0)
    assert Parts(_numbered_rows(3), two, one).held_out is one
    assert Parts(_numbered_rows(3), two, none).held_out is two
    train = _numbered_rows(3)
    assert Parts(train, none, none).held_out is train
