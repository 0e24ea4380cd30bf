"""What a supervisor deletes in its sweeps, and what it leaves."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.entities import Worker
from service.jobs.supervisor import SWEEP_SECONDS, Supervisor
from service.jobs.sweeping import ORPHAN_SECONDS
from service.settings import Settings
from tests.service.making import Place, line


@pytest.fixture(params=["sqlite", "postgres"])
def back_end(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def age(settings: Settings, name: str) -> None:
    long_ago = time.time() - ORPHAN_SECONDS - 60
    os.utime(settings.artifacts_dir / name, (long_ago, long_ago))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_sweep_takes_old_orphans_and_nothing_else(
    place: Place, settings: Settings, supervisor: Supervisor
) -> None:
    place.publish(line(1))
    place.publish(line(2), model="other")
    deleted = place.publish(line(3), active=False)
    old_version, other_version = place.artifact_of(1), place.artifact_of(1, "other")
    deleted_artifact = place.artifact_of(deleted)
    with place.database.write() as stores:
        stores.versions.delete("default", deleted)
    old_orphan, young_orphan = place.artifacts.publish(line(4)), place.artifacts.publish(line(5))
    for name in (".unfinished-old", ".unfinished-young"):
        (settings.artifacts_dir / name).mkdir()
    for name in (old_version, other_version, deleted_artifact, old_orphan, ".unfinished-old"):
        age(settings, name)
    supervisor.step(0)
    assert names(settings.artifacts_dir) == {
        old_version,
        other_version,
        young_orphan,
        ".unfinished-young",
    }


def test_a_sweep_takes_files_of_no_dataset(settings: Settings, supervisor: Supervisor) -> None:
    orphan, upload = settings.datasets_dir / ("f" * 32), settings.datasets_dir / ".unfinished-young"
    for folder in (orphan, upload):
        folder.mkdir(parents=True)
    long_ago = time.time() - ORPHAN_SECONDS - 60
    os.utime(orphan, (long_ago, long_ago))
    supervisor.step(0)
    assert names(settings.datasets_dir) == {upload.name}


def test_sweeps_come_once_in_a_while_and_not_during_a_stop(
    place: Place, settings: Settings, supervisor: Supervisor
) -> None:
    supervisor.step(0)
    name = place.artifacts.publish(line())
    age(settings, name)
    supervisor.step(SWEEP_SECONDS - 1)
    assert names(settings.artifacts_dir) == {name}
    supervisor.step(SWEEP_SECONDS)
    assert names(settings.artifacts_dir) == set()
    name = place.artifacts.publish(line())
    age(settings, name)
    supervisor.stop()
    supervisor.step(10 * SWEEP_SECONDS)
    assert names(settings.artifacts_dir) == {name}


def test_a_sweep_forgets_old_keys_and_silent_workers(place: Place, supervisor: Supervisor) -> None:
    job = place.queue()
    now = datetime.now(UTC)
    with place.database.write() as stores:
        for key, hours in (("old", 25), ("young", 23)):
            stores.keys.remember(key, "digest", job.id, now - timedelta(hours=hours))
        for slot, minutes in ((0, 61), (1, 59)):
            seen = now - timedelta(minutes=minutes)
            stores.workers.announce(Worker("a", slot, 100, 1, None, seen))
    supervisor.step(0)
    long_ago = now - timedelta(days=10)
    with place.database.read() as stores:
        assert stores.keys.find("old", long_ago) is None
        assert stores.keys.find("young", long_ago) == ("digest", job.id)
        assert [worker.slot for worker in stores.workers.live(long_ago)] == [1]


# ---- retention ----


def keeping(place: Place, **changes: int) -> Supervisor:
    settings = place.settings.model_copy(update=changes)
    return Supervisor(settings, place.database, lambda job_id, fence: 1)


def numbers(place: Place, model: str = "default") -> list[int]:
    with place.database.read() as stores:
        return sorted(v.number for v in stores.versions.list_newest(model, 100, None))


def test_every_version_is_kept_unless_told_otherwise(place: Place) -> None:
    for weight in range(5):
        place.publish(line(weight))
    keeping(place).step(0)
    assert numbers(place) == [1, 2, 3, 4, 5]


def test_the_newest_versions_of_each_model_are_kept_and_the_active_one(place: Place) -> None:
    for weight in range(6):
        place.publish(line(weight), active=weight == 0)
    for weight in range(2):
        place.publish(line(10 + weight), model="other")
    keeping(place, keep_versions=2).step(0)
    assert numbers(place) == [1, 5, 6]
    assert numbers(place, "other") == [1, 2]


def test_a_version_that_a_web_process_has_loaded_is_kept(place: Place) -> None:
    for weight in range(5):
        place.publish(line(weight))
    loaded = (place.artifact_of(2),)
    with place.database.write() as stores:
        stores.workers.announce(Worker("a", 0, 100, 1, None, datetime.now(UTC), loaded))
    keeping(place, keep_versions=1).step(0)
    assert numbers(place) == [2, 5]


def test_a_version_that_a_waiting_or_running_job_starts_from_is_kept(place: Place) -> None:
    for weight in range(5):
        place.publish(line(weight))
    place.queue(start_from=2)
    place.claim()
    place.queue(start_from=3)
    ended = place.queue(start_from=1)
    with place.database.write() as stores:
        stores.jobs.request_cancel(ended.id, datetime.now(UTC))
    keeping(place, keep_versions=1, train_concurrency=1).step(0)
    assert numbers(place) == [2, 3, 5]


def test_jobs_that_ended_long_ago_are_deleted_with_all_they_tell(place: Place) -> None:
    old, young, waiting = place.queue(), place.queue(), place.queue()
    now = datetime.now(UTC)
    with place.database.write() as stores:
        stores.jobs.request_cancel(old.id, now - timedelta(days=8))
        stores.jobs.request_cancel(young.id, now - timedelta(days=6))
        stores.keys.remember("key", "digest", old.id, now)
    keeping(place).step(0)
    with place.database.read() as stores:
        assert stores.jobs.count() == 3
    keeping(place, keep_jobs_days=7).step(0)
    with place.database.read() as stores:
        left = [job.id for job in stores.jobs.list_newest(10, None, None, None)]
        assert left == [waiting.id, young.id]
        assert stores.jobs.events(old.id, 0, 10) == []
        assert stores.keys.find("key", now - timedelta(days=1)) is None
