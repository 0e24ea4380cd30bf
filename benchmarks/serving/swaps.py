"""Latency of a steady client: idle, while a training runs, and through swaps."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.contestants import CONTESTANTS, fresh_folder
from benchmarks.serving.picture import draw
from benchmarks.serving.priority import (
    SERVER_PRIORITY,
    client_command,
    give_priority,
    may_have_priority,
)
from benchmarks.serving.race import percentile, steady
from benchmarks.serving.running import Server
from benchmarks.serving.start import refit
from benchmarks.serving.steady import Outcome

WORKERS = 2
RATE = 500
CONNECTIONS = 4
SECONDS = 8.0
SELDOM, OFTEN = 20, 100
"""Swaps in each round: nearly three a second, of which five rounds see a hundred, and fourteen.
Each loads its version, as the one that is swapped out is let go."""

LONG_JOB = {
    "data": {"source": "line", "step": 0.0005},
    "architecture": {"kind": "mlp", "hidden": [128, 128]},
    "epochs": 100_000,
    "evaluate_every": 1_000,
    "promote": "never",
}
AS_IT_IS, FIRST = "as it is", "the service before all else"
IDLE, TRAINING = "idle", "a training runs"
SWAPPING, ASKING = f"{SELDOM} swaps a round", f"{OFTEN} other requests a round"
SWAPPING_OFTEN = f"{OFTEN} swaps a round"


@dataclass
class Segment:
    """What the client saw; `happened` is when the things were done that happened meanwhile, of the
    same clock."""

    outcome: Outcome
    happened: list[float] = field(default_factory=list)

    def percentile(self, percent: float) -> float:
        """Microseconds."""
        took = sorted(each for each in self.outcome.took if each is not None)
        return percentile(took, percent) * 1e6


def swaps(rounds: int, picture: Path | None) -> dict[str, dict[str, dict[str, float]]]:
    """Medians of the rounds, by scheduling; prints the tables, and draws the last round."""
    found = {AS_IT_IS: _swaps(rounds, False, None if may_have_priority() else picture)}
    if may_have_priority():
        # Takes the other programs of a shared machine out of the figures; and what the training
        # costs by holding a core, as it has no such priority: what is left is all else it costs.
        found[FIRST] = _swaps(rounds, True, picture)
    return found


def _swaps(rounds: int, first: bool, picture: Path | None) -> dict[str, dict[str, float]]:
    names = (IDLE, TRAINING, SWAPPING, ASKING, SWAPPING_OFTEN)
    found: dict[str, list[Segment]] = {name: [] for name in names}
    with fresh_folder() as folder, refit(Path(folder), WORKERS) as server:
        versions = [1, _second_version(server)]
        if first:
            give_priority(server.pids(), SERVER_PRIORITY, heirs=False)
        _client(server)
        for _ in range(rounds):
            found[IDLE].append(Segment(_client(server)))
            with _long_training(server):
                found[TRAINING].append(Segment(_client(server)))
            swap, ask = _swapper(server, versions), _asker(server)
            found[SWAPPING].append(_meanwhile(server, swap, SELDOM))
            # What any request of the ordinary road costs those of the plain one.
            found[ASKING].append(_meanwhile(server, ask, OFTEN))
            found[SWAPPING_OFTEN].append(_meanwhile(server, swap, OFTEN))
    result = {name: _figures(segments, found[IDLE]) for name, segments in found.items()}
    print(
        f"{RATE} requests/s over {CONNECTIONS} connections, {WORKERS} web workers, "
        f"{rounds} rounds of {SECONDS:.0f} s each"
        f"{', the service before all else on this machine' if first else ''}\n"
    )
    print("| | p50, us | p99, us | p99 against idle | requests | failed |")
    print("|---|---|---|---|---|---|")
    for name, each in result.items():
        print(
            f"| {name} | {each['p50_us']:,.0f} | {each['p99_us']:,.0f} | {each['ratio']:.2f} "
            f"| {each['requests']:,.0f} | {each['failed']:.0f} |"
        )
    print(flush=True)
    if picture is not None:
        drawn = {name: found[name][-1] for name in (IDLE, TRAINING, SWAPPING_OFTEN)}
        draw({name: (each.outcome, each.happened) for name, each in drawn.items()}, picture)
    return result


def _figures(segments: list[Segment], idle: list[Segment]) -> dict[str, float]:
    pairs = zip(segments, idle, strict=True)
    return {
        "p50_us": statistics.median(each.percentile(50) for each in segments),
        "p99_us": statistics.median(each.percentile(99) for each in segments),
        "ratio": statistics.median(one.percentile(99) / two.percentile(99) for one, two in pairs),
        "requests": sum(len(each.outcome.took) for each in segments),
        "failed": sum(each.outcome.failed for each in segments),
    }


def _client(server: Server) -> Outcome:
    """The server runs as it always does; the client is only the measuring instrument."""
    before = client_command(may_have_priority())
    asked = CONTESTANTS["refit"].prediction
    return steady(before, server.port, asked.path, asked.body, SECONDS, RATE, CONNECTIONS)


def _second_version(server: Server) -> int:
    """A version beside the one that is there from the start."""
    told = json.dumps({"data": {"source": "line"}, "seed": 7, "promote": "always"}).encode()
    status, answer = server.post("/train", told, Prefer="wait=60")
    assert status == 200, answer
    version: int = json.loads(answer)["version"]
    return version


@contextmanager
def _long_training(server: Server) -> Iterator[None]:
    status, answer = server.post("/models/long/train", json.dumps(LONG_JOB).encode())
    assert status == 202, answer
    path = f"/jobs/{json.loads(answer)['id']}"

    def wait_until(states: set[str]) -> None:
        deadline = time.monotonic() + 60
        while json.loads(server.get(path)[1])["state"] not in states:
            assert time.monotonic() < deadline, f"{path} is not {states}"
            time.sleep(0.05)

    wait_until({"running"})
    time.sleep(1)  # its process has imported what it needs, and steps
    yield
    # A training that has ended meanwhile would have measured something else.
    assert json.loads(server.get(path)[1])["state"] == "running"
    server.post(f"{path}/cancel", b"")
    wait_until({"cancelled"})


def _swapper(server: Server, versions: list[int]) -> Callable[[int], None]:
    def swap(number: int) -> None:
        path = f"/models/default/versions/{versions[number % 2]}/activate"
        status, answer = server.post(path, b"", Prefer="wait=10")
        seen = json.loads(answer)
        assert status == 200, answer
        assert seen["acknowledged"] == seen["workers"] == WORKERS, answer

    return swap


def _asker(server: Server) -> Callable[[int], None]:
    def ask(number: int) -> None:
        status, answer = server.get("/models/default")
        assert status == 200, answer

    return ask


def _meanwhile(server: Server, do: Callable[[int], None], times: int) -> Segment:
    """What the client sees while something is done so many times, evenly spread."""
    segment = Segment(Outcome(0.0))

    def ask() -> None:
        segment.outcome = _client(server)

    client = threading.Thread(target=ask)
    began = time.monotonic()
    client.start()
    for number in range(times):
        # The client takes its first moment to start.
        due = began + 0.5 + number * (SECONDS - 1) / times
        time.sleep(max(0.0, due - time.monotonic()))
        do(number)
        segment.happened.append(time.monotonic())
    client.join()
    assert segment.happened[-1] < segment.outcome.start + SECONDS + 1, "it took too long"
    return segment
