"""Figures of a job: its learning curve, and what its version predicts. matplotlib is imported only
where something is drawn (0.5 s and 40 MB)."""

from __future__ import annotations

import json
from typing import Literal

from ml.data.sources import load_table
from ml.data.split import split_table
from service.entities import Job
from service.errors import JobNotFinishedError
from service.jobs.desk import JobDesk
from service.schemas.training import TrainRequest
from service.serving.inference import Inference

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
    return render(draw_learning_curves(epochs, losses, _spec(job).loss), kind)


def picture_of_fit(inference: Inference, job: Job, kind: PictureKind) -> bytes:
    """Train, test and predicted points of the version that the job made.

    Raises:
        JobNotFinishedError: it made none, or not yet.
        VersionNotFoundError, VersionUnloadableError: it is gone, or damaged.
    """
    if job.version is None:
        raise JobNotFinishedError(f"job {job.id} has made no version; its state is {job.state}")
    predictor = inference.version(job.model, job.version).predictor
    from ml.plots import draw_fit, render

    spec = _spec(job)
    parts = split_table(load_table(spec.data, spec.seed), spec.split, spec.seed)
    return render(draw_fit(parts, predictor.predict), kind)


def _spec(job: Job) -> TrainRequest:
    return TrainRequest.model_validate_json(json.dumps(job.spec))
