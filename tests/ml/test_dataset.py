"""Columns of a dataset become rows to train on: in memory, and streamed from disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ml.data.dataset import DatasetFiles
from ml.data.rowfile import Layout, RowFileWriter, buckets_for
from ml.data.sources import Loaded, load_parts
from ml.data.split import Parts
from ml.data.table import Rows
from ml.datasets.ingest import ingest
from ml.datasets.options import ReadOptions
from ml.datasets.profile import Profile
from ml.errors import DataError
from ml.spec.dataset import DATASETS, DatasetSpec
from ml.spec.training import TrainingSpec

ID = "0123456789abcdef0123456789abcdef"
IN_MEMORY, STREAMED = 10**9, 1


class Shelf:
    """One dataset, made of a CSV."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        source = folder / "rows.csv"
        source.write_text(text)
        (folder / "kept").mkdir()
        self.profile: Profile = ingest(source, folder / "kept", ReadOptions(kind="csv"))
        self._made = 0

    def spec(self, target: str | list[str], **fields: Any) -> TrainingSpec:
        """A training on the dataset; ``fields`` with a dot-free name are of its data."""
        training = fields.pop("training", {})
        data = {"source": "dataset", "dataset": ID, "target": target, **fields}
        return TrainingSpec.model_validate(
            {"data": data, **training}, context={DATASETS: self._find}
        )

    def load(self, spec: TrainingSpec, memory_bytes: int) -> Loaded:
        self._made += 1
        scratch = self.folder / f"scratch-{self._made}"
        return load_parts(spec, DatasetFiles(lambda _: self.folder / "kept", scratch, memory_bytes))

    def _find(self, dataset_id: str) -> Profile:
        assert dataset_id == ID
        return self.profile


MakeShelf = Callable[[str], Shelf]


@pytest.fixture
def shelf(tmp_path: Path) -> MakeShelf:
    return lambda text: Shelf(tmp_path, text)


def _csv(rows: int, columns: str = "a,b,y") -> str:
    lines = [columns]
    lines += [
        ",".join(str(10 * row + place) for place in range(len(columns.split(","))))
        for row in range(rows)
    ]
    return "\n".join(lines) + "\n"


def _all(rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    blocks = list(rows.blocks())
    return torch.cat([x for x, _ in blocks]), torch.cat([y for _, y in blocks])


def _everything(parts: Parts[Rows]) -> list[tuple[float, ...]]:
    found: list[tuple[float, ...]] = []
    for rows in (parts.train, parts.validation, parts.test):
        if len(rows):
            x_NF, y_NT = _all(rows)
            found += [tuple(row) for row in torch.cat([x_NF, y_NT], dim=1).tolist()]
    return sorted(found)


# ---- which columns ----


def test_features_are_all_other_numbers_unless_named(shelf: MakeShelf) -> None:
    made = shelf("a,name,b,on,day,y\n1,anna,2,true,2024-01-01,3\n4,otto,5,false,2024-01-02,6\n")
    assert isinstance((data := made.spec("y").data), DatasetSpec)
    assert data.features == ("a", "b", "on")
    assert data.left_out == ("name", "day")
    assert isinstance((data := made.spec(["y", "a"]).data), DatasetSpec)
    assert data.features == ("b", "on")
    assert isinstance((data := made.spec("y", categories=["name"]).data), DatasetSpec)
    assert data.features == ("a", "name", "b", "on")
    assert (data.feature_count, data.vocabularies) == (5, {"name": ("anna", "otto")})


@pytest.mark.parametrize(
    ("fields", "where", "words"),
    [
        ({"target": "z"}, ("target",), "has no column z; it has a, name, gap, day, y"),
        ({"target": ["y", "z"]}, ("target", 1), "no column z"),
        ({"target": ["y", "y"]}, ("target", 1), "named twice"),
        ({"target": "name"}, ("target",), "holds text: a target must be numbers"),
        ({"target": "y", "features": ["a", "q"]}, ("features", 1), "no column q"),
        ({"target": "y", "features": ["a", "y"]}, ("features", 1), "is the target"),
        ({"target": "y", "features": ["a", "a"]}, ("features", 1), "named twice"),
        ({"target": "y", "features": ["name"]}, ("features", 0), "name it in `categories`"),
        ({"target": "y", "features": ["day"]}, ("features", 0), "dates: turn them into numbers"),
        ({"target": "y", "categories": ["a"]}, ("categories", 0), "with \\?text=a"),
        (
            {"target": "y", "features": ["a"], "categories": ["name"]},
            ("categories", 0),
            "not among the features",
        ),
        ({"target": "y", "features": ["gap"]}, ("features", 0), "1 of the 2 cells of column gap"),
        ({"target": "y"}, ("features", 1), '"missing": "drop"'),
        ({"target": "y", "features": []}, ("features",), "at least 1 item"),
        ({"target": "y", "missing": "guess"}, ("missing",), "refuse"),
    ],
)
def test_a_column_that_cannot_be_meant_is_named(
    shelf: MakeShelf, fields: dict[str, Any], where: tuple[Any, ...], words: str
) -> None:
    made = shelf("a,name,gap,day,y\n1,anna,,2024-01-01,3\n4,otto,5,2024-01-02,6\n")
    with pytest.raises(ValidationError, match=words) as caught:
        made.spec(**fields)
    place = caught.value.errors()[0]["loc"]
    location = tuple(part for part in place if part not in ("name", "names"))
    assert location == ("data", "dataset", *where)


def test_without_a_number_beside_the_target_there_is_nothing_to_learn_from(
    shelf: MakeShelf,
) -> None:
    with pytest.raises(ValidationError, match="no column of numbers is left"):
        shelf("name,y\nanna,1\notto,2\n").spec("y")


def test_where_no_datasets_are_known_none_can_be_asked_for() -> None:
    data = {"source": "dataset", "dataset": ID, "target": "y"}
    with pytest.raises(ValidationError, match="known to the service only"):
        TrainingSpec.model_validate({"data": data})


# ---- the same rows, in memory and from disk ----


@pytest.mark.parametrize("memory", [IN_MEMORY, STREAMED])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_row_is_in_one_part_and_the_counts_are_those_of_the_split(
    shelf: MakeShelf, memory: int, shuffle: bool
) -> None:
    made = shelf(_csv(1000))
    split = {"train": 0.7, "validation": 0.1, "shuffle": shuffle}
    loaded = made.load(made.spec("y", training={"split": split}), memory)
    parts = loaded.parts
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (700, 100, 200)
    tens = [10.0 * row for row in range(1000)]
    assert _everything(parts) == [(ten, ten + 1, ten + 2) for ten in tens]
    assert (sorted(_all(parts.train)[0][:, 0].tolist()) == tens[:700]) != shuffle
    assert loaded.dropped_rows == 0


def test_streaming_gives_the_same_parts_for_the_same_seed_only(shelf: MakeShelf) -> None:
    made = shelf(_csv(500))

    def test_rows(seed: int) -> list[float]:
        loaded = made.load(made.spec("y", training={"seed": seed}), STREAMED)
        return sorted(_all(loaded.parts.test)[1][:, 0].tolist())

    assert test_rows(1) == test_rows(1)
    assert test_rows(1) != test_rows(2)


def test_each_row_is_as_likely_as_any_other_to_be_held_out(shelf: MakeShelf) -> None:
    made = shelf(_csv(50))
    counts = dict.fromkeys(range(50), 0)
    for seed in range(300):
        loaded = made.load(made.spec("y", training={"seed": seed}), STREAMED)
        for y in _all(loaded.parts.test)[1][:, 0].tolist():
            counts[int(y) // 10] += 1
    # 300 draws with p = 0.2: mean 60, deviation 6.9; five of these either way.
    assert min(counts.values()) > 25
    assert max(counts.values()) < 95


@pytest.mark.parametrize("memory", [IN_MEMORY, STREAMED])
def test_incomplete_rows_are_left_out_and_counted(shelf: MakeShelf, memory: int) -> None:
    made = shelf("a,kind,y\n1,u,1\n,u,2\n3,,3\n4,v,\n5,v,5\n6,u,6\n")
    spec = made.spec("y", categories=["kind"], missing="drop", training={"split": {"train": 1}})
    loaded = made.load(spec, memory)
    assert loaded.dropped_rows == 3
    assert _everything(loaded.parts) == [(1, 1, 0, 1), (5, 0, 1, 5), (6, 1, 0, 6)]


def test_a_gap_in_a_column_that_is_not_used_leaves_no_row_out(shelf: MakeShelf) -> None:
    made = shelf("a,b,y\n1,,1\n2,,2\n3,3,3\n")
    loaded = made.load(made.spec("y", features=["a"]), IN_MEMORY)
    assert (loaded.dropped_rows, len(loaded.parts.train)) == (0, 3)


@pytest.mark.parametrize("memory", [IN_MEMORY, STREAMED])
def test_where_no_row_is_complete_that_is_said(shelf: MakeShelf, memory: int) -> None:
    made = shelf("a,y\n1,\n,2\n")
    with pytest.raises(DataError, match="each of the 2 rows"):
        made.load(made.spec("y", missing="drop"), memory)


@pytest.mark.parametrize("memory", [IN_MEMORY, STREAMED])
def test_a_category_becomes_one_column_for_each_word(shelf: MakeShelf, memory: int) -> None:
    made = shelf("size,color,shape,y\n1,red,o,1\n2,blue,x,2\n3,red,x,3\n")
    spec = made.spec(
        "y",
        features=["shape", "size", "color"],
        categories=["color", "shape"],
        training={"split": {"train": 1, "shuffle": False}},
    )
    train = made.load(spec, memory).parts.train
    assert train.column_names == ("shape=o", "shape=x", "size", "color=blue", "color=red")
    x_NF, y_N1 = _all(train)
    rows = {y: x for x, (y,) in zip(x_NF.tolist(), y_N1.tolist(), strict=True)}
    assert rows == {1: [1, 0, 1, 0, 1], 2: [0, 1, 2, 1, 0], 3: [0, 1, 3, 0, 1]}


def test_the_digest_tells_the_columns_apart(shelf: MakeShelf) -> None:
    made = shelf(_csv(20))
    digests = [
        made.load(made.spec(target, **fields), memory).sha256
        for target, fields, memory in (
            ("y", {}, IN_MEMORY),
            ("y", {}, STREAMED),
            ("y", {"features": ["a"]}, IN_MEMORY),
            ("b", {}, IN_MEMORY),
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_training_without_files_cannot_read_a_dataset(shelf: MakeShelf) -> None:
    with pytest.raises(DataError, match="no datasets here"):
        load_parts(shelf(_csv(3)).spec("y"))


# ---- files of rows ----


def test_buckets_hold_every_row_once_in_an_order_that_changes(tmp_path: Path) -> None:
    layout = Layout(("a",), ("y",))
    writer = RowFileWriter(tmp_path / "rows", layout, 5, np.random.default_rng(0))
    values = np.arange(2000, dtype=np.float64).reshape(1000, 2)
    for block in np.array_split(values, 7):
        writer.write(block)
    rows = writer.finish()
    assert len(rows) == 1000
    assert len(rows.buckets) == 5
    generator = torch.Generator().manual_seed(3)
    orders = []
    for _ in range(2):
        order = torch.cat([x for x, _ in rows.shuffled_buckets(generator)])[:, 0].tolist()
        assert sorted(order) == values[:, 0].tolist()
        orders.append(order)
    assert orders[0] != orders[1]
    again = torch.cat([x for x, _ in rows.shuffled_buckets(torch.Generator().manual_seed(3))])
    assert again[:, 0].tolist() == orders[0]


@pytest.mark.parametrize("most", [1, 10, 999, 1000, 5000])
def test_a_sample_has_as_many_rows_as_there_may_be(tmp_path: Path, most: int) -> None:
    writer = RowFileWriter(tmp_path / "rows", Layout(("a",), ("y",)), 4, np.random.default_rng(0))
    writer.write(np.arange(2000, dtype=np.float64).reshape(1000, 2))
    sample = writer.finish().sample(most)
    assert len(sample) == min(most, 1000)
    assert len(set(sample.x_NF[:, 0].tolist())) == len(sample)


def test_there_are_as_many_buckets_as_rows_need_and_files_allow() -> None:
    assert buckets_for(0, 3) == buckets_for(1000, 3) == 1
    assert buckets_for(10_000_000, 4) == 20
    assert buckets_for(10**12, 4) == 256
