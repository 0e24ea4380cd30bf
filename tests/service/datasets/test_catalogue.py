"""Datasets as rows and folders: published at once or not at all, swept, deleted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from service.datasets.catalogue import Datasets
from service.datasets.folders import ROWS, SEAL, DatasetFolders, is_sealed, seal
from service.entities import NewDataset
from service.errors import DatasetInUseError, DatasetNotFoundError, TooManyDatasetsError
from service.settings import Settings
from service.store.database import Database
from service.store.datasets import DatasetStore
from tests.service.making import NOW, PROFILE, PowerCutError, at_once, new_dataset, new_job

HOUR = 3600.0


@pytest.fixture
def root(settings: Settings) -> Path:
    return settings.datasets_dir


@pytest.fixture
def datasets(database: Database, root: Path) -> Datasets:
    return Datasets(database, root)


def finished(datasets: Datasets, rows: bytes = b"rows") -> Path:
    """What an upload has made, ready to be published."""
    folder = datasets.new_workbench() / "dataset"
    folder.mkdir()
    (folder / ROWS).write_bytes(rows)
    seal(folder)
    return folder


def publish(datasets: Datasets, new: NewDataset | None = None) -> str:
    folder = finished(datasets)
    published, _ = datasets.publish(new or new_dataset(), folder, mends=False, most=100)
    datasets.discard(folder.parent)
    return published.id


def grow_old(root: Path, seconds: float = 2 * HOUR) -> None:
    then = time.time() - seconds
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


# ---- find ----


def test_what_was_published_is_found(datasets: Datasets, root: Path) -> None:
    new = new_dataset()
    folder = finished(datasets)
    published, is_new = datasets.publish(new, folder, mends=False, most=1)
    assert is_new
    assert published == datasets.get(new.id) == datasets.find(new.id)
    assert published.profile == datasets.facts(new.id) == PROFILE
    assert (published.rows, published.name, published.bytes) == (3, "houses", 42)
    assert datasets.folder(new.id) == root / new.id
    assert (datasets.folder(new.id) / ROWS).read_bytes() == b"rows"
    assert datasets.is_whole(new.id)


@pytest.mark.parametrize("wrong", ["0" * 32, "..", "../artifacts", "A" * 32, "", "0" * 32 + "\n"])
def test_what_was_not_is_not(datasets: Datasets, wrong: str) -> None:
    asked: list[Callable[[str], object]] = [datasets.get, datasets.facts, datasets.delete]
    for ask in asked:
        with pytest.raises(DatasetNotFoundError):
            ask(wrong)
    if wrong != "0" * 32:
        with pytest.raises(DatasetNotFoundError):
            datasets.folder(wrong)


def test_lists_are_newest_first_without_profiles(datasets: Datasets) -> None:
    ids = [publish(datasets) for _ in range(5)]
    first = datasets.list_newest(3, None)
    assert [dataset.id for dataset in first] == ids[:1:-1]
    assert all(dataset.profile is None and dataset.rows == 3 for dataset in first)
    rest = datasets.list_newest(3, first[-1].number)
    assert [dataset.id for dataset in rest] == [ids[1], ids[0]]


# ---- publish ----


def test_the_same_published_by_many_at_once_is_one_dataset(datasets: Datasets, root: Path) -> None:
    new = new_dataset()
    folders = [finished(datasets) for _ in range(6)]
    results = at_once(6, lambda i: datasets.publish(new, folders[i], mends=False, most=1))
    assert sorted(is_new for _, is_new in results) == [False] * 5 + [True]
    assert all(dataset == results[0][0] for dataset, _ in results)
    for folder in folders:
        datasets.discard(folder.parent)
    assert names(root) == [new.id]
    assert datasets.is_whole(new.id)


def test_one_more_than_are_allowed_is_refused(datasets: Datasets, root: Path) -> None:
    publish(datasets)
    datasets.require_room(2)
    folder = finished(datasets)
    with pytest.raises(TooManyDatasetsError, match="REFIT_MAX_DATASETS"):
        datasets.publish(new_dataset(), folder, mends=False, most=1)
    with pytest.raises(TooManyDatasetsError, match="delete one"):
        datasets.require_room(1)
    datasets.discard(folder.parent)
    assert len(names(root)) == len(datasets.list_newest(9, None)) == 1


def test_a_power_cut_between_file_and_row_leaves_an_orphan_that_gives_way(
    datasets: Datasets, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = new_dataset()

    def cut(self: DatasetStore, *args: object) -> None:
        raise PowerCutError

    monkeypatch.setattr(DatasetStore, "add", cut)
    with pytest.raises(PowerCutError):
        datasets.publish(new, finished(datasets, b"first"), mends=False, most=1)
    assert datasets.find(new.id) is None
    assert (root / new.id / ROWS).read_bytes() == b"first"
    monkeypatch.undo()
    datasets.publish(new, finished(datasets, b"second"), mends=False, most=1)
    assert (root / new.id / ROWS).read_bytes() == b"second"


@pytest.mark.parametrize("damage", ["flip", "cut", "no seal", "no rows", "gone", "unreadable"])
def test_damage_is_noticed_and_mended(datasets: Datasets, root: Path, damage: str) -> None:
    new = new_dataset()
    publish(datasets, new)
    folder = root / new.id
    match damage:
        case "flip":
            (folder / ROWS).write_bytes(b"rowz")
        case "cut":
            (folder / ROWS).write_bytes(b"")
        case "no seal":
            (folder / SEAL).unlink()
        case "no rows":
            (folder / ROWS).unlink()
        case "gone":
            DatasetFolders(root).remove(folder)
        case "unreadable":
            (folder / SEAL).write_bytes(b"\xff")
    assert not datasets.is_whole(new.id)
    other = replace(new, profile=replace(PROFILE, rows=9), name="another")
    mended, is_new = datasets.publish(other, finished(datasets), mends=True, most=1)
    assert not is_new
    assert datasets.is_whole(new.id)
    assert (mended.rows, mended.name) == (9, "houses")
    assert datasets.facts(new.id).rows == 9


def test_what_is_sealed_is_on_the_disk_before_its_row(
    datasets: Datasets, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    fsync, rename, add = os.fsync, Path.rename, DatasetStore.add

    def see_fsync(descriptor: int) -> None:
        order.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def see_rename(self: Path, target: Path) -> Path:
        if self.exists():
            order.append(f"rename {self.name}")
        return rename(self, target)

    def see_add(self: DatasetStore, *args: object) -> object:
        order.append("row")
        return add(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", see_fsync)
    monkeypatch.setattr(Path, "rename", see_rename)
    monkeypatch.setattr(DatasetStore, "add", see_add)
    publish(datasets)
    assert order == [
        "fsync data",  # The folder of all datasets was made.
        *(f"fsync {name}" for name in (ROWS, SEAL, "dataset")),
        *("rename dataset", "fsync datasets", "row"),
    ]


# ---- delete ----


def test_deleting_takes_row_and_file(datasets: Datasets, root: Path) -> None:
    kept, doomed = publish(datasets), publish(datasets)
    datasets.delete(doomed)
    assert names(root) == [kept]
    with pytest.raises(DatasetNotFoundError):
        datasets.delete(doomed)
    assert datasets.get(kept)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_one_that_a_job_reads_is_not_deleted(
    datasets: Datasets, database: Database, state: str
) -> None:
    here = publish(datasets)
    with database.write() as stores:
        job = stores.jobs.add(replace(new_job(), dataset=here), NOW)
        if state == "running":
            stores.jobs.claim(NOW)
    with pytest.raises(DatasetInUseError, match="cancel it first"):
        datasets.delete(here)
    assert datasets.get(here)
    assert datasets.is_whole(here)
    with database.write() as stores:
        stores.jobs.request_cancel(job.id, NOW)
        stores.jobs.cancel_running(job.id, 1, NOW)
    datasets.delete(here)
    with database.read() as stores:
        assert stores.jobs.get(job.id).dataset == here, "an ended job tells what it read"


def test_a_file_that_is_published_while_it_is_deleted_stays(
    datasets: Datasets, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = new_dataset()
    publish(datasets, new)
    put_aside = Datasets._put_aside_orphans

    def publish_first(self: Datasets, orphans: list[str]) -> None:
        publish(datasets, new)
        put_aside(self, orphans)

    monkeypatch.setattr(Datasets, "_put_aside_orphans", publish_first)
    datasets.delete(new.id)
    assert datasets.get(new.id)
    assert datasets.is_whole(new.id)


def test_many_who_publish_and_delete_at_once_leave_no_row_without_file(
    datasets: Datasets, root: Path
) -> None:
    new = new_dataset()

    def work(index: int) -> None:
        for _ in range(10):
            if index % 2:
                publish(datasets, new)
            else:
                try:
                    datasets.delete(new.id)
                except DatasetNotFoundError:
                    continue

    at_once(4, work)
    if datasets.find(new.id) is not None:
        assert datasets.is_whole(new.id)
    assert set(names(root)) <= {new.id}


# ---- sweep ----


def test_the_sweep_takes_what_no_row_names_once_it_is_old(datasets: Datasets, root: Path) -> None:
    kept = publish(datasets)
    orphan = root / ("f" * 32)
    finished(datasets).rename(orphan)
    datasets.new_workbench()
    datasets.sweep(HOUR)
    assert len(names(root)) == 4
    grow_old(root)
    young = datasets.new_workbench()
    datasets.sweep(HOUR)
    assert names(root) == sorted([kept, young.name])
    assert datasets.is_whole(kept)


def test_an_upload_that_still_writes_is_not_swept(datasets: Datasets, root: Path) -> None:
    workbench = datasets.new_workbench()
    spool = workbench / "upload"
    spool.write_bytes(b"a")
    grow_old(root)
    spool.write_bytes(b"ab")
    datasets.sweep(HOUR)
    assert spool.exists()


def test_a_sweep_before_anything_was_sent_does_nothing(datasets: Datasets, root: Path) -> None:
    datasets.sweep(HOUR)
    assert not root.exists()


def test_an_orphan_that_is_published_again_while_it_is_swept_stays(
    datasets: Datasets, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = new_dataset()
    finished(datasets).rename(root / new.id)
    grow_old(root)
    older_than = DatasetFolders.older_than

    def publish_then(self: DatasetFolders, seconds: float) -> list[str]:
        old = older_than(self, seconds)
        publish(datasets, new)
        return old

    monkeypatch.setattr(DatasetFolders, "older_than", publish_then)
    datasets.sweep(HOUR)
    assert datasets.is_whole(new.id)
    assert is_sealed(root / new.id)
