"""import, export: a model from a file into a service, and out of it for others to load.

The file is read in a process that can do nothing else (`ml.exchange.sandbox`); the service gets
tensors and a description of them, and looks into both again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from service.commands.options import DEFAULT_URL, AsJson, DataDir, Model, Url
from service.commands.output import say, show_json
from service.commands.reach import Code, fail, one_line_errors, reach

if TYPE_CHECKING:
    from ml.artifact import Bundle
    from ml.exchange.export import Report
    from service.client import Client
    from service.schemas.models import VersionResponse

WAIT_SECONDS = 10.0
"""The longest that an import waits for every worker to serve it."""


def import_model(
    file: Annotated[Path, typer.Argument(help="A .pth, .pt or .safetensors file, or an export.")],
    model: Model = "default",
    architecture: Annotated[
        str | None,
        typer.Option(help="Its kind, or JSON with its fields; found out where the names tell."),
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="Of an mlp, as its state_dict does not hold it.")
    ] = None,
    feature: Annotated[
        list[str] | None, typer.Option(help="Name of a feature; once for each, in order.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Name of a target; once for each, in order.")
    ] = None,
    promote: Annotated[
        Literal["if_first", "always", "never"],
        typer.Option(help="Whether it becomes the active version."),
    ] = "if_first",
    url: Url = DEFAULT_URL,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Bring a model in: a state_dict of your own, or what `export` wrote. Its code is never run."""
    with _exchange_errors():
        content, notes = packed(file, architecture, activation, feature or [], target or [])
    for note in notes:
        say(f"note: {note}")
    with reach(url, data_dir, make=True) as client:
        told = client.import_version(content, model, promote=promote, wait=WAIT_SECONDS)
    if as_json:
        show_json(told)
        return
    state = "active" if told.promotion.promoted else "not active"
    typer.echo(f"{model}, version {told.version}: {state} ({told.promotion.reason})")


def export_model(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder to make; else <model>-<version>.")
    ] = None,
    model: Model = "default",
    version: Annotated[
        int | None, typer.Option("--version", "-v", min=1, help="Another than the active one.")
    ] = None,
    url: Url = DEFAULT_URL,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write a model for others to load: safetensors, ONNX, torch.export, state_dict, model card.

    Each file is loaded back and must predict the same; `export.json` tells how near it came.
    """
    with reach(url, data_dir) as client:
        record, content, curve = _fetch(client, model, version)
    folder = folder or Path(f"{model}-{record.version}")
    with _exchange_errors():
        from ml.exchange.export import export

        report = export(read_bundle(content), record.model_dump(mode="json"), curve, folder)
    if as_json:
        typer.echo((folder / "export.json").read_text())
    else:
        _tell(report, folder)
    if report.wrong:
        raise typer.Exit(Code.FAILED)


def packed(
    path: Path,
    architecture: str | None,
    activation: str | None,
    features: Sequence[str],
    targets: Sequence[str],
) -> tuple[bytes, tuple[str, ...]]:
    """The file as a service takes it, and notes for the person who brings it.

    Raises:
        ExchangeError: it cannot be read, or it is not clear what it is.
    """
    from safetensors.numpy import save

    from ml.errors import ExchangeError
    from ml.exchange.foreign import recognise
    from ml.exchange.sandbox import read_foreign

    path = path / "model.safetensors" if path.is_dir() else path
    asked = _architecture(architecture)
    foreign = read_foreign(path)
    if foreign.described is not None:
        if asked or activation or features or targets:
            raise ExchangeError(f"{path}: says by itself what it is; leave the options out")
        return save(dict(foreign.state), {"refit": foreign.described}), foreign.notes
    try:
        found = recognise(foreign.state, asked.get("kind"), activation or asked.get("activation"))
    except ExchangeError as error:
        raise ExchangeError(f"{path}: {error}") from error
    described: dict[str, Any] = {"architecture": found.architecture | asked}
    if features:
        described["feature_names"] = list(features)
    if targets:
        described["target_names"] = list(targets)
    return save(found.state, {"refit": json.dumps(described)}), foreign.notes + found.notes


def _architecture(text: str | None) -> dict[str, Any]:
    from ml.errors import ExchangeError

    if text is None:
        return {}
    if not text.lstrip().startswith("{"):
        return {"kind": text}
    try:
        asked: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ExchangeError(f"--architecture: expected a kind or JSON: {error}") from error
    return asked


def _fetch(
    client: Client, model: str, version: int | None
) -> tuple[VersionResponse, bytes, list[dict[str, float | None]]]:
    """What the service tells of a version, its artifact, and the points of its curve."""
    from service.client import JobNotFoundError

    if version is None:
        version = client.model(model).active_version
    if version is None:
        raise fail(f"model {model} has no active version: name one by --version")
    record = client.version(version, model)
    content = client.artifact(version, model)
    if record.job is None:
        return record, content, []
    try:
        points = client.job(record.job).curve()
    except JobNotFoundError:
        # Deleted since.
        return record, content, []
    return record, content, [point.model_dump() for point in points]


def read_bundle(content: bytes) -> Bundle:
    """The bundle in a file that a service gave out.

    Raises:
        ExchangeError: it is no such file, or of an architecture that is not installed here.
    """
    from pydantic import ValidationError

    from ml.errors import ExchangeError
    from ml.exchange.brought import bundle_of
    from ml.exchange.onefile import unpack
    from ml.spec.exchange import ImportSpec
    from ml.spec.model import not_installed

    file = unpack(content)
    if file.described is None:
        raise ExchangeError("the service gave a file that does not say what it is")
    try:
        spec = ImportSpec.model_validate_json(file.described)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "union_tag_invalid":
            raise ExchangeError(not_installed(first["ctx"]["tag"])) from error
        place = ".".join(str(part) for part in first["loc"])
        raise ExchangeError(f"what the service gave: {place}: {first['msg']}") from error
    return bundle_of(spec, file.state)


@contextmanager
def _exchange_errors() -> Iterator[None]:
    """A file that is not what it should be, in one line as well."""
    from ml.errors import ExchangeError

    with one_line_errors():
        try:
            yield
        except ExchangeError as error:
            raise fail(str(error), Code.USAGE) from error


def _tell(report: Report, folder: Path) -> None:
    typer.echo(f"{folder}/")
    for name, file in report.files.items():
        check = report.checks.get(name)
        told = ""
        if check is not None and check.same_bits:
            told = f"predicts the same to the bit ({check.loaded_by})"
        elif check is not None:
            most = max(check.largest_difference)
            told = f"predicts the same within {most:.1g} ({check.loaded_by})"
        typer.echo(f"  {name:<18} {file['bytes']:>10,}  {told}".rstrip())
    for name, reason in report.left_out.items():
        kind = "WRONG, deleted" if name in report.wrong else "left out"
        typer.echo(f"  {name:<18} {kind}: {reason}", err=name in report.wrong)
