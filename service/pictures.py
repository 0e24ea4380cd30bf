"""Figures of a job: its learning curve, and what its version predicts. matplotlib is imported only
where something is drawn (0.5 s and 40 MB)."""

from __future__ import annotations

from typing import Literal

from service.entities import Job
from service.errors import JobNotFinishedError
from service.fits import Fit
from service.jobs.desk import JobDesk

PictureKind = Literal["svg", "png"]


def picture_of_curve(desk: JobDesk, job: Job, kind: PictureKind) -> bytes:
    """The learning curve so far.

    Raises:
        JobNotFinishedError: it has no point yet.
    """
    points = desk.curve(job.id)
    if not points:
        raise JobNotFinishedError(f"job {job.id} has no point of its curve yet")
    from ml.plots import draw_learning_curves, render

    names = [name for name in points[0] if name != "epoch"]
    losses = {name.removesuffix("_loss"): [point[name] for point in points] for name in names}
    epochs = [int(point["epoch"]) for point in points]
    assert job.spec is not None
    return render(draw_learning_curves(epochs, losses, job.spec["loss"]), kind)


def picture_of_fit(fit: Fit, kind: PictureKind) -> bytes:
    """Train, test and predicted points of the version that the job made."""
    from ml.plots import draw_fit, render

    return render(draw_fit(fit.parts, fit.predictor.predict), kind)
