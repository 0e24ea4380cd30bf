"""What was asked, from the row of a job: its spec beside the datasets that there are."""

from __future__ import annotations

from typing import Any

from ml.datasets.profile import Profile
from ml.spec.dataset import DATASETS, DatasetSpec
from service.datasets.catalogue import Datasets
from service.entities import Job
from service.schemas.training import TrainRequest, stored_request


def validation_context(datasets: Datasets) -> dict[str, Any]:
    """What a `TrainRequest` is validated with; a dataset is looked up once."""
    known: dict[str, Profile] = {}

    def facts(dataset_id: str) -> Profile:
        if dataset_id not in known:
            known[dataset_id] = datasets.facts(dataset_id)
        return known[dataset_id]

    return {DATASETS: facts}


def request_of(job: Job, datasets: Datasets) -> TrainRequest:
    """The request that a job was made by.

    Raises:
        DatasetNotFoundError: the dataset that it read is gone.
        SpecUnreadableError: its architecture is not installed here any more.
    """
    assert job.spec is not None
    return stored_request(job.spec, validation_context(datasets))


def dataset_of(request: TrainRequest) -> str | None:
    """The id of the dataset that a request reads, if it reads one."""
    return request.data.dataset if isinstance(request.data, DatasetSpec) else None
