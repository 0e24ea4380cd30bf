"""An upload: on the disk as it comes, published or gone without a trace."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import service.datasets.intake
from service.datasets.catalogue import Datasets
from service.datasets.intake import RESERVE_BYTES, Intake, Upload, id_of
from service.datasets.reader import StoppedError
from service.entities import Dataset
from service.errors import (
    BadFileError,
    StorageFullError,
    StoreUnavailableError,
    TooLargeError,
    TooManyDatasetsError,
)
from service.settings import Settings
from service.store.database import Database
from tests.service.datasets.faking import fake_reader, pid_in
from tests.service.making import PROFILE, at_once

OPTIONS: dict[str, Any] = {"delimiter": None, "decimal": "point", "text": []}


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "started"
    fake_reader(monkeypatch, file)
    return file


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_dataset_bytes": 100, "max_datasets": 3})


@pytest.fixture
def datasets(database: Database, settings: Settings) -> Datasets:
    return Datasets(database, settings.datasets_dir)


@pytest.fixture
def intake(datasets: Datasets, settings: Settings, started: Path) -> Intake:
    return Intake(datasets, settings)


@pytest.fixture
def upload(intake: Intake) -> Iterator[Upload]:
    upload = intake.open()
    yield upload
    upload.close()


def send(intake: Intake, content: bytes, **options: Any) -> tuple[Dataset, bool]:
    upload = intake.open()
    try:
        for start in range(0, len(content), 2):
            upload.write(content[start : start + 2])
        return upload.finish("houses", "csv", {**OPTIONS, **options})
    finally:
        upload.close()


def names(datasets: Datasets) -> list[str]:
    root = datasets.folder("0" * 32).parent
    return sorted(path.name for path in root.iterdir())


def test_what_was_sent_is_a_dataset(intake: Intake, datasets: Datasets) -> None:
    dataset, is_new = send(intake, b"1\n2\n3\n")
    assert is_new
    assert datasets.get(dataset.id) == dataset
    assert dataset.sha256 == hashlib.sha256(b"1\n2\n3\n").hexdigest()
    assert (dataset.bytes, dataset.rows, dataset.profile) == (6, 3, PROFILE)
    assert (dataset.name, dataset.format, dataset.options) == ("houses", "csv", OPTIONS)
    assert (datasets.folder(dataset.id) / "rows.arrow").read_bytes() == b"1\n2\n3\n"
    assert names(datasets) == [dataset.id], "nothing else is left"


def test_the_same_bytes_read_the_same_way_are_the_same_dataset(
    intake: Intake, datasets: Datasets
) -> None:
    first, _ = send(intake, b"1\n2\n3\n")
    assert send(intake, b"1\n2\n3\n") == (first, False)
    other, is_new = send(intake, b"1\n2\n3\n", decimal="comma")
    assert is_new
    assert names(datasets) == sorted([first.id, other.id])


def test_the_id_is_given_by_bytes_kind_and_options() -> None:
    one = id_of("a" * 64, "csv", OPTIONS)
    assert one == id_of("a" * 64, "csv", dict(reversed(OPTIONS.items())))
    others = [
        id_of("b" * 64, "csv", OPTIONS),
        id_of("a" * 64, "ndjson", OPTIONS),
        *(id_of("a" * 64, "csv", {**OPTIONS, **o}) for o in ({"text": ["a"]}, {"delimiter": ";"})),
    ]
    assert len({one, *others}) == 5
    assert len(one) == 32


def test_the_same_sent_by_many_at_once_is_one_dataset(intake: Intake, datasets: Datasets) -> None:
    results = at_once(5, lambda _: send(intake, b"1\n2\n3\n"))
    assert sorted(is_new for _, is_new in results) == [False] * 4 + [True]
    assert all(dataset == results[0][0] for dataset, _ in results)
    assert names(datasets) == [results[0][0].id]


def test_a_damaged_file_is_made_whole_by_sending_it_again(
    intake: Intake, datasets: Datasets
) -> None:
    dataset, _ = send(intake, b"1\n2\n3\n")
    (datasets.folder(dataset.id) / "rows.arrow").write_bytes(b"damaged")
    assert send(intake, b"1\n2\n3\n") == (dataset, False)
    assert datasets.is_whole(dataset.id)
    assert names(datasets) == [dataset.id]


def test_where_there_is_no_room_for_more_the_same_may_still_be_sent(
    intake: Intake, datasets: Datasets
) -> None:
    kept = [send(intake, f"{i}\n2\n3\n".encode())[0] for i in range(3)]
    with pytest.raises(TooManyDatasetsError):
        send(intake, b"7\n8\n9\n")
    assert send(intake, b"1\n2\n3\n") == (kept[1], False)
    assert len(names(datasets)) == 3


# ---- refused ----


class Refusal(NamedTuple):
    content: bytes
    error: type[Exception]
    words: str


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(b"", BadFileError, "the body is empty"),
        Refusal(b"bad\n", BadFileError, "line 3, column area"),
        Refusal(b"kill\n", BadFileError, "within the memory"),
        Refusal(b"full\n", StorageFullError, "disk"),
        Refusal(b"x" * 101, TooLargeError, "at most 100 are allowed"),
    ],
    ids=lambda refusal: refusal.error.__name__,
)
def test_what_is_refused_leaves_nothing(
    intake: Intake, datasets: Datasets, refusal: Refusal
) -> None:
    with pytest.raises(refusal.error, match=refusal.words):
        send(intake, refusal.content)
    assert names(datasets) == []
    assert datasets.list_newest(9, None) == []


def test_one_that_is_given_up_leaves_nothing(upload: Upload, datasets: Datasets) -> None:
    upload.write(b"1\n")
    assert len(names(datasets)) == 1
    upload.close()
    assert names(datasets) == []


def test_one_that_is_stopped_before_it_is_read_leaves_nothing(
    upload: Upload, datasets: Datasets, started: Path
) -> None:
    upload.write(b"hang\n")
    upload.stop()
    with pytest.raises(StoppedError):
        upload.finish(None, "csv", OPTIONS)
    upload.close()
    assert names(datasets) == []


def test_one_that_is_stopped_while_it_is_read_leaves_nothing(
    upload: Upload, datasets: Datasets, started: Path
) -> None:
    def work(index: int) -> None:
        if index == 0:
            with pytest.raises(StoppedError):
                upload.finish(None, "csv", OPTIONS)
        else:
            pid_in(started)
            upload.stop()

    upload.write(b"hang\n")
    at_once(2, work)
    upload.close()
    assert names(datasets) == []


# ---- a full disk ----


def no_space(*args: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def break_mkdir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", no_space)


def break_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.datasets.intake, "seal", no_space)


def break_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Datasets, "publish", no_space)


def break_the_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", no_space)


def leave_no_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(RESERVE_BYTES))


@pytest.mark.parametrize("code", [errno.EROFS, errno.EIO])
def test_a_disk_that_cannot_be_written_is_told_and_may_be_tried_again(
    intake: Intake, settings: Settings, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    settings.datasets_dir.mkdir()
    with monkeypatch.context() as broken:
        broken.setattr(Path, "mkdir", refuse)
        with pytest.raises(StoreUnavailableError, match="cannot be written; nothing was kept"):
            intake.open()
    intake.open().close()


@pytest.mark.parametrize(
    "fill", [break_mkdir, break_the_spool, break_seal, break_publishing, leave_no_reserve]
)
def test_a_full_disk_is_told_and_nothing_is_kept(
    intake: Intake,
    datasets: Datasets,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fill: Callable[[pytest.MonkeyPatch], None],
) -> None:
    settings.datasets_dir.mkdir()
    with monkeypatch.context() as broken:
        fill(broken)
        with pytest.raises(StorageFullError, match="nothing was kept"):
            send(intake, b"1\n2\n3\n")
    assert "given up" in caplog.text
    assert names(datasets) == []
    assert send(intake, b"1\n2\n3\n")[1]


def test_other_errors_of_the_disk_are_not_called_full(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(service.datasets.intake, "seal", deny)
    with pytest.raises(PermissionError):
        send(intake, b"1\n2\n3\n")
