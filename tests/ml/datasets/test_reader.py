"""The rows of a dataset as arrays."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from ml.datasets.reader import ROWS_FILE, DatasetFile
from ml.errors import CorruptDatasetError, DatasetError, MissingDatasetError
from tests.ml.datasets.reading import read

WORDS = {"t": ("b", "a")}


@pytest.fixture
def file(tmp_path: Path) -> DatasetFile:
    read(tmp_path, "x,t,b,^y$\n1.5,a,true,1\n,b,false,2\n3,c,,3\n4,,true,4\n")
    return DatasetFile(tmp_path)


def test_numbers_and_codes(file: DatasetFile) -> None:
    numbers_NC, codes_NK = file.read(0, 4, ["b", "x", "^y$"], WORDS)
    nan = np.nan
    wanted = [[1, 1.5, 1], [0, nan, 2], [nan, 3, 3], [1, 4, 4]]
    np.testing.assert_array_equal(numbers_NC, wanted)
    np.testing.assert_array_equal(codes_NK, [[1], [0], [-1], [-1]])
    assert (str(numbers_NC.dtype), str(codes_NK.dtype)) == ("float64", "int32")
    assert numbers_NC.flags.c_contiguous
    assert codes_NK.flags.c_contiguous
    assert file.rows == 4


@pytest.mark.parametrize(
    ("start", "stop", "rows"), [(1, 3, 2), (0, 0, 0), (3, 9, 1), (7, 9, 0), (-2, 1, 1), (3, 1, 0)]
)
def test_slices_stay_within_the_rows(file: DatasetFile, start: int, stop: int, rows: int) -> None:
    numbers_NC, codes_NK = file.read(start, stop, ["x"], WORDS)
    assert numbers_NC.shape == (rows, 1)
    assert codes_NK.shape == (rows, 1)


def test_no_columns(file: DatasetFile) -> None:
    numbers_NC, codes_NK = file.read(0, 4, [], {})
    assert (numbers_NC.shape, codes_NK.shape) == ((4, 0), (4, 0))


def test_a_column_twice(file: DatasetFile) -> None:
    numbers_NC, _ = file.read(0, 1, ["x", "x"], {})
    assert numbers_NC.tolist() == [[1.5, 1.5]]


def test_columns_that_are_not_what_is_asked(file: DatasetFile) -> None:
    with pytest.raises(DatasetError, match="no column 'z'"):
        file.read(0, 1, ["z"], {})
    with pytest.raises(DatasetError, match="'t' holds no numbers"):
        file.read(0, 1, ["t"], {})
    with pytest.raises(DatasetError, match="'x' holds no text"):
        file.read(0, 1, [], {"x": ("1",)})


def test_blocks_are_the_rows_in_order(tmp_path: Path) -> None:
    count = 30_011
    content = "i,t\n" + "".join(f"{i},w{i % 7}\n" for i in range(count))
    read(tmp_path, content)
    file = DatasetFile(tmp_path)
    words = tuple(f"w{i}" for i in reversed(range(7)))
    blocks = list(file.blocks(["i"], {"t": words}, 1_000))
    assert [len(numbers) for numbers, _ in blocks] == [1_000] * 30 + [11]
    whole = np.concatenate([numbers for numbers, _ in blocks])
    np.testing.assert_array_equal(whole[:, 0], np.arange(count))
    codes = np.concatenate([codes for _, codes in blocks])
    np.testing.assert_array_equal(codes[:, 0], 6 - np.arange(count) % 7)


def test_rows_keep_the_order_of_the_file_whichever_thread_read_them(tmp_path: Path) -> None:
    count = 700_000
    read(tmp_path, "i,j\n" + "".join(f"{i},{-i}\n" for i in range(count)))
    numbers_NC, _ = DatasetFile(tmp_path).read(0, count, ["i", "j"], {})
    np.testing.assert_array_equal(numbers_NC[:, 0], np.arange(count))
    np.testing.assert_array_equal(numbers_NC[:, 1], -np.arange(count))


def test_threads_may_read_at_once(tmp_path: Path) -> None:
    read(tmp_path, "i,j\n" + "".join(f"{i},1\n" for i in range(10_000)))
    file = DatasetFile(tmp_path)
    sums: list[float] = []

    def add() -> None:
        sums.append(sum(float(numbers.sum()) for numbers, _ in file.blocks(["i"], {}, 999)))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [10_000 * 9_999 / 2] * 4


def test_there_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(MissingDatasetError, match=ROWS_FILE):
        DatasetFile(tmp_path)


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"no rows at all", b"ARROW1" + b"x" * 1000])
def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ROWS_FILE).write_bytes(content)
    with pytest.raises(CorruptDatasetError):
        DatasetFile(tmp_path)


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    read(tmp_path, "i,j\n" + "1,2\n" * 1_000)
    path = tmp_path / ROWS_FILE
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CorruptDatasetError):
        DatasetFile(tmp_path)
