"""How long a file of rows takes to become a dataset, beside polars' own parse; and the memory.

    python benchmarks/ingest.py [--rounds 5] [--case numbers] [--json FILE] [--folder /tmp]

Each round runs every contestant once, in turn, each in a fresh process whose start counts, so that
a machine whose speed drifts slows both; and both give way to other processes, as Refit's does by
itself, so that a busy machine slows neither more. polars' parse leaves nothing on disk. Memory is
the peak of resident pages (`VmHWM`), pages of mapped files among them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ml.datasets.__main__ import NICENESS

BLOCK_ROWS = 500_000
Measured = tuple[float, float]
"""Seconds, and MB at the peak."""

POLARS = """
import sys
import polars
getattr(polars, "read_" + sys.argv[1])(sys.argv[2])
"""


@dataclass(frozen=True)
class Case:
    """A file to read."""

    title: str
    rows: int
    numbers: int
    texts: bool = False
    gaps: bool = False
    kind: str = "csv"


CASES = {
    "numbers": Case("10,000,000 rows × 4 numbers", 10_000_000, 4),
    "gaps": Case(
        "10,000,000 rows × 4 numbers, one cell in 20 missing in three of them",
        10_000_000,
        4,
        gaps=True,
    ),
    "text": Case("4,000,000 rows × 4 numbers, a category, a long text", 4_000_000, 4, True),
    "large": Case("26,000,000 rows × 8 numbers, 2 GB", 26_000_000, 8),
    "wide": Case("100,000 rows × 1,000 numbers", 100_000, 1_000),
    "ndjson": Case("1,000,000 rows × 4 numbers", 1_000_000, 4, kind="ndjson"),
    "parquet": Case("10,000,000 rows × 4 numbers", 10_000_000, 4, kind="parquet"),
}


def write(case: Case, path: Path) -> None:
    """The file of the case; the same bytes each time."""
    generator = np.random.default_rng(0)
    block_rows = max(1_000, min(BLOCK_ROWS, 2_000_000 // case.numbers))
    if case.kind == "parquet":
        _frame(case, case.rows, generator).write_parquet(path)
        return
    with path.open("wb") as file:
        for start in range(0, case.rows, block_rows):
            frame = _frame(case, min(block_rows, case.rows - start), generator)
            if case.kind == "csv":
                frame.write_csv(file, include_header=start == 0, float_precision=6)
            else:
                frame.write_ndjson(file)


def _frame(case: Case, rows: int, generator: np.random.Generator) -> pl.DataFrame:
    columns: dict[str, Any] = {}
    if case.texts:
        cities = np.array(["Paris", "Berlin", "New York, NY", "Tōkyō"])
        columns["city"] = cities[generator.integers(0, 4, rows)]
        numbers = generator.integers(0, 1 << 40, rows)
        columns["note"] = [f"a longer text with the number {number}" for number in numbers]
    for number in range(case.numbers):
        columns[f"x{number}"] = generator.normal(size=rows) * 10
    frame = pl.DataFrame(columns)
    if case.gaps:
        missing = {name: pl.Series(generator.random(rows) < 0.05) for name in frame.columns}
        frame = frame.with_columns(
            # The first has none: a row without any value is left out.
            pl.when(~missing[name]).then(pl.col(name)).alias(name)
            for name in frame.columns[1:]
        )
    return frame


def parse(path: Path, case: Case) -> Measured:
    """polars' own parse into memory."""
    command = ["nice", "-n", str(NICENESS), sys.executable, "-c", POLARS, case.kind, str(path)]
    return _measure(lambda: subprocess.Popen(command))  # noqa: S603


def ingest(path: Path, case: Case) -> Measured:
    """`python -m ml.datasets`: rows on disk, durable, and their profile."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        request = {"source": str(path), "folder": folder, "options": {"kind": case.kind}}
        command = [sys.executable, "-m", "ml.datasets"]

        def start() -> subprocess.Popen[bytes]:
            process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert process.stdin is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            assert process.stdout is not None
            answer = json.loads(process.stdout.readline())
            assert answer["profile"]["rows"] == case.rows, answer
            return process

        return _measure(start)


def _measure(start: Callable[[], subprocess.Popen[bytes]]) -> Measured:
    began = time.perf_counter()
    process = start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    assert process.returncode == 0, process.returncode
    return seconds, usage.ru_maxrss / 1024


def run(case: Case, folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds and ratio, and greatest memory of each contestant, one uncounted round
    first."""
    path = folder / f"rows.{case.kind}"
    # In a process of its own: the peak of a child begins at what its parent holds.
    writer = multiprocessing.get_context("spawn").Process(target=write, args=(case, path))
    writer.start()
    writer.join()
    contestants = {"polars' parse": parse, "Refit": ingest}
    found: dict[str, list[Measured]] = {name: [] for name in contestants}
    try:
        for number in range(rounds + 1):
            for name, contestant in contestants.items():
                measured = contestant(path, case)
                if number:
                    found[name].append(measured)
        megabytes = path.stat().st_size / 1e6
    finally:
        path.unlink()
    pairs = zip(found["Refit"], found["polars' parse"], strict=True)
    ratio = statistics.median(ours[0] / theirs[0] for ours, theirs in pairs)
    print(
        f"\n{case.kind}, {case.title} ({megabytes:,.0f} MB; polars {pl.__version__}, "
        f"{os.cpu_count()} cores, {rounds} rounds)\n"
    )
    print("| | seconds | times as long, median of rounds | MB at the peak |\n|---|---|---|---|")
    result = {}
    for name, rounds_of in found.items():
        seconds = statistics.median(each[0] for each in rounds_of)
        peak = max(each[1] for each in rounds_of)
        times = ratio if name == "Refit" else 1.0
        result[name] = {"seconds": seconds, "ratio": times, "peak_mb": peak}
        print(f"| {name} | {seconds:.2f} | {times:.2f} | {peak:,.0f} |")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for name in asked.case or CASES:
            results[name] = run(CASES[name], Path(folder), asked.rounds)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
