"""`import` and `export`: a model from a file into a service, and out of it for others to load.

The file is read in a process that can do nothing else (`ml.exchange.sandbox`); the service gets
tensors and a description of them, and looks into both again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ml.errors import ExchangeError
from service.entities import DEFAULT_MODEL

if TYPE_CHECKING:
    import httpx

    from ml.artifact import Bundle
    from ml.exchange.export import Report

DEFAULT_URL = "http://127.0.0.1:8000"

REFUSED, USAGE, UNREACHABLE = 1, 2, 3
"""Exit codes: the service refuses; a file cannot be taken or written; nobody answers."""

WAIT = {"Prefer": "wait=10"}

Url = Annotated[str, typer.Option(help="Where the service listens.")]
Model = Annotated[str, typer.Option("--model", "-m", help="Name of the model.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


class RefusedError(Exception):
    """The service refuses; says why in one line."""


def add_exchange(app: typer.Typer) -> None:
    """Let ``app`` import and export."""
    app.command("import")(import_command)
    app.command("export")(export_command)


def import_command(
    file: Annotated[Path, typer.Argument(help="A .pth, .pt or .safetensors file, or an export.")],
    model: Model = DEFAULT_MODEL,
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
    as_json: AsJson = False,
) -> None:
    """Bring a model in: a state_dict of your own, or what `export` wrote. Its code is never run."""
    with _one_line_errors(url):
        import httpx

        body, notes = packed(file, architecture, activation, feature or [], target or [])
        for note in notes:
            typer.echo(f"note: {note}", err=True)
        with httpx.Client(base_url=url, timeout=120) as service:
            told = send_model(service, model, body, promote)
    if as_json:
        typer.echo(json.dumps(told))
        return
    promotion = told["promotion"]
    state = "active" if promotion["promoted"] else "not active"
    typer.echo(f"{model}, version {told['version']}: {state} ({promotion['reason']})")


def export_command(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder to make; else <model>-<version>.")
    ] = None,
    model: Model = DEFAULT_MODEL,
    version: Annotated[
        int | None, typer.Option("--version", "-v", min=1, help="Another than the active one.")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Write a model for others to load: safetensors, ONNX, torch.export, state_dict, model card.

    Each file is loaded back and must predict the same; `export.json` tells how near it came.
    """
    with _one_line_errors(url):
        import httpx

        with httpx.Client(base_url=url, timeout=120) as service:
            record, bundle, curve = fetch_model(service, model, version)
        folder = folder or Path(f"{model}-{record['version']}")
        from ml.exchange.export import export

        report = export(bundle, record, curve, folder)
    if as_json:
        typer.echo((folder / "export.json").read_text())
    else:
        _tell(report, folder)
    if report.wrong:
        raise typer.Exit(REFUSED)


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
    if text is None:
        return {}
    if not text.lstrip().startswith("{"):
        return {"kind": text}
    try:
        asked: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ExchangeError(f"--architecture: expected a kind or JSON: {error}") from error
    return asked


def send_model(
    service: httpx.Client, model: str, body: bytes, promote: str = "if_first"
) -> dict[str, Any]:
    """`POST /models/{model}/versions`; what the service answers.

    Raises:
        RefusedError: the service refuses it.
        httpx.TransportError: it does not answer.
    """
    headers = {"Content-Type": "application/octet-stream", **WAIT}
    path = f"/models/{model}/versions"
    answer = service.post(path, content=body, params={"promote": promote}, headers=headers)
    told: dict[str, Any] = _accepted(answer).json()
    return told


def fetch_model(
    service: httpx.Client, model: str, version: int | None
) -> tuple[dict[str, Any], Bundle, list[dict[str, float | None]]]:
    """What the service tells of a version, its bundle, and the points of its curve.

    Raises:
        RefusedError: there is no such version.
        ExchangeError: its architecture is not installed here.
        httpx.TransportError: the service does not answer.
    """
    if version is None:
        version = _accepted(service.get(f"/models/{model}")).json()["active_version"]
        if version is None:
            raise RefusedError(f"model {model} has no active version: name one by --version")
    here = f"/models/{model}/versions/{version}"
    record: dict[str, Any] = _accepted(service.get(here)).json()
    bundle = read_bundle(_accepted(service.get(f"{here}/artifact")).content)
    points: list[dict[str, float | None]] = []
    if record["job"] is not None:
        curve = service.get(f"/jobs/{record['job']}/curve")
        # A job may have been deleted since.
        if curve.status_code != HTTPStatus.NOT_FOUND:
            points = _accepted(curve).json()["points"]
    return record, bundle, points


def read_bundle(content: bytes) -> Bundle:
    """The bundle in a file that a service gave out.

    Raises:
        ExchangeError: it is no such file, or of an architecture that is not installed here.
    """
    from pydantic import ValidationError

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


def _accepted(answer: httpx.Response) -> httpx.Response:
    """The answer itself.

    Raises:
        RefusedError: it is a refusal; its detail.
    """
    if answer.is_success:
        return answer
    try:
        problem = answer.json()
        raise RefusedError(f"{problem['detail']} ({problem['code']})")
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"{answer.url} answered {answer.status_code}: no Refit?") from error


@contextmanager
def _one_line_errors(url: str) -> Iterator[None]:
    import httpx

    try:
        yield
    except ExchangeError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(USAGE) from error
    except RefusedError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(REFUSED) from error
    except httpx.HTTPError as error:
        typer.echo(f"error: {url}: the service cannot be reached: {error}", err=True)
        raise typer.Exit(UNREACHABLE) from error
    except OSError as error:
        typer.echo(f"error: {error.filename or ''}: {error.strerror}", err=True)
        raise typer.Exit(USAGE) from error


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
