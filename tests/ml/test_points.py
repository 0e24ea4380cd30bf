"""Points given in full, and the table that they become."""

from __future__ import annotations

import pytest
import torch

from ml.data.points import load_points, numbered
from ml.data.sources import load_table
from ml.data.table import Table
from ml.spec.data import LineSpec, PointsSpec


def test_points_keep_float64() -> None:
    table = load_points(PointsSpec(x=(1e9, 1e9 + 1e-3), y=(0.1, 0.2)), seed=0)
    assert table.x_NF.dtype == table.y_NT.dtype == torch.float64
    assert table.x_NF.shape == table.y_NT.shape == (2, 1)
    assert (table.x_NF[1] - table.x_NF[0]).item() == pytest.approx(1e-3, rel=1e-3)
    assert table.truth is None


def test_rows_keep_their_columns() -> None:
    table = load_points(PointsSpec(x=((1, 2, 3), (4, 5, 6)), y=((7, 8), (9, 10))), seed=0)
    assert table.x_NF.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert table.y_NT.tolist() == [[7, 8], [9, 10]]
    assert (table.feature_names, table.target_names) == (("x1", "x2", "x3"), ("y1", "y2"))


def test_names_are_those_given() -> None:
    spec = PointsSpec(x=((1, 2),), y=(3,), feature_names=("a", "b"), target_names=("price",))
    table = load_points(spec, seed=0)
    assert (table.feature_names, table.target_names) == (("a", "b"), ("price",))


def test_numbered() -> None:
    assert numbered("x", 1) == ("x",)
    assert numbered("y", 3) == ("y1", "y2", "y3")


def test_every_source_has_its_loader() -> None:
    assert len(load_table(LineSpec(), 42)) == 50
    assert len(load_table(PointsSpec(x=(1, 2), y=(3, 4)), 42)) == 2


def _table(**changed: object) -> Table:
    fields: dict[str, object] = {
        "x_NF": torch.arange(6.0).reshape(3, 2),
        "y_NT": torch.ones(3, 1),
        "feature_names": ("a", "b"),
        "target_names": ("y",),
    }
    return Table(**(fields | changed))  # type: ignore[arg-type]


def test_sha256_covers_names_shapes_dtype_and_every_value() -> None:
    others = [
        _table(x_NF=torch.arange(6.0).reshape(3, 2) + torch.eye(3, 2) * 1e-6),
        _table(x_NF=torch.arange(6.0).reshape(3, 2).double()),
        _table(x_NF=torch.arange(6.0).reshape(2, 3)),
        _table(y_NT=torch.full((3, 1), 1.0000001)),
        _table(feature_names=("b", "a")),
        _table(target_names=("z",)),
    ]
    digests = {table.sha256() for table in [_table(), *others]}
    assert len(digests) == 7
    # Values count, not how they lie in memory.
    by_columns = _table(x_NF=torch.arange(6.0).reshape(3, 2).T.contiguous().T)
    assert by_columns.x_NF.stride() != _table().x_NF.stride()
    assert by_columns.sha256() == _table().sha256()
