"""train"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from service.commands.following import follow, show_end
from service.commands.options import DEFAULT_URL, AsJson, DataDir, Model, Url
from service.commands.output import say, show_json
from service.commands.reach import Code, fail, reach

if TYPE_CHECKING:
    from service.client import Client, Job


def train(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, NDJSON or Parquet file; without, the tutorial's line.", dir_okay=False
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="Column to predict, or several: a,b.")
    ] = None,
    features: Annotated[
        str | None,
        typer.Option("--features", help="Columns to predict from; all numbers if not given."),
    ] = None,
    categories: Annotated[
        str | None, typer.Option("--categories", help="Features that hold text.")
    ] = None,
    missing: Annotated[
        Literal["refuse", "drop"] | None,
        typer.Option("--missing", help="Refuse missing cells, or drop their rows."),
    ] = None,
    delimiter: Annotated[
        Literal["comma", "semicolon", "tab", "pipe"] | None,
        typer.Option("--delimiter", help="Between the cells of CSV; found out if not given."),
    ] = None,
    decimal: Annotated[
        Literal["point", "comma"] | None, typer.Option("--decimal", help="Of numbers in CSV.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Columns to read as text, such as codes: a,b.")
    ] = None,
    model: Model = "default",
    architecture: Annotated[
        str | None, typer.Option("--architecture", "-a", help="linear, mlp, parameters, …")
    ] = None,
    loss: Annotated[
        Literal["l1", "mse", "huber"] | None, typer.Option("--loss", help="What is minimised.")
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option("--optimizer", help="sgd, adam, adamw, lbfgs.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", "-e", min=1, help="Passes over the rows.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of all chance.")] = None,
    promote: Annotated[
        Literal["if_better", "always", "never"] | None,
        typer.Option("--promote", help="Whether the new version becomes the active one."),
    ] = None,
    spec: Annotated[
        str | None,
        typer.Option("--spec", help="Other fields of POST /train, as a JSON object or @FILE."),
    ] = None,
    follow_it: Annotated[
        bool, typer.Option("--follow", "-f", help="Stay until the end, and show what came of it.")
    ] = False,
    url: Url = DEFAULT_URL,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train a model on a file, or on the tutorial's line.

    With --data-dir the command always stays until the end, as the service ends with it.
    """
    asked = {
        "architecture": architecture,
        "loss": loss,
        "optimizer": optimizer,
        "epochs": epochs,
        "seed": seed,
        "promote": promote,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    columns = _columns(data, target, features, categories, missing)
    options = _object(spec) | columns | given
    reading = {
        "delimiter": delimiter,
        "decimal": decimal,
        "text": None if text is None else names_in(text),
    }
    stay = follow_it or data_dir is not None
    with reach(url, data_dir, make=True) as client:
        job = _submit(client, data, reading, model, options)
        if stay:
            say(f"job {job.id}")
            job = follow(client, job, stays=data_dir is None)
        if as_json:
            show_json(job.latest)
        elif not stay:
            typer.echo(job.id)
            say(f"queued; see it by: refit jobs {job.id} --follow")
        else:
            show_end(job.latest)
            if job.version is not None:
                typer.echo(f"try: {example(client, job)}")
        if job.state in ("failed", "cancelled"):
            raise typer.Exit(Code.FAILED)


def _columns(
    data: Path | None,
    target: str | None,
    features: str | None,
    categories: str | None,
    missing: str | None,
) -> dict[str, Any]:
    lists = {"target": target, "features": features, "categories": categories}
    columns: dict[str, Any] = {
        name: names_in(value) for name, value in lists.items() if value is not None
    }
    if missing is not None:
        columns["missing"] = missing
    if data is None and columns:
        raise fail(f"--{next(iter(columns))} goes with a file", Code.USAGE)
    if data is not None:
        if target is None:
            raise fail("say which column to predict: --target COLUMN", Code.USAGE)
        if len(columns["target"]) == 1:
            (columns["target"],) = columns["target"]
    return columns


def names_in(words: str) -> list[str]:
    """The names in ``a,b``; one that holds a comma stands in double quotes, as in CSV."""
    import csv

    return [name for row in csv.reader([words], skipinitialspace=True) for name in row]


def _object(words: str | None) -> dict[str, Any]:
    if words is None:
        return {}
    try:
        text = Path(words[1:]).read_text() if words.startswith("@") else words
        value = json.loads(text)
    except (ValueError, OSError) as error:
        raise fail(f"--spec: {error}", Code.USAGE) from error
    if not isinstance(value, dict):
        raise fail("--spec: expected a JSON object", Code.USAGE)
    return value


def _submit(
    client: Client, data: Path | None, reading: dict[str, Any], model: str, options: dict[str, Any]
) -> Job:
    if data is None:
        return client.train(options.pop("data", None), model=model, **options)
    read = {name: value for name, value in reading.items() if value is not None}
    dataset = client.upload(data, **read)
    say(f"{data}: {dataset.rows} rows, {len(dataset.columns)} columns, dataset {dataset.id}")
    return client.train(dataset, model=model, **options)


def example(client: Client, job: Job) -> str:
    """A command that predicts with what was trained: a row in the middle of the data."""
    told = client.params(job.model, job.version)
    where = "" if job.model == "default" else f" --model {job.model}"
    if job.promotion is not None and not job.promotion.promoted:
        where += f" --version {job.version}"
    data: dict[str, Any] = job.latest.spec["data"]
    if data["source"] == "line":
        return f"refit predict{where} {(data['start'] + data['end']) / 2:g}"
    row: dict[str, Any]
    if data["source"] == "dataset":
        columns = {column.name: column for column in client.dataset(data["dataset"]).columns}
        row = {}
        for name in told.feature_names:
            column = columns[name]
            if name in told.categories:
                row[name] = told.categories[name][0]
            elif column.type == "boolean":
                row[name] = True
            else:
                mean = column.mean or 0.0
                row[name] = round(mean) if column.type == "integer" else float(f"{mean:.3g}")
    else:
        first = data["x"][0] if isinstance(data["x"][0], list) else [data["x"][0]]
        row = dict(zip(told.feature_names, first, strict=True))
    rows = shlex.quote(json.dumps(row, ensure_ascii=False))
    return f"refit predict{where} --rows {rows}"
