"""A job, live on the screen."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

from service.commands.output import console, number, say, show_table
from service.commands.reach import Code

if TYPE_CHECKING:
    from service.client import Client, Job
    from service.schemas.jobs import CurvePointResponse, JobSummaryResponse

REFRESH_SECONDS = 0.5
"""Between two looks at the epoch, which moves between two points of the curve too."""

SECOND_PRESS_SECONDS = 3.0


def follow(client: Client, job: Job, *, stays: bool) -> Job:
    """Show the job until it has ended; the job then, however it ended.

    Ctrl-C leaves it running, and cancels it when pressed once more within `SECOND_PRESS_SECONDS`.
    ``stays`` tells whether the service goes on after this command.

    Raises:
        typer.Exit: Ctrl-C was pressed.
    """
    try:
        with _screen(client, job) as show:
            for event in job.events():
                point = getattr(event, "point", None)
                if point is not None:
                    show.point(point)
            job.wait(check=False)
            show.end(job)
        return job
    except KeyboardInterrupt as error:
        _left(job, stays)
        raise typer.Exit(Code.INTERRUPTED) from error


def _left(job: Job, stays: bool) -> None:
    if stays:
        say(f"\njob {job.id} goes on; see it by: refit jobs {job.id} --follow")
    else:
        say(f"\njob {job.id} is kept in the data folder, and goes on when a service has it again")
    say(f"press Ctrl-C again within {SECOND_PRESS_SECONDS:g} s to cancel it")
    try:
        time.sleep(SECOND_PRESS_SECONDS)
    except KeyboardInterrupt:
        job.cancel()
        say(f"job {job.id} is cancelled")


class _Shows(Protocol):
    def point(self, point: CurvePointResponse) -> None: ...

    def end(self, job: Job) -> None: ...


@contextmanager
def _screen(client: Client, job: Job) -> Iterator[_Shows]:
    if sys.stderr.isatty():
        with _bar(client, job) as bar:
            yield bar
    else:
        yield _Lines(job)


class _Lines:
    """A line for each point, where nobody can see a bar move."""

    def __init__(self, job: Job) -> None:
        self._epochs = job.latest.progress.epochs

    def point(self, point: CurvePointResponse) -> None:
        say(f"epoch {point.epoch} of {self._epochs}: {losses(point)}")

    def end(self, job: Job) -> None:
        say(job.state)


class _Bar:
    """A bar on stderr: epochs, losses, the time left as the service judges it."""

    def __init__(self, client: Client, job: Job) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._client, self._job = client, job
        self.progress = Progress(
            TextColumn("{task.fields[state]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            TextColumn("{task.fields[left]}"),
            console=console(stderr=True),
        )
        self._task = self.progress.add_task(
            "", total=job.latest.progress.epochs, state=job.state, losses="", left=""
        )
        self._over = threading.Event()

    def point(self, point: CurvePointResponse) -> None:
        self.progress.update(self._task, completed=point.epoch, losses=losses(point))

    def look_now_and_then(self) -> None:
        """Be a thread that asks how far the job is."""
        from service.client import RefitError

        while not self._over.wait(REFRESH_SECONDS):
            try:
                latest = self._client.job(self._job.id).latest
            except RefitError:
                continue
            left = latest.progress.eta_seconds
            self.progress.update(
                self._task,
                completed=latest.progress.epoch,
                total=latest.progress.epochs,
                state=latest.state,
                left="" if left is None else f"{left:.0f} s left",
            )

    def stop(self) -> None:
        self._over.set()

    def end(self, job: Job) -> None:
        self.stop()
        # Epochs are counted from 0, and early stopping may have needed fewer of them.
        done = job.latest.progress.epoch
        self.progress.update(self._task, completed=done, total=done, state=job.state, left="")


@contextmanager
def _bar(client: Client, job: Job) -> Iterator[_Bar]:
    bar = _Bar(client, job)
    looker = threading.Thread(target=bar.look_now_and_then, daemon=True)
    with bar.progress:
        looker.start()
        try:
            yield bar
        finally:
            bar.stop()
            looker.join(REFRESH_SECONDS)


def losses(point: CurvePointResponse) -> str:
    """The losses of a point in words."""
    told = {
        "train": point.train_loss,
        "validation": point.validation_loss,
        "test": point.test_loss,
    }
    return ", ".join(f"{part} {number(loss)}" for part, loss in told.items() if loss is not None)


def show_end(job: JobSummaryResponse) -> None:
    """What came of a job, for a person."""
    if job.error is not None:
        say(f"job {job.id} failed ({job.error.code}): {job.error.message}")
        return
    if job.state != "succeeded":
        say(f"job {job.id} is {job.state}")
        return
    metrics = job.metrics or {}
    parts = [part for part in ("train", "validation", "test") if f"{part}_loss" in metrics]
    names = ("loss", "mae", "rmse", "r2", "max_error")
    rows = [[part, *(number(metrics.get(f"{part}_{name}")) for name in names)] for part in parts]
    show_table(("", *names), rows)
    for warning in job.warnings:
        typer.echo(f"warning: {warning}")
    promotion = job.promotion
    if promotion is not None:
        active = "is active" if promotion.promoted else "is not active"
        typer.echo(f"version {job.version} of {job.model} {active}: {promotion.reason}")
