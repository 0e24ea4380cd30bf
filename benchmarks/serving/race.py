"""All contestants in interleaved rounds: requests a second, latency, memory, start."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.contestants import BASELINE, CONTESTANTS, Contestant, fresh_folder
from benchmarks.serving.priority import (
    SERVER_CORE,
    client_command,
    may_have_priority,
    pin,
    preferred,
)
from benchmarks.serving.running import Server, StartError
from benchmarks.serving.steady import Outcome
from benchmarks.serving.venvs import InstallError, bin_folder, versions
from benchmarks.serving.wrk import run_wrk

STEADY_RATE = 50
"""Requests a second at which p99 is found, which at full load is the kernel's: each contestant
bears it."""
STEADY_CONNECTIONS = 4
WARM_SECONDS = 2.0
REST_SECONDS = 0.5
"""Between two measurements: whoever else uses the machine gets it."""


@dataclass
class Entry:
    """What was found of one contestant; lists have one figure for each round."""

    label: str
    versions: dict[str, str] = field(default_factory=dict)
    absent: str | None = None
    """Why it was not measured."""
    first_answer_seconds: float = 0.0
    megabytes: float = 0.0
    per_second: dict[int, list[float]] = field(default_factory=dict)
    """By number of connections."""
    ratios: dict[int, list[float]] = field(default_factory=dict)
    """To the baseline in the same round."""
    p50_us: dict[int, list[float]] = field(default_factory=dict)
    """At full load, by number of connections."""
    steady_us: list[float] = field(default_factory=list)
    """Every latency at `STEADY_RATE`, of all rounds, in ascending order."""
    failed: int = 0


@dataclass(frozen=True)
class Asked:
    """How it is measured."""

    rounds: int
    seconds: float
    connections: list[int]
    venvs: Path


def race(names: list[str], asked: Asked) -> dict[str, Entry]:
    """Measure the contestants; the baseline is always among them."""
    names = [BASELINE, *(name for name in names if name != BASELINE)]
    entries = {name: Entry(CONTESTANTS[name].label) for name in names}
    real_time = may_have_priority()
    if not real_time:
        print("no right to real-time priority: figures will be noisier", file=sys.stderr)
    with ExitStack() as stack:
        folders = {name: _install(name, entries[name], asked.venvs) for name in names}
        servers: dict[str, Server] = {}
        for name, folder in folders.items():
            if folder is not None:
                server = _start(CONTESTANTS[name], entries[name], folder, stack)
                if server is not None:
                    servers[name] = server
        for server in servers.values():
            pin(server.pids(), SERVER_CORE)
        for number in range(asked.rounds + 1):
            for name, server in servers.items():
                print(f"round {number} of {asked.rounds}: {name}", file=sys.stderr, flush=True)
                _measure(name, server, entries[name], asked, number == 0, real_time)
            if number:
                _compare(entries)
        for name, server in servers.items():
            entries[name].megabytes = server.megabytes()
    return entries


def _install(name: str, entry: Entry, venvs: Path) -> Path | None:
    try:
        folder = bin_folder(CONTESTANTS[name], venvs)
        entry.versions = versions(CONTESTANTS[name], folder)
    except (InstallError, subprocess.CalledProcessError) as error:
        entry.absent = f"cannot be installed: {error}"
        return None
    return folder


def _start(contestant: Contestant, entry: Entry, folder: Path, stack: ExitStack) -> Server | None:
    """Start it and wait for its answer, alone on both cores."""
    print(f"starting {contestant.label}", file=sys.stderr, flush=True)
    kept = stack.enter_context(fresh_folder())
    try:
        server = contestant.start(folder, Path(kept))
        stack.callback(server.stop)
        entry.first_answer_seconds = server.wait(contestant.prediction)
    except (StartError, subprocess.CalledProcessError) as error:
        entry.absent = f"does not start: {error}"
        return None
    return server


def _measure(
    name: str, server: Server, entry: Entry, asked: Asked, warms: bool, real_time: bool
) -> None:
    """One round of one contestant; the figures of a round that warms it are dropped."""
    prediction = CONTESTANTS[name].prediction
    status, answer = server.post(prediction.path, prediction.body)
    if not prediction.holds(status, answer):
        raise RuntimeError(f"{name} answers wrongly: {status} {answer!r}")
    url = f"http://127.0.0.1:{server.port}{prediction.path}"
    pids = server.pids()
    pin(pids, SERVER_CORE)
    before = client_command(real_time)
    for connections in asked.connections:
        time.sleep(REST_SECONDS)
        with preferred(pids, real_time):
            seconds = WARM_SECONDS if warms else asked.seconds
            figures = run_wrk(before, url, prediction.body, connections, seconds)
        if not warms:
            entry.per_second.setdefault(connections, []).append(figures.per_second)
            entry.p50_us.setdefault(connections, []).append(figures.p50_us)
            entry.failed += figures.failed
    time.sleep(REST_SECONDS)
    with preferred(pids, real_time):
        outcome = steady(before, server.port, prediction.path, prediction.body, asked.seconds)
    if not warms:
        entry.steady_us += [each * 1e6 for each in outcome.took if each is not None]
        entry.steady_us.sort()
        entry.failed += outcome.failed


def steady(
    before: list[str],
    port: int,
    path: str,
    body: bytes,
    seconds: float,
    rate: float = STEADY_RATE,
    connections: int = STEADY_CONNECTIONS,
) -> Outcome:
    """Run `benchmarks.serving.steady` in a process of its own."""
    command = [*before, sys.executable, "-m", "benchmarks.serving.steady", str(port), path]
    command += [body.decode(), str(rate), str(seconds), str(connections)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"the client ended with {done.returncode}: {done.stderr[-500:]}")
    return Outcome(**json.loads(done.stdout))


def percentile(ascending: list[float], percent: float) -> float:
    """The value that so many percent of them do not exceed."""
    return ascending[min(len(ascending) - 1, int(len(ascending) * percent / 100))]


def _compare(entries: dict[str, Entry]) -> None:
    for entry in entries.values():
        for connections, rates in entry.per_second.items():
            ratio = rates[-1] / entries[BASELINE].per_second[connections][-1]
            entry.ratios.setdefault(connections, []).append(ratio)


def table(entries: dict[str, Entry], asked: Asked) -> str:
    """The figures as Markdown, medians of the rounds."""
    heads = []
    for each in asked.connections:
        heads += [f"requests/s, {each} at once", "times bare uvicorn", "p50, us"]
    heads += [f"at {STEADY_RATE}/s: {each}, us" for each in ("p50", "p99")]
    heads += ["MB", "first answer, s", "failed", "versions"]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for entry in entries.values():
        if entry.absent is None:
            cells = _cells(entry, asked)
        else:
            why = " ".join(entry.absent.split()).replace("|", "/")
            cells = [f"not measured: {why}", *[""] * (len(heads) - 1)]
        lines.append(f"| {entry.label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(entry: Entry, asked: Asked) -> list[str]:
    cells = []
    for connections in asked.connections:
        cells.append(f"{statistics.median(entry.per_second[connections]):,.0f}")
        cells.append(f"{statistics.median(entry.ratios[connections]):.3g}")
        cells.append(f"{statistics.median(entry.p50_us[connections]):,.0f}")
    cells += [f"{percentile(entry.steady_us, each):,.0f}" for each in (50, 99)]
    cells += [f"{entry.megabytes:,.0f}", f"{entry.first_answer_seconds:.1f}", str(entry.failed)]
    cells.append(", ".join(f"{name} {version}" for name, version in entry.versions.items()))
    return cells
