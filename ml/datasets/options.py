"""How a file of rows is to be read, and how much of it at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FileKind = Literal["csv", "ndjson", "parquet"]
Decimal = Literal["point", "comma"]

DELIMITERS = (",", ";", "\t", "|")
"""What may stand between the cells of a CSV file."""


@dataclass(frozen=True)
class ReadOptions:
    """What the sender says of a file, and the limits it is held to."""

    kind: FileKind
    delimiter: str | None = None
    """One of `DELIMITERS`; None takes the one that splits the first rows evenly. CSV only."""
    decimal: Decimal = "point"
    """What divides the whole from the fraction in a CSV file: 1.5 or 1,5."""
    text: tuple[str, ...] = ()
    """Columns read as text whatever they hold: codes such as 007, or ids beyond 2**53."""
    max_rows: int = 100_000_000
    max_columns: int = 2_000
    max_bytes: int = 64 * 2**30
    """Most bytes of decoded rows: what a small compressed file may grow to."""
