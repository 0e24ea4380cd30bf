"""Rows of datasets, and the jobs that read them."""

from __future__ import annotations

import dataclasses

import pytest

from ml.datasets.profile import Column, Profile
from service.entities import Promotion
from service.errors import DatasetNotFoundError
from service.store.database import Database
from tests.service.making import NOW, PROFILE, later, new_dataset, new_job

FULL = Profile(
    3_000_000_000,
    (
        Column("age", "integer", 1, 9, 0.1, 1e308, 5e-324, 0.1 + 0.2, None),
        Column("städtchen \U0001f3e0", "text", 0, 2, "a", "\u00e9", None, None, ("a", "\u00e9")),
        Column("empty", "date", 4, 0, None, None, None, None, None),
    ),
)


def test_a_dataset_keeps_all_that_was_registered(database: Database) -> None:
    new = dataclasses.replace(new_dataset(profile=FULL), name=None, bytes=2**40)
    with database.write() as stores:
        added = stores.datasets.add(new, later(5))
    with database.read() as stores:
        found = stores.datasets.get(new.id)
        assert stores.datasets.profile(new.id) == FULL
    assert found == added == stores_find(database, new.id)
    assert found.created_at == later(5)
    assert found.rows == 3_000_000_000
    for field in dataclasses.fields(new):
        assert getattr(found, field.name) == getattr(new, field.name)


def stores_find(database: Database, dataset_id: str) -> object:
    with database.read() as stores:
        return stores.datasets.find(dataset_id)


def test_what_is_not_there_is_told(database: Database) -> None:
    with database.write() as stores:
        assert stores.datasets.find("x") is None
        for ask in (
            stores.datasets.get,
            stores.datasets.profile,
            stores.datasets.require,
            stores.datasets.delete,
        ):
            with pytest.raises(DatasetNotFoundError, match="there is no dataset x"):
                ask("x")


def test_numbers_are_not_given_out_again(database: Database) -> None:
    with database.write() as stores:
        first = stores.datasets.add(new_dataset(), NOW)
        stores.datasets.delete(first.id)
        second = stores.datasets.add(new_dataset(), NOW)
        assert second.number > first.number
        assert stores.datasets.ids() == {second.id}
        assert stores.datasets.count() == 1
        stores.datasets.require(second.id)


def test_mending_changes_the_profile_alone(database: Database) -> None:
    new = new_dataset()
    with database.write() as stores:
        before = stores.datasets.add(new, NOW)
        after = stores.datasets.mend(new.id, FULL)
    assert after == dataclasses.replace(before, rows=FULL.rows, profile=FULL)
    assert before.profile == PROFILE


def test_pages_leave_the_profile_out(database: Database) -> None:
    with database.write() as stores:
        ids = [stores.datasets.add(new_dataset(), NOW).id for _ in range(4)]
        page = stores.datasets.list_newest(3, None)
        assert [dataset.id for dataset in page] == ids[:0:-1]
        assert {dataset.profile for dataset in page} == {None}
        rest = stores.datasets.list_newest(3, page[-1].number)
        assert [dataset.id for dataset in rest] == ids[:1]


def test_a_dataset_is_in_use_from_submission_to_the_end(database: Database) -> None:
    here, other = "a" * 32, "b" * 32
    promotion = Promotion(False, "not better")
    with database.write() as stores:
        assert not stores.jobs.uses_dataset(here)
        job = stores.jobs.add(dataclasses.replace(new_job(), dataset=here), NOW)
        assert (job.dataset, job.warnings) == (here, [])
        assert stores.jobs.uses_dataset(here)
        assert not stores.jobs.uses_dataset(other)
        claimed = stores.jobs.claim(NOW)
        assert claimed is not None
        assert claimed.dataset == here
        assert stores.jobs.uses_dataset(here)
        stores.jobs.succeed(job.id, claimed.fence, 1, {}, promotion, NOW, ["a", "b"])
        assert not stores.jobs.uses_dataset(here)
        ended = stores.jobs.get(job.id)
        assert (ended.dataset, ended.warnings) == (here, ["a", "b"])


def test_jobs_that_read_no_dataset_use_none(database: Database) -> None:
    with database.write() as stores:
        stores.jobs.add(new_job(), NOW)
        assert stores.jobs.list_newest(1, None, None, None)[0].dataset is None
        assert not stores.jobs.uses_dataset("")
