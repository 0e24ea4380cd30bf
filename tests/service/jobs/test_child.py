"""The training process, run for real: a process of its own, a real database, real artifacts."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from typing import Any

import pytest

from service.entities import Job
from service.jobs.child import run_job
from service.jobs.desk import JobDesk
from service.registry.registry import Registry
from service.settings import Settings
from tests.service.jobs.children import (
    run_and_lose_the_lease_at_the_end,
    run_while_another_version_is_activated,
    run_with_little_memory,
)
from tests.service.making import FORKSERVER, Place, line
from tests.waiting import until

LONG: dict[str, Any] = {"epochs": 1_000_000, "evaluate_every": 1000}
"""Takes minutes, unless something ends it."""

DIVERGES: dict[str, Any] = {
    "data": {"source": "points", "x": [1e3, 2e3, 3e3, 4e3, 5e3], "y": [1, 2, 3, 4, 5]},
    "standardize": False,
    "loss": "mse",
    "optimizer": {"kind": "sgd", "lr": 1.0},
}

Run = Callable[[Settings, str, int], None]


def start(place: Place, job: Job, fence: int = 1, run: Run = run_job) -> ForkServerProcess:
    process = FORKSERVER.Process(target=run, args=(place.settings, job.id, fence))
    process.start()
    return process


def finish(process: ForkServerProcess) -> int:
    process.join(60)
    if process.exitcode is None:
        process.kill()
    assert process.exitcode is not None, "it did not end"
    return process.exitcode


def train(place: Place, run: Run = run_job, **spec: Any) -> Job:
    """Train as the supervisor would; the ended job."""
    job = place.queue(**spec)
    place.claim()
    assert finish(start(place, job, run=run)) == 0
    return place.job(job.id)


def wait_until_it_trains(place: Place, job: Job) -> None:
    until(lambda: place.job(job.id).epoch > 0, "the training to begin")


def versions(place: Place, model: str = "default") -> list[int]:
    with place.database.read() as stores:
        if stores.versions.count_models() == 0:
            return []
        return [version.number for version in stores.versions.list_newest(model, 100, None)]


# ---- success ----


def test_a_training_ends_with_a_version_that_serves(place: Place) -> None:
    job = train(place, epochs=50)
    assert (job.state, job.version, job.epoch, job.attempt) == ("succeeded", 1, 50, 1)
    assert job.promotion is not None
    assert (job.promotion.promoted, job.promotion.reason) == (True, "first version")
    assert job.metrics is not None
    assert job.metrics.keys() >= {"train_loss", "test_loss", "test_mae", "test_rmse", "test_r2"}
    with place.database.read() as stores:
        version = stores.versions.get("default", 1)
        deployment = stores.deployments.get("default")
        curve = stores.jobs.curve(job.id)
    assert (version.job_id, version.spec, version.metrics) == (job.id, job.spec, job.metrics)
    assert version.truth == {"weight": 0.7, "bias": 0.3}
    assert deployment is not None
    assert (deployment.version, deployment.generation) == (1, job.promotion.generation)
    assert [point["epoch"] for point in curve] == [*range(0, 50, 5), 49]
    assert place.artifacts.load(version.artifact).feature_names == ("x",)


def test_version_promotion_and_end_of_the_job_are_seen_at_one_instant(place: Place) -> None:
    job = place.queue(epochs=100)
    place.claim()
    process = start(place, job)
    seen = set()
    while process.is_alive():
        with place.database.read() as stores:
            seen.add(
                (
                    stores.jobs.get(job.id).state,
                    stores.versions.count_models(),
                    stores.deployments.newest_generation(),
                    stores.jobs.events(job.id, 0, 1000)[-1].kind == "end",
                )
            )
    assert finish(process) == 0
    assert seen <= {("running", 0, 0, False), ("succeeded", 1, 1, True)}
    assert ("running", 0, 0, False) in seen


def test_the_version_of_a_bootstrap_tells_that_it_is_one(place: Place) -> None:
    job = JobDesk(place.database, place.settings).bootstrap()
    assert job is not None
    place.claim()
    assert finish(start(place, job)) == 0
    with place.database.read() as stores:
        assert stores.versions.get("default", 1).origin == "bootstrap"


def test_columns_that_vary_by_next_to_nothing_have_an_optimum_that_json_holds(place: Place) -> None:
    # The square of their difference is no float64: what there is to learn from is the mean of y,
    # and any weight is as good as the model's.
    points = {"source": "points", "x": [0, 1e-310], "y": [1e9, -1]}
    job = train(place, data=points, split={"train": 1}, standardize=False, epochs=1)
    assert job.state == "succeeded"
    with place.database.read() as stores:
        optimum = stores.versions.get("default", 1).least_squares
    assert optimum is not None
    ((weight,),) = optimum["weight_TF"]
    assert abs(weight) < 1
    assert optimum["bias_T"] == [pytest.approx(5e8)]


def test_what_was_not_asked_to_be_promoted_is_registered_only(place: Place) -> None:
    job = train(place, epochs=1, promote="never")
    assert (job.state, job.version) == ("succeeded", 1)
    assert place.active() is None


# ---- other ends ----


def test_a_diverged_training_fails_with_advice_and_leaves_no_version(place: Place) -> None:
    place.publish()
    job = train(place, promote="always", **DIVERGES)
    assert (job.state, job.version, job.promotion) == ("failed", None, None)
    assert job.error is not None
    assert job.error.code == "diverged"
    assert "standardize" in job.error.message
    assert (versions(place), place.active()) == ([1], 1)


def test_a_step_beyond_float32_has_diverged(place: Place) -> None:
    points = {"source": "points", "x": [1, 2, 3, 4, 5], "y": [1, 2, 3, 4, 5]}
    job = train(place, data=points, optimizer={"kind": "adam", "lr": 3e38}, epochs=2)
    assert job.error is not None
    assert job.error.code == "diverged"


def test_a_running_training_stops_when_a_cancel_is_asked_for(place: Place) -> None:
    job = place.queue(**LONG)
    place.claim()
    process = start(place, job)
    wait_until_it_trains(place, job)
    with place.database.write() as stores:
        stores.jobs.request_cancel(job.id, datetime.now(UTC))
    assert finish(process) == 0
    cancelled = place.job(job.id)
    assert (cancelled.state, cancelled.error, cancelled.version) == ("cancelled", None, None)
    assert versions(place) == []
    with place.database.read() as stores:
        assert stores.jobs.curve(job.id)[0]["epoch"] == 0


def test_memory_that_runs_out_is_a_reason_in_words(place: Place, settings: Settings) -> None:
    large = settings.model_copy(
        update={"max_hidden_units": 10**6, "max_parameters": 10**12, "max_work": 10**15}
    )
    huge = {"kind": "mlp", "hidden": [40_000, 40_000]}
    job = train(
        Place(large, place.database, place.artifacts),
        run=run_with_little_memory,
        architecture=huge,
        epochs=1,
    )
    assert job.error is not None
    assert job.error.code == "out_of_memory"
    assert "smaller model" in job.error.message


# ---- a lost lease ----


def test_whoever_lost_the_job_stops_and_publishes_nothing(place: Place) -> None:
    job = place.queue(**LONG)
    place.claim()
    process = start(place, job)
    wait_until_it_trains(place, job)
    with place.database.write() as stores:
        assert stores.jobs.requeue(job.id, 1, datetime.now(UTC), count_attempt=True)
        assert stores.jobs.claim(datetime.now(UTC)) is not None
    held = place.job(job.id)
    assert finish(process) == 0
    assert place.job(job.id) == held
    assert versions(place) == []


def test_whoever_loses_the_job_at_the_last_instant_registers_nothing(place: Place) -> None:
    place.publish()
    job = place.queue(epochs=1, promote="always")
    place.claim()
    assert finish(start(place, job, run=run_and_lose_the_lease_at_the_end)) == 0
    held = place.job(job.id)
    assert (held.state, held.fence, held.version) == ("running", 2, None)
    assert (versions(place), place.active()) == ([1], 1)


# ---- a stop of the service ----


def test_a_stop_puts_the_job_back_without_counting_the_attempt(place: Place) -> None:
    job = place.queue(**LONG)
    place.claim()
    process = start(place, job)
    wait_until_it_trains(place, job)
    assert process.pid is not None
    process.terminate()
    assert finish(process) == 0
    put_back = place.job(job.id)
    assert (put_back.state, put_back.attempt, put_back.epoch) == ("queued", 0, 0)
    assert place.claim().attempt == 1


def test_a_kill_leaves_the_job_to_who_mends_it_and_nothing_half_done(place: Place) -> None:
    job = place.queue(**LONG)
    place.claim()
    process = start(place, job)
    wait_until_it_trains(place, job)
    process.kill()
    assert finish(process) == -signal.SIGKILL
    assert place.job(job.id).state == "running"
    assert versions(place) == []


# ---- where a training starts ----


@pytest.mark.parametrize("start_from", ["active", 1])
def test_a_training_starts_from_the_parameters_of_a_version(
    place: Place, start_from: str | int
) -> None:
    place.publish(line(0.7, 0.3))
    job = train(place, epochs=1, start_from=start_from)
    assert job.state == "succeeded"
    with place.database.read() as stores:
        (first,) = stores.jobs.curve(job.id)
    # From new parameters it is 0.555.
    assert first["train_loss"] < 1e-6


@pytest.mark.parametrize(
    ("spoil", "code"), [("damage", "artifact_corrupt"), ("delete", "artifact_missing")]
)
def test_a_training_cannot_start_from_a_version_whose_files_are_gone_or_damaged(
    place: Place, spoil: str, code: str
) -> None:
    place.publish()
    artifact = place.artifact_of(1)
    if spoil == "damage":
        place.damage(artifact)
    else:
        place.artifacts.delete(artifact)
    job = train(place, epochs=1, start_from="active")
    assert job.error is not None
    assert (job.state, job.error.code) == ("failed", code)


def test_a_training_cannot_start_from_a_version_that_was_deleted_while_it_waited(
    place: Place,
) -> None:
    place.publish(active=False)
    job = place.queue(start_from=1)
    Registry(place.database, place.artifacts).delete("default", 1)
    place.claim()
    assert finish(start(place, job)) == 0
    error = place.job(job.id).error
    assert error is not None
    assert (error.code, error.message) == ("invalid_request", "model default has no version 1")


# ---- the contest ----


def test_the_better_version_stays(place: Place) -> None:
    place.publish(line(0.7, 0.3))
    job = train(place, epochs=1)
    assert (job.state, job.version) == ("succeeded", 2)
    assert job.promotion is not None
    assert job.promotion.promoted is False
    assert job.promotion.reason.startswith("worse: mae ")
    assert job.promotion.reason.endswith(" of version 1 on the same rows")
    assert place.active() == 1


def test_the_better_version_wins(place: Place) -> None:
    place.publish(line(5.0, -5.0))
    job = train(place, epochs=1000)
    assert job.promotion is not None
    assert job.promotion.promoted
    assert place.active() == 2


def test_a_version_of_another_shape_stays_unless_it_is_the_bootstrap(place: Place) -> None:
    place.publish(line([1.0, 2.0]))
    job = train(place, epochs=1)
    assert job.promotion is not None
    assert "other features or targets" in job.promotion.reason
    assert place.active() == 1
    place.publish(line([1.0, 2.0]), origin="bootstrap")
    job = train(place, epochs=1)
    assert job.promotion is not None
    assert "bootstrap" in job.promotion.reason
    assert place.active() == job.version


def test_a_version_whose_files_are_damaged_is_beaten_by_any(place: Place) -> None:
    place.publish(line(0.7, 0.3))
    place.damage(place.artifact_of(1))
    job = train(place, epochs=1)
    assert job.promotion is not None
    assert job.promotion.promoted
    assert place.active() == 2


def test_a_version_that_became_active_meanwhile_is_the_one_to_beat(place: Place) -> None:
    place.publish(line(5.0, -5.0))
    place.publish(line(0.7, 0.3), active=False)
    job = train(place, run=run_while_another_version_is_activated, epochs=1)
    assert job.promotion is not None
    assert job.promotion.promoted is False
    assert job.promotion.reason.endswith("of version 2 on the same rows")
    assert place.active() == 2
