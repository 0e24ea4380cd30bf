"""Options that several commands take, and completion of names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:8000"
"""Where `refit serve` listens unless told otherwise."""

COMPLETION_SECONDS = 0.5
"""A shell waits for it while a person types."""


def complete_models(context: typer.Context, incomplete: str) -> list[str]:
    """The names of the models that begin so, of a service that answers at once; none otherwise."""
    from service.client import Client, RefitError, Retries

    url = context.params.get("url") or DEFAULT_URL
    try:
        with Client(url, timeout=COMPLETION_SECONDS, retries=Retries(seconds=0)) as client:
            names = [model.model for model in client.models()]
    except (RefitError, ValueError):
        return []
    return [name for name in names if name.startswith(incomplete)]


Url = Annotated[
    str, typer.Option("--url", envvar="REFIT_URL", help="The service.", show_envvar=True)
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Instead of --url: a data folder that no service has; this command starts one on it.",
        file_okay=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, and nothing else there.")]
Model = Annotated[
    str,
    typer.Option("--model", "-m", help="Name of the model.", autocompletion=complete_models),
]
Wait = Annotated[bool, typer.Option("--wait", help="Return when every worker serves the version.")]
