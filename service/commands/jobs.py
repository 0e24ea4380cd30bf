"""jobs"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.following import follow, show_end
from service.commands.options import DEFAULT_URL, AsJson, DataDir, Url, complete_models
from service.commands.output import DASH, ago, number, show_json, show_table, text
from service.commands.reach import Code, fail, reach
from service.entities import JobState

if TYPE_CHECKING:
    from service.client import Client, Job
    from service.schemas.jobs import JobSummaryResponse


def jobs(
    job_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One job, by its id.")
    ] = None,
    follow_it: Annotated[bool, typer.Option("--follow", "-f", help="Stay until its end.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel it.")] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Of that model.", autocompletion=complete_models),
    ] = None,
    state: Annotated[JobState | None, typer.Option("--state", help="In that state.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
    url: Url = DEFAULT_URL,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first; show, follow or cancel one."""
    if job_id is None and (follow_it or cancel):
        raise fail("--follow and --cancel want the id of a job", Code.USAGE)
    if follow_it and cancel:
        raise fail("either --follow or --cancel", Code.USAGE)
    with reach(url, data_dir) as client:
        if job_id is None:
            _list(list(islice(client.jobs(model=model, state=state), limit)), as_json)
            return
        job = client.job(job_id)
        if cancel:
            job.cancel()
        elif follow_it:
            job = follow(client, job, stays=data_dir is None)
        if as_json:
            show_json(job.latest)
        else:
            _show(client, job)
        if follow_it and job.state != "succeeded":
            raise typer.Exit(Code.FAILED)


def _list(found: list[JobSummaryResponse], as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    headings = ("id", "model", "state", "epoch", "version", "test mae", "created")
    show_table(headings, [_row(job) for job in found])


def _row(job: JobSummaryResponse) -> list[str]:
    metrics = job.metrics or {}
    return [
        job.id,
        job.model,
        job.state,
        f"{job.progress.epoch}/{job.progress.epochs}",
        text(job.version),
        number(metrics.get("test_mae")),
        ago(job.created_at),
    ]


def _show(client: Client, job: Job) -> None:
    latest = job.latest
    error = DASH if latest.error is None else f"{latest.error.code}: {latest.error.message}"
    left = latest.progress.eta_seconds
    facts = {
        "id": latest.id,
        "model": latest.model,
        "state": latest.state,
        "attempt": text(latest.attempt),
        "epoch": f"{latest.progress.epoch} of {latest.progress.epochs}",
        "time left": DASH if left is None else f"{left:g} s",
        "architecture": text(latest.spec["architecture"]["kind"]),
        "data": text(latest.spec["data"]["source"]),
        "created": ago(latest.created_at),
        "error": error,
    }
    show_table(("job", ""), [[name, fact] for name, fact in facts.items()])
    if job.ended:
        show_end(latest)
