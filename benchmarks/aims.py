"""What Refit aims at, beside what was measured: one line for each ratio. The end of `make bench`.

    python -m benchmarks.aims FOLDER

Reads what the benchmarks wrote into a folder (train.json, serving.json, binary.json, slow.json,
ingest.json); of those that are missing nothing is said. Exits with 1 where an aim is missed.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving.large import FLOOR, FLOOR_HTTP, IN_PROCESS, OVER_HTTP
from benchmarks.serving.start import RATIO
from benchmarks.serving.swaps import FIRST, IDLE, SWAPPING, TRAINING


@dataclass(frozen=True)
class Aim:
    """A ratio or a figure, and the border that it is to stay on one side of."""

    title: str
    measured: float
    least: float | None = None
    most: float | None = None

    @property
    def is_reached(self) -> bool:
        """As it is printed, with two digits after the point."""
        measured = round(self.measured, 2)
        return (self.least is None or measured >= self.least) and (
            self.most is None or measured <= self.most
        )

    def line(self) -> str:
        """A row of the table."""
        border = f"at least {self.least:g}" if self.most is None else f"at most {self.most:g}"
        verdict = "reached" if self.is_reached else "**missed**"
        return f"| {self.title} | {border} | {self.measured:.2f} | {verdict} |"


def training(found: dict[str, dict[str, float]]) -> Iterator[Aim]:
    """Of `benchmarks/train.py`: seconds of each contestant, by race."""
    for race, seconds in found.items():
        plain, refit = next(iter(seconds.values())), seconds["Refit"]
        least = 30 if race.startswith("linear") else 8 if race.startswith("MLP") else 7
        yield Aim(f"{race}: times as fast as the plain loop", plain / refit, least=least)
        if race.startswith("MLP"):
            shuffled = seconds["plain loop over shuffled tensors"]
            yield Aim("The MLP's step alone: times as fast", shuffled / refit, least=1.6)


def serving(found: dict[str, Any]) -> Iterator[Aim]:
    """Of `benchmarks/serving`."""
    if "race" in found:
        yield from _race(found["race"])
    if "large" in found:
        large = found["large"]
        pairs = {"in one process": (IN_PROCESS, FLOOR), "over HTTP": (OVER_HTTP, FLOOR_HTTP)}
        for where, (ours, floor) in pairs.items():
            ratio = large[ours] / large[floor]
            yield Aim(f"100,000 JSON values {where}: times the floor there", ratio, most=1.5)
    if "start" in found:
        ratio = found["start"][RATIO]
        yield Aim("Exec to the first prediction: times `import torch`", ratio, most=1.6)
    if "memory" in found:
        trees = {int(workers): each["tree"] for workers, each in found["memory"].items()}
        first, last = min(trees), max(trees)
        further = (trees[last] - trees[first]) / (last - first)
        yield Aim("MB for a further web worker", further, most=60)
    if "swaps" in found:
        # Where nothing may go before other programs, as it is.
        figures = found["swaps"].get(FIRST) or next(iter(found["swaps"].values()))
        yield Aim("p99 while a training runs: times idle", figures[TRAINING]["ratio"], most=1.2)
        yield Aim("p99 through swaps: times idle", figures[SWAPPING]["ratio"], most=1.2)
        failed = sum(each["failed"] for table in found["swaps"].values() for each in table.values())
        requests = figures[IDLE]["requests"] * len(figures) * len(found["swaps"])
        yield Aim(f"Failed of some {requests:,.0f} requests meanwhile", failed, most=0)


def _race(entries: dict[str, Any]) -> Iterator[Aim]:
    refit, bare, fastapi = (entries.get(name) for name in ("refit", "uvicorn", "fastapi"))
    if refit is None or bare is None:
        return

    def median(figure: str, connections: str, other: dict[str, Any]) -> float:
        pairs = zip(refit[figure][connections], other[figure][connections], strict=True)
        ratios: list[float] = [ours / theirs for ours, theirs in pairs]
        return statistics.median(ratios)

    if "64" in refit["per_second"]:
        ratio = median("per_second", "64", bare)
        yield Aim("64 connections: requests/s, times bare uvicorn", ratio, least=2)
        if fastapi is not None:
            ratio = median("per_second", "64", fastapi)
            yield Aim("64 connections: requests/s, times FastAPI", ratio, least=14)
    if "1" in refit["per_second"]:
        ratio = median("p50_us", "1", bare)
        yield Aim("One connection: p50, times bare uvicorn's", ratio, most=1)


def binary(found: list[dict[str, Any]]) -> Iterator[Aim]:
    """Of `benchmarks/binary.py`."""
    for each in found:
        title = f"{each['values']:,} binary values, {each['case']}: times the echo's requests/s"
        yield Aim(title, each["ratio"], least=0.6)


def slow_clients(found: dict[str, Any]) -> Iterator[Aim]:
    """Of `benchmarks/slow_clients.py`."""
    yield Aim(f"p99 beside {found['slow']:,} slow clients: times alone", found["ratio"], most=2)


def ingestion(found: dict[str, dict[str, dict[str, float]]]) -> Iterator[Aim]:
    """Of `benchmarks/ingest.py`."""
    for case, each in found.items():
        yield Aim(f"Reading {case}: times polars' parse", each["Refit"]["ratio"], most=1.3)
        if case == "large":
            yield Aim("Reading 2 GB: MB at the peak", each["Refit"]["peak_mb"], most=500)


READERS: dict[str, Callable[[Any], Iterator[Aim]]] = {
    "train.json": training,
    "serving.json": serving,
    "binary.json": binary,
    "slow.json": slow_clients,
    "ingest.json": ingestion,
}


def aims(folder: Path) -> list[Aim]:
    """All aims of which something was measured."""
    files = [(folder / name, read) for name, read in READERS.items()]
    return [
        aim for file, read in files if file.exists() for aim in read(json.loads(file.read_text()))
    ]


def main() -> None:
    found = aims(Path(sys.argv[1]))
    print("\n| | aim | measured | |\n|---|---|---|---|")
    print(*(aim.line() for aim in found), sep="\n")
    sys.exit(not all(aim.is_reached for aim in found))


if __name__ == "__main__":
    main()
