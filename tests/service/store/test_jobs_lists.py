"""Lists and counts of jobs, and the keys that make a repeated request the same job."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from service.entities import Job, JobState
from service.store.database import Database
from tests.service.making import NOW, later, new_job


def fill(database: Database) -> list[Job]:
    """Seven jobs, newest first: the oldest two run, one of them of model b."""
    with database.write() as stores:
        for model in ("a", "b", "a", "b", "a", "b", "a"):
            stores.jobs.add(new_job(model), NOW)
        stores.jobs.claim(NOW)
        stores.jobs.claim(NOW)
        return stores.jobs.list_newest(100, None, None, None)


def walk(database: Database, limit: int, model: str | None, state: JobState | None) -> list[Job]:
    found: list[Job] = []
    below = None
    while True:
        with database.read() as stores:
            page = stores.jobs.list_newest(limit, below, model, state)
        assert len(page) <= limit
        if not page:
            return found
        found += page
        below = page[-1].number


def test_pages_of_any_size_walk_every_job_once_newest_first(database: Database) -> None:
    jobs = fill(database)
    assert [job.number for job in jobs] == sorted((job.number for job in jobs), reverse=True)
    for limit in (1, 2, 3, 7, 100):
        assert walk(database, limit, None, None) == jobs


def test_jobs_that_arrive_while_pages_are_read_disturb_no_page(database: Database) -> None:
    jobs = fill(database)
    with database.write() as stores:
        first = stores.jobs.list_newest(3, None, None, None)
        stores.jobs.add(new_job(), NOW)
        rest = stores.jobs.list_newest(100, first[-1].number, None, None)
    assert first + rest == jobs


def test_lists_are_cut_by_model_and_state(database: Database) -> None:
    jobs = fill(database)
    for model in ("a", "b", "c"):
        assert walk(database, 2, model, None) == [job for job in jobs if job.model == model]
    assert walk(database, 2, None, "running") == jobs[-2:]
    assert walk(database, 2, "b", "running") == [jobs[-2]]
    assert walk(database, 2, None, "failed") == []


def test_lists_leave_the_spec_out_and_else_say_what_get_says(database: Database) -> None:
    jobs = fill(database)
    with database.read() as stores:
        for job in jobs:
            whole = stores.jobs.get(job.id)
            assert whole.spec is not None
            assert dataclasses.replace(whole, spec=None) == job


def test_counts_are_of_all_or_of_one_state(database: Database) -> None:
    fill(database)
    with database.read() as stores:
        assert stores.jobs.count() == 7
        assert stores.jobs.count("queued") == 5
        assert stores.jobs.count("running") == 2
        assert stores.jobs.count("failed") == 0


def test_a_key_is_found_until_it_is_too_old(database: Database) -> None:
    with database.write() as stores:
        job = stores.jobs.add(new_job(), NOW)
        stores.keys.remember("key", "digest", job.id, NOW)
        assert stores.keys.find("key", NOW) == ("digest", job.id)
        assert stores.keys.find("key", later(0.001)) is None
        assert stores.keys.find("other", NOW) is None


def test_a_newer_memory_of_a_key_takes_the_place_of_the_old(database: Database) -> None:
    with database.write() as stores:
        one, two = (stores.jobs.add(new_job(), NOW).id for _ in range(2))
        stores.keys.remember("key", "first", one, NOW)
        stores.keys.remember("key", "second", two, later(1))
        assert stores.keys.find("key", NOW - timedelta(days=1)) == ("second", two)


def test_only_old_keys_are_deleted(database: Database) -> None:
    with database.write() as stores:
        job = stores.jobs.add(new_job(), NOW)
        for seconds in (0, 10, 20):
            stores.keys.remember(f"key{seconds}", "digest", job.id, later(seconds))
        assert stores.keys.delete_older(later(10)) == 1
        kept = [stores.keys.find(f"key{s}", NOW) is not None for s in (0, 10, 20)]
    assert kept == [False, True, True]


def test_counts_by_state_and_the_job_that_waits_longest(database: Database) -> None:
    with database.read() as stores:
        assert stores.jobs.count_by_state() == {}
        assert stores.jobs.oldest_queued() is None
    with database.write() as stores:
        for seconds in (0, 10, 20):
            stores.jobs.add(new_job(), later(seconds))
        stores.jobs.claim(later(30))
    with database.read() as stores:
        assert stores.jobs.count_by_state() == {"running": 1, "queued": 2}
        assert stores.jobs.oldest_queued() == later(10)
