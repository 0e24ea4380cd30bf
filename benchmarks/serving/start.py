"""From exec to ready, beside `import torch`; and the memory of web workers.

`python -m benchmarks.serving.start FOLDER` fills a data folder with Refit's first model.
"""

from __future__ import annotations

import dataclasses
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serving.contestants import CONTESTANTS, fresh_folder
from benchmarks.serving.priority import SERVER_PRIORITY, give_priority, may_have_priority
from benchmarks.serving.running import Server, pss, uss

REFIT = dataclasses.replace(CONTESTANTS["refit"], prepare=None)
WORKERS = (1, 2, 4)
RATIO = "a folder with a model, times `import torch`"
PREDICTIONS = 2_000
"""Before memory is looked at."""


@contextmanager
def refit(folder: Path, workers: int = 1) -> Iterator[Server]:
    """A Refit that answers, with its data in ``folder``."""
    environment = {**REFIT.environment, "REFIT_WORKERS": str(workers)}
    told = dataclasses.replace(REFIT, environment=environment)
    server = told.start(Path(sys.executable).parent, folder)
    try:
        server.wait(REFIT.prediction)
        yield server
    finally:
        server.stop()


def start(rounds: int) -> dict[str, float]:
    """Median seconds to the first prediction, and of `import torch`; `RATIO`, the median of each
    round's own. Prints the table."""
    seconds: dict[str, list[float]] = {}
    ratios: list[float] = []
    with fresh_folder() as kept:
        with refit(Path(kept)):
            pass
        for _ in range(rounds):
            with _first():
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", "import torch"], check=True)
                alone = time.perf_counter() - began
            filled = _seconds(Path(kept))
            with fresh_folder() as empty:
                of_empty = _seconds(Path(empty))
            seconds.setdefault("`import torch` alone", []).append(alone)
            seconds.setdefault("a folder with a model", []).append(filled)
            seconds.setdefault("an empty folder: a model is trained first", []).append(of_empty)
            ratios.append(filled / alone)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    print(f"\nexec to the first prediction, {rounds} rounds\n\n| | seconds |\n|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.2f} |")
    ratio = statistics.median(ratios)
    print(f"\nWith a model: {ratio:.2f} times `import torch`.\n", flush=True)
    return {**medians, RATIO: ratio}


def _seconds(folder: Path) -> float:
    with _first():
        server = REFIT.start(Path(sys.executable).parent, folder)
        try:
            seconds = server.wait(REFIT.prediction)
        finally:
            server.stop()
        return seconds


@contextmanager
def _first() -> Iterator[None]:
    """Real-time priority for what is started meanwhile, where that is allowed."""
    if not may_have_priority():
        yield
        return
    give_priority([os.getpid()], SERVER_PRIORITY)
    try:
        yield
    finally:
        give_priority([os.getpid()], 0)


def memory() -> dict[int, dict[str, float]]:
    """MB of the whole tree and of a web worker, by number of workers; prints the table."""
    found: dict[int, dict[str, float]] = {}
    for workers in WORKERS:
        with fresh_folder() as folder, refit(Path(folder), workers) as server:
            for _ in range(PREDICTIONS):
                server.post(REFIT.prediction.path, REFIT.prediction.body)
            runs = re.findall(r"web worker \d+ runs as process (\d+)", server.log)
            assert len(runs) == workers, server.log
            pids = [int(pid) for pid in runs]
            found[workers] = {
                "tree": server.megabytes(),
                "own": statistics.mean(uss(pid) for pid in pids),
                "with_share": statistics.mean(pss(pid) for pid in pids),
            }
    first, last = WORKERS[0], WORKERS[-1]
    further = (found[last]["tree"] - found[first]["tree"]) / (last - first)
    print("| web workers | MB of the tree (PSS) | a worker's own (USS) | with its share (PSS) |")
    print("|---|---|---|---|")
    for workers, each in found.items():
        print(f"| {workers} | {each['tree']:.0f} | {each['own']:.0f} | {each['with_share']:.0f} |")
    print(f"\nA further web worker adds {further:.0f} MB to the tree.\n", flush=True)
    return found


if __name__ == "__main__":
    with refit(Path(sys.argv[1])):
        pass
