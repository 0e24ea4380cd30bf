"""What the version of a job answers for the rows it was made from, and for rows between them.

Axes: N rows, F features, T targets.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from ml.data.dataset import DatasetFiles
from ml.data.sources import load_parts
from ml.data.split import Parts
from ml.data.table import Rows
from ml.errors import DatasetError
from ml.predictor import Predictor
from ml.spec.dataset import DatasetSpec
from service.datasets.catalogue import Datasets
from service.entities import Job
from service.errors import DatasetUnreadableError, JobNotFinishedError, PictureTooLargeError
from service.jobs.requests import request_of
from service.registry.registry import Registry
from service.schemas.fit import FitLineResponse, FitResponse, FitSplitResponse
from service.serving.inference import Inference

logger = logging.getLogger(__name__)

MAX_DATASET_BYTES = 256 * 1024 * 1024
"""Memory that the rows of a dataset may take in a web process for a picture: with those of the
default, half a million rows of ten columns."""

MAX_SHOWN_ROWS = 1_000
"""Rows of a split that are sent: a scatter on a screen shows no more than that."""
MAX_SHOWN_TARGETS = 9
"""As many as `ml.plots` draws panels; more would leave none of them legible."""
LINE_POINTS = 201
"""Both ends and 199 between: a kink of an MLP is then within three pixels of its place."""


@dataclass(frozen=True)
class Fit:
    """The rows of a training, split as it split them, and the version that came of it."""

    parts: Parts[Rows]
    predictor: Predictor
    version: int


def load_fit(registry: Registry, inference: Inference, datasets: Datasets, job: Job) -> Fit:
    """The rows that the job was given, and the version that it made.

    Raises:
        JobNotFinishedError: it made none, or not yet.
        VersionNotFoundError, VersionUnloadableError: it is gone, or damaged.
        DatasetNotFoundError, DatasetUnreadableError: its rows are gone, or damaged.
        PictureTooLargeError: they are too many to be read here.
    """
    if job.version is None:
        raise JobNotFinishedError(f"job {job.id} has made no version; its state is {job.state}")
    predictor = inference.version(job.model, job.version).predictor
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
        logger.error("the rows of job %s: %s", job.id, error)
        detail = "the file of the dataset is missing or damaged: send the file again"
        raise DatasetUnreadableError(detail) from error
    return Fit(parts, predictor, job.version)


def fit_response(job: Job, fit: Fit) -> FitResponse:
    """What `GET /jobs/{id}/fit` answers: the same rows every time, evenly spread.

    Raises:
        MLError: the version cannot predict them.
    """
    parts = fit.parts
    splits = [_split(name, rows, fit.predictor) for name, rows in parts.named().items()]
    one_feature = len(parts.train.column_names) == 1
    return FitResponse(
        job=job.id,
        model=job.model,
        version=fit.version,
        feature_names=list(parts.train.feature_names),
        target_names=list(parts.train.target_names[:MAX_SHOWN_TARGETS]),
        splits=splits,
        line=_line(splits, fit.predictor) if one_feature else None,
    )


def _split(name: str, rows: Rows, predictor: Predictor) -> FitSplitResponse:
    shown = rows.sample(MAX_SHOWN_ROWS)
    one_feature = len(rows.column_names) == 1
    return FitSplitResponse(
        split=name,
        rows=len(rows),
        x=shown.x_NF[:, 0].tolist() if one_feature else None,
        actual=_numbers(shown.y_NT),
        predicted=_numbers(predictor.predict(shown.x_NF)),
    )


def _line(splits: list[FitSplitResponse], predictor: Predictor) -> FitLineResponse:
    """What the version answers from the least x of any split to the greatest."""
    seen = [x for split in splits for x in split.x or ()]
    x_N = torch.linspace(min(seen), max(seen), LINE_POINTS, dtype=torch.float64)
    y_NT = predictor.predict(x_N.unsqueeze(1))
    return FitLineResponse(x=x_N.tolist(), predicted=_numbers(y_NT))


def _numbers(y_NT: torch.Tensor) -> list[float] | list[list[float]]:
    """One number a row for one target, else one list a row, as predictions are answered."""
    shown = y_NT[:, :MAX_SHOWN_TARGETS]
    values: list[float] | list[list[float]] = (
        shown[:, 0].tolist() if shown.shape[1] == 1 else shown.tolist()
    )
    return values
