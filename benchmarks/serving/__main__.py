"""python -m benchmarks.serving; see the package's docstring."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.serving.contestants import CONTESTANTS
from benchmarks.serving.large import large
from benchmarks.serving.priority import be_nice
from benchmarks.serving.race import Asked, race, table
from benchmarks.serving.start import memory, start
from benchmarks.serving.swaps import swaps

PARTS = ("race", "large", "start", "swaps")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("--contestants", type=_one_of(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument("--parts", type=_one_of(PARTS), default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=_numbers, default=[64, 1])
    parser.add_argument(
        "--venvs", type=Path, default=Path(tempfile.gettempdir()) / "refit-benchmark-venvs"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="where the picture of latencies goes (SVG)")
    told = parser.parse_args()
    if "race" in told.parts and shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    # Contestants start in folders of their own.
    asked = Asked(told.rounds, told.seconds, told.connections, told.venvs.absolute())
    be_nice()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    found: dict[str, Any] = {}
    if "race" in told.parts:
        entries = race(told.contestants, asked)
        print(f"\n{table(entries, asked)}\n", flush=True)
        found["race"] = {name: dataclasses.asdict(entry) for name, entry in entries.items()}
    if "large" in told.parts:
        found["large"] = large(asked.rounds)
    if "start" in told.parts:
        found["start"] = start(asked.rounds)
        found["memory"] = memory()
    if "swaps" in told.parts:
        found["swaps"] = swaps(asked.rounds, told.picture)
    if told.json:
        told.json.write_text(json.dumps(found, indent=1))


def _one_of(known: Any) -> Any:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return names

    return parse


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


if __name__ == "__main__":
    main()
