"""predict"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.commands.options import DEFAULT_URL, AsJson, DataDir, Model, Url
from service.commands.output import number, say, show_json
from service.commands.reach import Code, fail, reach


def predict(
    x: Annotated[
        list[float] | None, typer.Argument(help="Values of the one feature.", metavar="[X]…")
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option("--rows", "-r", help="A row by the names of the features, or a list of rows."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="CSV with the names of the features.", dir_okay=False),
    ] = None,
    model: Model = "default",
    version: Annotated[
        int | None, typer.Option("--version", "-v", min=1, help="Another than the active one.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell which rows lie outside what was seen.")
    ] = False,
    url: Url = DEFAULT_URL,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Predict: one line on stdout for each row."""
    asked = _asked(x, rows, file)
    with reach(url, data_dir) as client:
        told = client.predict(asked, model=model, version=version, explain=explain)
        y = told.y if isinstance(asked, list | Path) else [told.y]
        if as_json:
            answer = {"y": y, "model": told.model, "version": told.version}
            if told.extrapolating is not None:
                answer["extrapolating"] = told.extrapolating
            show_json(answer)
            return
        outside = told.extrapolating or [False] * len(y)
        for values, is_outside in zip(y, outside, strict=True):
            line = " ".join(map(number, values if isinstance(values, list) else [values]))
            typer.echo(f"{line} outside what was seen" if is_outside else line)
        say(f"by version {told.version} of {told.model}")


def _asked(x: list[float] | None, rows: str | None, file: Path | None) -> Any:
    if sum(one is not None for one in (x or None, rows, file)) != 1:
        raise fail("give numbers, --rows or --file", Code.USAGE)
    if file is not None:
        return file
    if rows is None:
        return x
    try:
        value = json.loads(rows)
    except ValueError as error:
        raise fail(f"--rows: {error}", Code.USAGE) from error
    if not isinstance(value, dict | list):
        raise fail("--rows: expected a JSON object or a list", Code.USAGE)
    return value
