"""The process that reads a file: its answers, its deaths, and that it can be stopped."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from service.datasets import reader
from service.datasets.reader import Reader, StoppedError
from service.errors import BadFileError, StorageFullError
from tests.e2e.running import alive
from tests.service.datasets.faking import fake_reader, pid_in
from tests.service.making import PROFILE
from tests.waiting import until


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "started"
    fake_reader(monkeypatch, file)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "dataset"
    made.mkdir()
    return made


def source(tmp_path: Path, content: str) -> Path:
    file = tmp_path / "upload"
    file.write_text(content)
    return file


def in_a_thread(reader: Reader, file: Path, folder: Path) -> threading.Thread:
    """Read what hangs until it is stopped."""

    def read() -> None:
        with pytest.raises(StoppedError):
            reader.read(file, folder, {})

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def test_it_writes_the_rows_and_tells_what_they_are(
    tmp_path: Path, folder: Path, started: Path
) -> None:
    assert Reader().read(source(tmp_path, "1\n2\n3\n"), folder, {"kind": "csv"}) == PROFILE
    assert (folder / "rows.arrow").read_text() == "1\n2\n3\n"


def test_what_is_wrong_with_a_file_comes_with_its_place(
    tmp_path: Path, folder: Path, started: Path
) -> None:
    with pytest.raises(BadFileError) as caught:
        Reader().read(source(tmp_path, "bad"), folder, {})
    (fault,) = caught.value.faults
    assert (fault.pointer, fault.line, fault.column) == ("", 3, "area")
    assert fault.detail == caught.value.detail == "line 3, column area: expected a number"


def test_a_full_disk_is_no_fault_of_the_file(tmp_path: Path, folder: Path, started: Path) -> None:
    with pytest.raises(StorageFullError, match="disk of the service is full"):
        Reader().read(source(tmp_path, "full"), folder, {})


@pytest.mark.parametrize(
    ("does", "told", "logged"),
    [
        ("kill", "within the memory", "was killed by SIGKILL"),
        ("bug", "broke off", "a bug of the reader"),
        ("silent", "broke off", "ended with code 0"),
        ("chatty", "broke off", "3001 bytes said"),
        ("nan", "broke off", "ended with code 0"),
    ],
)
def test_a_reader_that_dies_is_logged_and_the_file_is_refused(
    tmp_path: Path,
    folder: Path,
    started: Path,
    caplog: pytest.LogCaptureFixture,
    does: str,
    told: str,
    logged: str,
) -> None:
    with pytest.raises(BadFileError, match=told) as caught:
        Reader().read(source(tmp_path, does), folder, {})
    assert logged in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "bug of the reader" not in caught.value.detail


def test_one_that_cannot_even_start_is_no_matter_of_memory(
    tmp_path: Path, folder: Path, started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It may end before, while or after it is asked; the question fills more than a pipe.
    monkeypatch.setattr(reader, "COMMAND", ("false",))
    for _ in range(20):
        with pytest.raises(BadFileError, match="broke off"):
            Reader().read(source(tmp_path, "1\n"), folder, {"text": ["x" * 100_000]})


def test_an_answer_without_end_is_not_kept_in_memory(
    tmp_path: Path, folder: Path, started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MAX_ANSWER_BYTES", 1000)
    with pytest.raises(BadFileError, match="within the memory"):
        Reader().read(source(tmp_path, "chatty"), folder, {})


def test_the_longest_vocabularies_are_left_out_where_all_are_too_long(
    tmp_path: Path, folder: Path, started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> list[bool]:
        profile = Reader().read(source(tmp_path, "wordy"), folder, {})
        return [column.vocabulary is not None for column in profile.columns]

    assert kept() == [True, True, False, True]
    monkeypatch.setattr(reader, "MAX_VOCABULARY_CHARACTERS", 500)
    assert kept() == [False, True, False, True]
    monkeypatch.setattr(reader, "MAX_VOCABULARY_CHARACTERS", 4)
    assert kept() == [False, False, False, False]


def test_it_is_stopped_from_another_thread(tmp_path: Path, folder: Path, started: Path) -> None:
    hanging = Reader()
    thread = in_a_thread(hanging, source(tmp_path, "hang"), folder)
    pid = pid_in(started)
    hanging.stop()
    hanging.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert not alive(pid)
    with pytest.raises(StoppedError):
        hanging.raise_if_stopped()


def test_it_is_stopped_at_any_moment(tmp_path: Path, folder: Path, started: Path) -> None:
    for delay in range(20):
        hanging = Reader()
        thread = in_a_thread(hanging, source(tmp_path, "hang"), folder)
        time.sleep(delay / 1000)
        hanging.stop()
        thread.join(5)
        assert not thread.is_alive()


def test_one_that_was_stopped_before_does_not_start(
    tmp_path: Path, folder: Path, started: Path
) -> None:
    stopped = Reader()
    stopped.stop()
    with pytest.raises(StoppedError):
        stopped.read(source(tmp_path, "hang"), folder, {})
    assert not started.exists()


def test_it_gives_way_to_those_who_answer(tmp_path: Path, folder: Path, started: Path) -> None:
    hanging = Reader()
    thread = in_a_thread(hanging, source(tmp_path, "hang"), folder)
    pid = pid_in(started)
    try:
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16] == "19"
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
    finally:
        hanging.stop()
        thread.join(5)


def test_it_ends_with_the_process_that_started_it(tmp_path: Path, started: Path) -> None:
    file = source(tmp_path, "hang")
    program = (
        "import service.datasets.reader as r; from tests.service.datasets import faking;"
        "r.COMMAND = faking.COMMAND; from pathlib import Path;"
        f"r.Reader().read(Path({str(file)!r}), Path({str(tmp_path)!r}), {{}})"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    pid = pid_in(started)
    parent.kill()
    parent.wait()
    until(lambda: not alive(pid), "the reader to end", 5)


def test_no_pipe_is_left_open(tmp_path: Path, folder: Path, started: Path) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    Reader().read(source(tmp_path, "1\n"), folder, {})
    before = open_files()
    for content in ("1\n", "bad", "kill", "silent", "full"):
        with suppress(BadFileError, StorageFullError):
            Reader().read(source(tmp_path, content), folder, {})
    assert open_files() == before


def test_polars_is_not_imported_where_requests_are_answered() -> None:
    program = (
        "import sys, service.processes.web, service.jobs.supervisor;"
        "assert 'polars' not in sys.modules, 'polars'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
