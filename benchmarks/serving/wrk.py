"""Runs wrk, and reads its figures."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}
"""Microseconds."""


@dataclass(frozen=True)
class Figures:
    """What one run of wrk found. Latencies are in microseconds."""

    per_second: float
    p50_us: float
    p99_us: float
    failed: int
    """Answers other than 2xx and 3xx, and errors of the socket."""


def run_wrk(before: list[str], url: str, body: bytes, connections: int, seconds: float) -> Figures:
    """Post ``body`` over so many keep-alive connections, one thread; ``before`` stands before the
    command."""
    # As escapes, which Lua reads in decimal: any body can be said so.
    text = "".join(f"\\{byte:03d}" for byte in body)
    script = f'wrk.method = "POST"\nwrk.body = "{text}"\n'
    script += 'wrk.headers["Content-Type"] = "application/json"\n'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "post.lua"
        path.write_text(script)
        told = ["-t", "1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s"]
        command = [*before, "wrk", *told, "--latency", "-s", str(path), url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"wrk ended with {done.returncode}: {done.stderr or done.stdout}")
    return read_figures(done.stdout)


def read_figures(text: str) -> Figures:
    """The figures of what wrk prints with `--latency`."""
    failed = 0
    if found := re.search(r"Non-2xx or 3xx responses: (\d+)", text):
        failed += int(found[1])
    if found := re.search(r"Socket errors: (.*)", text):
        failed += sum(int(number) for number in re.findall(r"\d+", found[1]))
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if rate is None:
        raise ValueError(f"these are no figures of wrk: {text[:200]!r}")
    return Figures(float(rate[1]), _percentile(text, 50), _percentile(text, 99), failed)


def _percentile(text: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"wrk printed no {percent} %: {text[:200]!r}")
    return float(found[1]) * UNITS[found[2]]
