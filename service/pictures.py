"""Figures of a job: its learning curve, and what its version predicts. matplotlib is imported only
where something is drawn (0.5 s and 40 MB)."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Literal

from ml.data.dataset import DatasetFiles
from ml.data.sources import load_parts
from ml.errors import DatasetError
from ml.spec.dataset import DatasetSpec
from service.datasets.catalogue import Datasets
from service.entities import Job
from service.errors import DatasetUnreadableError, JobNotFinishedError, PictureTooLargeError
from service.jobs.desk import JobDesk
from service.jobs.requests import request_of
from service.registry.registry import Registry
from service.serving.inference import Inference

logger = logging.getLogger(__name__)

PictureKind = Literal["svg", "png"]

MAX_DATASET_BYTES = 256 * 1024 * 1024
"""Memory that the rows of a dataset may take in a web process for a picture: with those of the
default, half a million rows of ten columns."""


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


def picture_of_fit(
    registry: Registry, inference: Inference, datasets: Datasets, job: Job, kind: PictureKind
) -> bytes:
    """Train, test and predicted points of the version that the job made.

    Raises:
        JobNotFinishedError: it made none, or not yet.
        VersionNotFoundError, VersionUnloadableError: it is gone, or damaged.
        DatasetNotFoundError, DatasetUnreadableError: its rows are gone, or damaged.
        PictureTooLargeError: they are too many to be read here.
    """
    if job.version is None:
        raise JobNotFinishedError(f"job {job.id} has made no version; its state is {job.state}")
    predictor = inference.version(job.model, job.version).predictor
    from ml.plots import draw_fit, render

    spec = request_of(job, datasets)
    # What would not fit is refused, so nothing is ever written to the scratch folder.
    files = DatasetFiles(datasets.folder, Path(os.devnull), MAX_DATASET_BYTES)
    if isinstance(spec.data, DatasetSpec):
        # Rows that were streamed were split in another way than they would be here.
        environment = registry.version(job.model, job.version).environment
        if environment.get("streamed") or not files.fits(spec.data):
            detail = f"the {spec.data.rows:,} rows of the dataset are too many to draw"
            raise PictureTooLargeError(f"{detail} while serving")
    try:
        parts = load_parts(spec, files).parts
    except DatasetError as error:
        logger.error("the picture of job %s: %s", job.id, error)
        detail = "the file of the dataset is missing or damaged: send the file again"
        raise DatasetUnreadableError(detail) from error
    return render(draw_fit(parts, predictor.predict), kind)
