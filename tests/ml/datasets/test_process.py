"""`python -m ml.datasets`: one line in, one line out, little memory, no life of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml.datasets.__main__ import CHUNK_BYTES, chunk_bytes
from ml.datasets.ndjson import _BLOCK_BYTES, _UNIFORM_BLOCKS
from ml.datasets.profile import Profile
from ml.datasets.reader import DatasetFile

ROOT = Path(__file__).parents[3]
SECONDS = 60
"""Far beyond what any of this takes."""


def start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ml.datasets"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ask(process: subprocess.Popen[bytes], source: Path, folder: Path, **options: Any) -> None:
    assert process.stdin is not None
    request = {"source": str(source), "folder": str(folder), "options": {"kind": "csv", **options}}
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The answer, once the process has ended by itself and well."""
    assert process.stdout is not None
    with process:
        found: dict[str, Any] = json.loads(process.stdout.readline())
        assert process.wait(SECONDS) == 0
        assert process.stdout.read() == b""
    return found


def test_a_file_becomes_a_profile(tmp_path: Path) -> None:
    source = tmp_path / "rows"
    source.write_text("zip,x\n01067,1.5\n80331,2.5\n")
    process = start()
    ask(process, source, tmp_path, text=["zip"], delimiter=",", max_rows=10)
    profile = Profile.from_json(answer(process)["profile"])
    assert (profile.rows, [c.type for c in profile.columns]) == (2, ["text", "number"])
    assert DatasetFile(tmp_path).rows == 2


def test_one_thread_of_polars_suffices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Blocks of NDJSON are parsed by polars while a query of it waits for them.
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")
    source = tmp_path / "rows"
    values = np.random.default_rng(0).normal(size=(100_000, 4))
    pl.DataFrame(values).write_ndjson(source)
    assert source.stat().st_size > 4 * _UNIFORM_BLOCKS * _BLOCK_BYTES
    process = start()
    ask(process, source, tmp_path, kind="ndjson")
    assert answer(process)["profile"]["rows"] == len(values)


def test_a_bad_file_is_an_answer_too(tmp_path: Path) -> None:
    source = tmp_path / "rows"
    source.write_text("a,b\n" + "1,2\n" * 20 + "1,hunter2\n")
    process = start()
    ask(process, source, tmp_path)
    error = answer(process)["error"]
    assert {key: error[key] for key in ("code", "line", "column")} == {
        "code": "bad_file",
        "line": 22,
        "column": "b",
    }
    assert "found text" in error["message"]
    assert "hunter2" not in json.dumps(error)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_an_answer_too(tmp_path: Path) -> None:
    code = (
        "import errno, os, ml.datasets.ingest as module\n"
        "def full(*_): raise OSError(errno.ENOSPC, 'full')\n"
        "module.ingest = full\n"
        "from ml.datasets.__main__ import answer\n"
        "request = {'source': '/x', 'folder': '/x', 'options': {'kind': 'csv'}}\n"
        "print(answer(request)['error']['code'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "storage_full"


def test_a_request_that_is_none_is_a_crash(tmp_path: Path) -> None:
    process = start()
    _, errors = process.communicate(b"no json\n", SECONDS)
    assert process.returncode not in (0, None)
    assert b"Traceback" in errors


def test_a_failure_of_ours_is_a_crash_that_says_where(tmp_path: Path) -> None:
    process = start()
    ask(process, tmp_path / "no such file", tmp_path)
    # Its input stays open, as it does in the service.
    with process:
        assert process.wait(SECONDS) == 1
        assert process.stderr is not None
        assert b"FileNotFoundError" in process.stderr.read()


def test_it_ends_when_nobody_waits_for_the_answer(tmp_path: Path) -> None:
    # A pipe that nobody writes to: the reading of it takes for ever.
    source = tmp_path / "rows"
    os.mkfifo(source)
    process = start()
    ask(process, source, tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    assert process.stdin is not None
    with process:
        process.stdin.close()
        assert process.wait(SECONDS) == 1


def test_it_gives_way_to_other_processes(tmp_path: Path) -> None:
    source = tmp_path / "rows"
    os.mkfifo(source)
    process = start()
    ask(process, source, tmp_path)
    # Opening returns when the process opens the other end: it is at work by then.
    with source.open("wb") as pipe:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) >= 10
        pipe.write(b"a,b\n")
    with process:
        process.kill()


def test_it_loads_neither_torch_nor_what_it_does_not_need() -> None:
    code = "import sys, ml.datasets.ingest, ml.datasets.reader; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"torch", "pydantic", "matplotlib", "pandas", "pyarrow"} & set(done.stdout.split())


def peak_megabytes(process: subprocess.Popen[bytes]) -> float:
    """The most memory that the process held until now, pages of files among it."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(peak[1]) / 2**10 if peak else 0


@pytest.mark.parametrize(("cells", "share"), [(4, 1.0), (600, 1.2), (1_000, 2.0), (100_000, 2.0)])
def test_chunks_hold_more_bytes_where_rows_are_long(
    tmp_path: Path, cells: int, share: float
) -> None:
    source = tmp_path / "rows"
    # Lines of 40 bytes, 6 KB, 10 KB, and 1 MB, of which the start shows no end.
    source.write_text((",".join(["123456.89"] * cells) + "\n") * 5)
    # 200 rows of 6 KB in each of four threads are 4.8 million bytes.
    assert chunk_bytes(source, 4) * 4 == pytest.approx(share * CHUNK_BYTES, rel=0.06)


def test_the_file_may_be_empty(tmp_path: Path) -> None:
    source = tmp_path / "rows"
    source.touch()
    assert chunk_bytes(source, 4) * 4 == CHUNK_BYTES


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no figures of processes")
@pytest.mark.parametrize("kind", ["swift", "patient"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "rows"
    block = pl.DataFrame(np.random.default_rng(0).normal(size=(100_000, 8)))
    with source.open("wb") as file:
        for number in range(20):
            block.write_csv(file, include_header=number == 0, float_precision=6)
        # What polars' parser refuses, at the end: all of it is read anew, as text.
        file.write(b" - ,1,2,3,4,5,6,7 \n" if kind == "patient" else b"")
    assert source.stat().st_size > 140 * 2**20
    process = start()
    ask(process, source, tmp_path)
    peaks = [0.0]
    while process.poll() is None:
        with suppress(ProcessLookupError):
            peaks.append(peak_megabytes(process))
        time.sleep(0.005)
    assert "profile" in answer(process)
    # As much for 2 GB; polars' own parse of this file takes twice its size.
    assert 50 < max(peaks) < 350
