"""A training process that is killed or stopped, and the one that goes on from its checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ml.artifact import encode
from ml.training.checkpoint import decode
from service.entities import Job
from service.jobs.checkpoints import Checkpoints
from service.jobs.deaths import TRY_AGAIN
from service.settings import Settings
from tests.service.jobs.children import (
    run_and_stop_after,
    run_and_tell,
    run_with_checkpoints_galore,
    run_with_little_patience,
)
from tests.service.jobs.test_child import LONG, finish, start, train, wait_until_it_trains
from tests.service.making import Place, write_locked
from tests.waiting import until

TRAINING: dict[str, Any] = {
    "data": {
        "source": "points",
        "x": [[a / 7, (a * a) % 11 / 5] for a in range(200)],
        "y": [(a % 13) / 6 for a in range(200)],
    },
    "architecture": {"kind": "mlp", "hidden": [8], "dropout": 0.2, "batch_norm": True},
    "optimizer": {"kind": "adam", "lr": 0.01},
    "early_stopping": {"patience": 10_000},
    "batch_size": 32,
    "epochs": 400,
    "evaluate_every": 10,
}
"""Takes a second or two."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """As many checkpoints as their share of the time allows."""
    return settings.model_copy(update={"checkpoint_seconds": 1e-3})


def checkpoints(place: Place, job: Job) -> Checkpoints:
    return Checkpoints(place.settings.checkpoints_dir / job.id)


def result(place: Place, job: Job) -> tuple[Any, ...]:
    """All that a training came to."""
    job = place.job(job.id)
    assert job.state == "succeeded", job.error
    assert job.version is not None
    with place.database.read() as stores:
        version = stores.versions.get(job.model, job.version)
        curve = stores.jobs.curve(job.id)
        points = [e.data for e in stores.jobs.events(job.id, 0, 10_000) if e.kind == "point"]
    assert points == curve, "every point stands in the history once"
    files = encode(place.artifacts.load(version.artifact))
    return version.artifact, files, curve, job.metrics, version.environment


def kill_once_saved(place: Place, job: Job, fence: int, number: int) -> None:
    """Run it until it has written that many checkpoints, and kill it in the midst of training."""
    process = start(place, job, fence, run_with_checkpoints_galore)
    folder, newest = place.settings.checkpoints_dir / job.id, f"{number:09d}*"
    until(lambda: [*folder.glob(newest)] or not process.is_alive(), "a checkpoint")
    process.kill()
    process.join()
    assert place.job(job.id).state == "running"


def put_back_and_claim(place: Place, job: Job) -> int:
    """What the supervisor does for a job whose process died; the new fence."""
    held = place.job(job.id)
    with place.database.write() as stores:
        assert stores.jobs.requeue(job.id, held.fence, held.created_at, count_attempt=True)
    return place.claim().fence


def test_a_killed_training_goes_on_and_ends_with_the_same_bits(place: Place) -> None:
    undisturbed = result(place, train(place, promote="never", **TRAINING))
    job = place.queue(promote="never", **TRAINING)
    fence = place.claim().fence
    for number in (2, 4, 5):
        kill_once_saved(place, job, fence, number)
        (_, content), *_ = checkpoints(place, job).newest_first()
        decode(content)
        fence = put_back_and_claim(place, job)
    assert finish(start(place, job, fence)) == 0
    assert result(place, job) == undisturbed
    assert not checkpoints(place, job).exist, "they are deleted when the job ends"


def test_damaged_checkpoints_are_passed_over(place: Place) -> None:
    undisturbed = result(place, train(place, promote="never", **TRAINING))
    for damaged in (1, 2):
        job = place.queue(promote="never", **TRAINING)
        kill_once_saved(place, job, place.claim().fence, 3)
        folder = place.settings.checkpoints_dir / job.id
        assert checkpoints(place, job).advanced_by(1)
        for path in sorted(folder.iterdir())[-damaged:]:
            path.write_bytes(path.read_bytes()[:-1])
        fence = put_back_and_claim(place, job)
        kill_once_saved(place, job, fence, 7)
        assert not checkpoints(place, job).advanced_by(fence), "it did over what was damaged"
        fence = put_back_and_claim(place, job)
        kill_once_saved(place, job, fence, 9)
        assert checkpoints(place, job).advanced_by(fence)
        fence = put_back_and_claim(place, job)
        assert finish(start(place, job, fence)) == 0
        assert result(place, job) == undisturbed


def test_a_checkpoint_of_another_job_is_passed_over(place: Place) -> None:
    other = place.queue(promote="never", **{**TRAINING, "seed": 1})
    kill_once_saved(place, other, place.claim().fence, 1)
    undisturbed = result(place, train(place, promote="never", **TRAINING))
    job = place.queue(promote="never", **TRAINING)
    root = place.settings.checkpoints_dir
    shutil.copytree(root / other.id, root / job.id)
    assert finish(start(place, job, place.claim().fence)) == 0
    assert result(place, job) == undisturbed


def test_a_stop_saves_a_checkpoint_at_once_and_the_next_start_goes_on_from_it(
    place: Place, tmp_path: Path
) -> None:
    rare = place.settings.model_copy(update={"checkpoint_seconds": 1000.0})
    place = Place(rare, place.database, place.artifacts)
    undisturbed = result(place, train(place, promote="never", **TRAINING))
    job = place.queue(promote="never", **TRAINING)
    place.claim()
    assert finish(start(place, job, run=run_and_stop_after)) == 0
    assert place.job(job.id).state == "queued"
    (_, content), *older = checkpoints(place, job).newest_first()
    assert older == []
    saved = decode(content).state
    made = saved["loop"]["place"]["epoch"]
    assert 0 < made < TRAINING["epochs"]
    with place.database.read() as stores:
        # None is told that is not saved, and none is saved that is not told.
        assert len(stores.jobs.curve(job.id)) == len(saved["curve"])
    assert finish(start(place, job, place.claim().fence, run=run_and_tell)) == 0
    assert result(place, job) == undisturbed
    told = (rare.data_dir / "first_report").read_text()
    assert int(told) >= made, "it did not begin anew"


def test_a_stop_while_the_database_is_away_saves_all_and_leaves_the_rest_to_who_mends_it(
    place: Place,
) -> None:
    job = place.queue(**LONG)
    place.claim()
    process = start(place, job, run=run_with_little_patience)
    wait_until_it_trains(place, job)
    with write_locked(place.settings.sqlalchemy_url):
        process.terminate()
        assert finish(process) == TRY_AGAIN == 75
    left = place.job(job.id)
    assert (left.state, left.fence, left.error) == ("running", 1, None)
    assert checkpoints(place, job).advanced_by(1)


def test_without_room_for_checkpoints_a_training_ends_all_the_same(place: Place) -> None:
    undisturbed = result(place, train(place, promote="never", **TRAINING))
    # A file where the folder is to be.
    place.settings.checkpoints_dir.rmdir()
    place.settings.checkpoints_dir.write_text("")
    assert result(place, train(place, promote="never", **TRAINING)) == undisturbed


def test_a_training_that_is_cancelled_or_fails_leaves_no_checkpoint(place: Place) -> None:
    job = place.queue(**{**TRAINING, "epochs": 100_000})
    fence = place.claim().fence
    process = start(place, job, fence)
    wait_until_it_trains(place, job)
    until(lambda: checkpoints(place, job).exist, "a checkpoint")
    with place.database.write() as stores:
        stores.jobs.request_cancel(job.id, job.created_at)
    assert finish(process) == 0
    assert place.job(job.id).state == "cancelled"
    assert not checkpoints(place, job).exist


def test_a_short_training_has_none(place: Place) -> None:
    usual = place.settings.model_copy(update={"checkpoint_seconds": 5.0})
    train(Place(usual, place.database, place.artifacts))
    assert not usual.checkpoints_dir.exists()


def test_a_training_goes_on_though_the_version_it_started_from_is_gone(place: Place) -> None:
    first = train(place, promote="always", **{**TRAINING, "epochs": 5})
    again = {**TRAINING, "start_from": 1}
    undisturbed = result(place, train(place, promote="never", **again))
    job = place.queue(promote="never", **again)
    kill_once_saved(place, job, place.claim().fence, 2)
    assert first.version == 1
    place.artifacts.delete(place.artifact_of(1))
    assert finish(start(place, job, put_back_and_claim(place, job))) == 0
    assert result(place, job) == undisturbed
