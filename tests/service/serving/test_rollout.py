"""How a new version reaches a web process; the crank turned by hand, time in our hands."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import torch

import service.store.database
from ml.data.scaling import Scaling
from ml.errors import OverflowedError
from ml.predictor import Predictor
from service.artifacts.local import LocalArtifacts
from service.entities import Worker
from service.serving.pool import Pool
from service.serving.rollout import ANNOUNCE_SECONDS, RETRY_SECONDS, Rollout
from service.store.database import Database
from tests.service.jobs.faking import MortalDatabase
from tests.service.making import CPU, Place, at_once, line, predicted, write_locked
from tests.waiting import until


@pytest.fixture
def pool() -> Pool:
    return Pool(4)


@pytest.fixture
def mortal(database_url: str) -> Iterator[MortalDatabase]:
    opened = MortalDatabase(database_url)
    yield opened
    opened.close()


def make(database: Database, place: Place, pool: Pool) -> Rollout:
    artifacts = LocalArtifacts(place.settings.artifacts_dir)
    return Rollout(database, artifacts, pool, CPU, "node:8000", 0, 4711)


@pytest.fixture
def rollout(mortal: MortalDatabase, place: Place, pool: Pool) -> Rollout:
    return make(mortal, place, pool)


def workers(place: Place) -> list[Worker]:
    with place.database.read() as stores:
        return stores.workers.live(datetime.now(UTC) - timedelta(hours=1))


def worker(place: Place) -> Worker:
    (announced,) = workers(place)
    return announced


def serving(pool: Pool, model: str = "default") -> int | None:
    served = pool.active(model)
    return None if served is None else served.version


# ---- load and swap ----


def test_the_active_version_of_every_model_is_loaded(
    place: Place, rollout: Rollout, pool: Pool
) -> None:
    place.publish(line(1))
    place.publish(line(2))
    place.publish(line(3), model="other")
    place.publish(line(4), model="idle", active=False)
    rollout.step(0)
    served = pool.active("default")
    assert served is not None
    assert (served.version, served.generation) == (2, 2)
    assert served.artifact == place.artifact_of(2)
    assert served.predictor.predict(torch.tensor([[1.0]])).item() == predicted(line(2), [1.0])[0]
    assert (serving(pool, "other"), serving(pool, "idle")) == (1, None)


def test_a_new_version_takes_the_place_of_the_old_at_the_next_turn(
    place: Place, rollout: Rollout, pool: Pool
) -> None:
    place.publish(line(1))
    rollout.step(0)
    place.publish(line(2))
    assert serving(pool) == 1
    rollout.step(0.05)
    assert serving(pool) == 2


def test_turns_without_news_load_nothing(
    place: Place, rollout: Rollout, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.publish(line(1))
    rollout.step(0)
    monkeypatch.setattr(LocalArtifacts, "load", None)
    for turn in range(100):
        rollout.step(turn)
    assert serving(pool) == 1


def test_turns_without_news_ask_for_no_rows(
    place: Place, rollout: Rollout, mortal: MortalDatabase
) -> None:
    place.publish(line(1))
    rollout.step(0)
    mortal.asked = 0
    for _ in range(100):
        rollout.step(1)
    assert mortal.asked == 0


def test_news_of_anything_else_loads_nothing_and_asks_for_no_rows(
    place: Place, rollout: Rollout, mortal: MortalDatabase
) -> None:
    place.publish(line(1))
    rollout.step(0)
    mortal.asked = 0
    place.publish(line(2), active=False)
    place.queue()
    rollout.step(1)
    assert mortal.asked == 0


def test_a_version_of_the_same_artifact_takes_over_without_a_load(
    place: Place, rollout: Rollout, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.publish(line(1))
    rollout.step(0)
    before = pool.active("default")
    place.publish(line(1))
    monkeypatch.setattr(LocalArtifacts, "load", None)
    rollout.step(1)
    after = pool.active("default")
    assert before is not None
    assert after is not None
    assert (after.version, after.generation) == (2, 2)
    assert after.predictor is before.predictor


def test_a_version_is_warm_before_it_serves(
    place: Place, rollout: Rollout, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    warm_up = Predictor.warm_up

    def spy(self: Predictor) -> None:
        seen.append(serving(pool))
        warm_up(self)

    monkeypatch.setattr(Predictor, "warm_up", spy)
    place.publish(line(1))
    rollout.step(0)
    place.publish(line(2))
    rollout.step(1)
    assert seen == [None, 1]


def test_a_version_whose_answer_for_zeros_is_beyond_float32_serves_all_the_same(
    place: Place, rollout: Rollout, pool: Pool
) -> None:
    # Zeros are what a warm-up asks; the rows this was trained on lie elsewhere.
    x_mean, x_std, y_mean, y_std = torch.tensor([[3.0], [1.0], [2e38], [1e38]]).double()
    bundle = line(-1.0, 0.0, scaling=Scaling(x_mean, x_std, y_mean, y_std))
    assert predicted(bundle, [2.0, 3.0]) == pytest.approx([3e38, 2e38])
    with pytest.raises(OverflowedError):
        predicted(bundle, [0.0])
    place.publish(bundle)
    rollout.step(0)
    assert serving(pool) == 1


# ---- a version that cannot be loaded ----


def test_the_old_version_keeps_serving_where_the_new_one_cannot_be_loaded(
    place: Place, rollout: Rollout, pool: Pool
) -> None:
    place.publish(line(1))
    place.publish(line(3), model="other")
    rollout.step(0)
    place.publish(line(2))
    place.publish(line(4), model="other")
    place.damage(place.artifact_of(2))
    rollout.step(1)
    assert (serving(pool), serving(pool, "other")) == (1, 2)
    announced = worker(place)
    assert announced.generation == 4
    assert announced.failure is not None
    assert announced.failure.startswith("default version 2: ")


def test_a_failed_load_is_tried_again_after_a_while(
    place: Place, rollout: Rollout, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.publish(line(1))
    rollout.step(0)
    place.publish(line(2))
    artifact = place.artifact_of(2)
    place.damage(artifact)
    loads = []
    load = LocalArtifacts.load

    def spy(self: LocalArtifacts, name: str) -> object:
        loads.append(name)
        return load(self, name)

    monkeypatch.setattr(LocalArtifacts, "load", spy)
    rollout.step(10)
    rollout.step(10 + RETRY_SECONDS - 0.1)
    assert loads == [artifact]
    rollout.step(10 + RETRY_SECONDS)
    assert loads == [artifact, artifact]
    place.damage(artifact)  # the same bit again
    rollout.step(10 + 2 * RETRY_SECONDS)
    assert serving(pool) == 2
    assert worker(place).failure is None


def test_a_rollback_clears_a_failure(place: Place, rollout: Rollout, pool: Pool) -> None:
    place.publish(line(1))
    rollout.step(0)
    place.publish(line(2))
    place.damage(place.artifact_of(2))
    rollout.step(1)
    with place.database.write() as stores:
        stores.deployments.roll_back("default", datetime.now(UTC))
    rollout.step(2)
    served = pool.active("default")
    assert served is not None
    assert (served.version, served.generation) == (1, 3)
    assert worker(place).failure is None


# ---- the database is away ----


def test_what_is_loaded_keeps_serving_while_the_database_is_away(
    place: Place,
    rollout: Rollout,
    pool: Pool,
    mortal: MortalDatabase,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place.publish(line(1))
    rollout.step(0)
    place.publish(line(2))
    mortal.away = True
    with caplog.at_level(logging.WARNING):
        for turn in range(10):
            rollout.step(turn)
    assert serving(pool) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    mortal.away = False
    rollout.step(11)
    assert serving(pool) == 2


# ---- acknowledge ----


def test_a_deployment_is_acknowledged_only_when_it_serves(
    place: Place, rollout: Rollout, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.publish(line(1))
    rollout.step(0)
    assert worker(place).generation == 1
    place.publish(line(2))
    seen = []
    load = LocalArtifacts.load

    def spy(self: LocalArtifacts, name: str) -> object:
        seen.append((worker(place).generation, serving(pool)))
        return load(self, name)

    monkeypatch.setattr(LocalArtifacts, "load", spy)
    assert rollout.acknowledged == 1
    rollout.step(1)
    assert seen == [(1, 1)]
    assert (worker(place).generation, serving(pool)) == (2, 2)
    assert rollout.acknowledged == 2


def test_an_acknowledgement_that_could_not_be_written_is_written_at_the_next_turn(
    place: Place, database_url: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.store.database, "BUSY_SECONDS", 0.05)
    database = Database(database_url)
    rollout = make(database, place, pool)
    place.publish(line(1))
    rollout.step(0)
    place.publish(line(2))
    with write_locked(database_url):
        rollout.step(0.1)
    assert (serving(pool), worker(place).generation) == (2, 1)
    assert rollout.acknowledged == 1
    rollout.step(0.2)
    assert worker(place).generation == 2
    assert rollout.acknowledged == 2
    database.close()


def test_a_process_says_that_it_lives_every_few_seconds(place: Place, rollout: Rollout) -> None:
    rollout.step(0)
    first = worker(place)
    assert (first.node, first.slot, first.pid, first.generation) == ("node:8000", 0, 4711, 0)
    rollout.step(ANNOUNCE_SECONDS - 0.1)
    assert worker(place).seen_at == first.seen_at
    rollout.step(ANNOUNCE_SECONDS)
    assert worker(place).seen_at > first.seen_at


# ---- the bell ----


def test_the_bell_rings_for_whatever_is_written_by_anybody(place: Place, rollout: Rollout) -> None:
    async def listen() -> list[bool]:
        heard = []
        rollout.step(0)
        rollout.step(0)  # its own announcement
        with rollout.bell.listen() as rung:
            for write in (None, place.queue, None, place.publish, place.claim):
                await asyncio.sleep(0)
                rung.clear()
                if write is not None:
                    write()
                rollout.step(0)
                await asyncio.sleep(0)
                heard.append(rung.is_set())
        return heard

    assert asyncio.run(listen()) == [False, True, False, True, True]


# ---- the thread ----


def test_the_thread_follows_new_versions_until_it_is_stopped(
    place: Place, rollout: Rollout, pool: Pool
) -> None:
    rollout.start(0.005)
    place.publish(line(1))
    until(lambda: serving(pool) == 1, "the thread to load version 1")
    rollout.stop()
    assert workers(place) == []
    place.publish(line(2))
    time.sleep(0.1)
    assert serving(pool) == 1


def test_the_thread_survives_what_should_not_happen(
    place: Place, rollout: Rollout, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0

    def stumble(now: float) -> None:
        nonlocal turns
        turns += 1
        raise KeyError("a bug")

    monkeypatch.setattr(rollout, "step", stumble)
    rollout.start(0.005)
    until(lambda: turns > 3, "the thread to go on")
    rollout.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "rollout"]


def test_a_stop_without_the_database_is_no_error(rollout: Rollout, mortal: MortalDatabase) -> None:
    rollout.step(0)
    mortal.away = True
    rollout.stop()


# ---- under load ----


def test_every_answer_is_that_of_the_version_it_names_while_versions_alternate(
    place: Place, rollout: Rollout, pool: Pool
) -> None:
    bundles = {number: line(float(number), -float(number)) for number in range(1, 5)}
    for number, bundle in bundles.items():
        assert place.publish(bundle) == number
    x = [0.25, 1.0, 3.5]
    x_N1 = torch.tensor(x)[:, None]
    expected = {number: predicted(bundle, x) for number, bundle in bundles.items()}
    rollout.step(0)
    moved = threading.Event()
    named: set[int] = set()

    def work(index: int) -> int:
        if index == 0:
            for turn in range(60):
                with place.database.write() as stores:
                    now = datetime.now(UTC)
                    stores.deployments.move("default", 1 + turn % 4, "activated", now)
                rollout.step(turn)
            moved.set()
            return 0
        answers = 0
        while not moved.is_set() or not answers:
            served = pool.active("default")
            assert served is not None
            y = served.predictor.predict(x_N1)[:, 0].tolist()
            assert y == expected[served.version]
            named.add(served.version)
            answers += 1
        return answers

    answered = at_once(5, work)
    assert sum(answered) > 50
    assert named == {1, 2, 3, 4}
