"""How often each fault was tried and what came of it; the table of docs/reliability.md."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
COLUMNS = ("fault", "tried", "failed", "95 % bound", "of the run", "at the commit")
HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"

LONG = os.environ.get("FAULTS", "short") == "long"
"""Whether this is the long run of `make faults`."""

SEED = int(os.environ.get("FAULTS_SEED", "1"))
"""Of every random choice; another one visits other instants and other states."""


def _commit() -> str:
    """The short name of the commit that is tried; "?" where nobody knows."""
    command = ["git", "-C", str(PAGE.parent), "rev-parse", "--short", "HEAD"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "?"


COMMIT = _commit()


def pick(short: int, long: int, name: str) -> int:
    """How often to try; the variable ``FAULTS_<name>`` says otherwise."""
    return int(os.environ.get(f"FAULTS_{name}", long if LONG else short))


@dataclass
class Count:
    """Trials of one fault. ``complaints`` are what the oracle said, with the trial."""

    fault: str
    exhaustive: bool = False
    """Whether there is no other trial to make: no bound is needed then."""
    tried: int = 0
    failed: int = 0
    complaints: list[str] = field(default_factory=list)

    def add(self, trial: object, complaints: list[str]) -> None:
        """One more trial and what the oracle said of it."""
        self.tried += 1
        self.failed += bool(complaints)
        self.complaints += [f"{trial}: {complaint}" for complaint in complaints]

    def require_none(self, at_least: int = 1) -> None:
        """Check that it was tried, and that nothing ever failed."""
        assert self.tried >= at_least, f"{self.fault}: tried {self.tried} times only"
        shown = "\n".join(self.complaints[:20])
        assert not self.complaints, f"{self.fault}: {self.failed} of {self.tried}\n{shown}"

    @property
    def line(self) -> str:
        """A line of the table."""
        run = "long" if LONG else "short"
        cells = (self.fault, f"{self.tried:,}", str(self.failed), self._bound, run, COMMIT)
        return f"| {' | '.join(cells)} |"

    @property
    def _bound(self) -> str:
        if self.failed or not self.tried:
            return "-"
        if self.exhaustive:
            return "all there are"
        # The rule of three is an approximation, for more than thirty.
        bound = 3 / self.tried if self.tried > 30 else 1 - 0.05 ** (1 / self.tried)
        return f"{100 * bound:.2g} %"


def write_into_page(counts: list[Count], page: Path = PAGE) -> None:
    """Put the lines of ``counts`` into the table of the page; other lines stay."""
    before, rest = page.read_text().split(BEGIN)
    table, after = rest.split(END)
    lines = {line.split("|")[1].strip(): line for line in table.splitlines()[3:] if "|" in line}
    lines |= {count.fault: count.line for count in counts}
    text = "\n".join([HEAD, *lines.values()])
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
