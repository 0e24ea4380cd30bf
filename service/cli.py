"""The command line: `refit …`, and the same as `python -m service …`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from service.commands import bench, exchange, jobs, predicting, serving, training, versions
from service.commands.reach import Code, fail

app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 nobody answers, "
    "130 interrupted. More: docs/cli.md",
)


def main() -> None:
    """Run the command line; what is wrong with its words is told in one line."""
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as error:
        words = " ".join(error.format_message().split())
        raise SystemExit(fail(f"{words} (--help tells more)", Code.USAGE).exit_code) from error
    except typer.Abort:
        code = Code.INTERRUPTED
    sys.exit(code or 0)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"refit {version('refit')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def refit(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version)
    ] = False,
) -> None:
    """Train, version and serve PyTorch regression models."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(Code.USAGE)


app.command()(serving.serve)
app.command()(training.train)
app.command(context_settings={"ignore_unknown_options": True})(predicting.predict)
app.command()(versions.params)
app.command()(jobs.jobs)
app.command()(versions.versions)
app.command()(versions.activate)
app.command()(versions.rollback)
app.command("import")(exchange.import_model)
app.command("export")(exchange.export_model)
app.command()(bench.bench)
app.command()(serving.health)
app.command(hidden=True)(serving.part)
