"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

WIDE = 500
"""Characters of a line where it goes to a file or a program: nothing is folded there."""


def console(stderr: bool = False) -> Console:
    """Where a person reads; names are text there, never markup."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def show_json(value: BaseModel | Sequence[BaseModel] | Mapping[str, Any]) -> None:
    """One JSON document on stdout."""
    if isinstance(value, Mapping):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, Sequence):
        text = f"[{','.join(one.model_dump_json() for one in value)}]"
    else:
        text = value.model_dump_json()
    typer.echo(text)


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """A table; columns of numbers stand to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    cells = [list(row) for row in rows]
    for place, heading in enumerate(headings):
        column = [row[place] for row in cells if row[place] != DASH]
        right = bool(column) and all(_is_number(cell) for cell in column)
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)
    for row in cells:
        table.add_row(*row)
    console().print(table)


DASH = "–"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def number(value: float | None) -> str:
    """Six digits, as many as float32 has for certain."""
    return DASH if value is None else f"{value:.6g}"


def text(value: object) -> str:
    return DASH if value is None else str(value)


def ago(moment: datetime | None) -> str:
    """How long ago something was, in one unit."""
    if moment is None:
        return DASH
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def say(words: str) -> None:
    """A line for a person, beside what a program reads."""
    typer.echo(words, err=True)
