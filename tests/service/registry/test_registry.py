"""The catalogue: what may be activated, rolled back and deleted, and what moves nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from service.entities import Deployment, Worker
from service.errors import (
    ModelNotFoundError,
    NothingToRollBackError,
    NotReadyError,
    VersionActiveError,
    VersionNotFoundError,
    VersionUnloadableError,
)
from service.registry.registry import WORKER_LIVE_SECONDS, Registry
from service.serving.rollout import ANNOUNCE_SECONDS
from tests.service.making import Place, line


@pytest.fixture
def registry(place: Place) -> Registry:
    return Registry(place.database, place.artifacts)


def deployment_of(place: Place, model: str = "default") -> Deployment | None:
    with place.database.read() as stores:
        return stores.deployments.get(model)


def three_versions(place: Place) -> None:
    """1, 2 and 3, each active in its turn."""
    for weight in (1.0, 2.0, 3.0):
        place.publish(line(weight))


# ---- activate ----


def test_activating_a_version_moves_the_pointer(place: Place, registry: Registry) -> None:
    three_versions(place)
    moved = registry.activate("default", 1)
    assert (moved.version, moved.artifact) == (1, place.artifact_of(1))
    assert moved == deployment_of(place)
    assert moved.generation == 4


def test_activating_the_active_version_moves_nothing(place: Place, registry: Registry) -> None:
    three_versions(place)
    before = deployment_of(place)
    assert registry.activate("default", 3) == before == deployment_of(place)


def spoil_by_a_bit(place: Place, number: int) -> None:
    place.damage(place.artifact_of(number))


def spoil_by_deletion(place: Place, number: int) -> None:
    place.artifacts.delete(place.artifact_of(number))


@pytest.mark.parametrize("spoil", [spoil_by_a_bit, spoil_by_deletion])
def test_a_version_that_cannot_be_loaded_is_not_activated(
    place: Place, registry: Registry, spoil: Callable[[Place, int], None]
) -> None:
    three_versions(place)
    before = deployment_of(place)
    spoil(place, 1)
    with pytest.raises(VersionUnloadableError, match="version 1 of model default cannot be loaded"):
        registry.activate("default", 1)
    assert deployment_of(place) == before


def test_what_does_not_exist_is_not_activated(place: Place, registry: Registry) -> None:
    three_versions(place)
    with pytest.raises(VersionNotFoundError):
        registry.activate("default", 4)
    with pytest.raises(ModelNotFoundError):
        registry.activate("other", 1)


# ---- roll back ----


def test_rolling_back_goes_to_what_was_active_before(place: Place, registry: Registry) -> None:
    three_versions(place)
    assert [registry.roll_back("default").version for _ in range(2)] == [2, 1]
    with pytest.raises(NothingToRollBackError):
        registry.roll_back("default")
    assert place.active() == 1


@pytest.mark.parametrize("spoil", [spoil_by_a_bit, spoil_by_deletion])
def test_a_rollback_to_a_version_that_cannot_be_loaded_moves_nothing(
    place: Place, registry: Registry, spoil: Callable[[Place, int], None]
) -> None:
    three_versions(place)
    before = deployment_of(place)
    spoil(place, 2)
    with pytest.raises(VersionUnloadableError, match="version 2"):
        registry.roll_back("default")
    assert deployment_of(place) == before
    # Deleting it clears the way.
    registry.delete("default", 2)
    assert registry.roll_back("default").version == 1


def test_models_without_an_earlier_version_are_told_apart_from_unknown_ones(
    place: Place, registry: Registry
) -> None:
    place.publish(active=False)
    with pytest.raises(NothingToRollBackError, match="model default has no earlier"):
        registry.roll_back("default")
    with pytest.raises(ModelNotFoundError):
        registry.roll_back("other")


# ---- delete ----


def test_the_active_version_is_not_deleted(place: Place, registry: Registry) -> None:
    three_versions(place)
    with pytest.raises(VersionActiveError, match="version 3 of model default is active"):
        registry.delete("default", 3)
    assert registry.version("default", 3).number == 3


def test_another_version_is_deleted_once(place: Place, registry: Registry) -> None:
    three_versions(place)
    registry.delete("default", 2)
    with pytest.raises(VersionNotFoundError):
        registry.delete("default", 2)
    assert [version.number for version in registry.versions("default", 10, None)] == [3, 1]


# ---- who is active, and why not ----


def test_the_active_version_is_found(place: Place, registry: Registry) -> None:
    three_versions(place)
    assert registry.active_version("default").number == 3
    assert registry.deployment("default") == deployment_of(place)


def test_the_reason_for_no_active_version_is_told(place: Place, registry: Registry) -> None:
    with pytest.raises(NotReadyError, match="nothing has been trained yet"):
        registry.active_version("default")
    with pytest.raises(ModelNotFoundError):
        registry.active_version("other")
    place.publish(model="other", active=False)
    with pytest.raises(NotReadyError, match="model other has no active version"):
        registry.active_version("other")
    place.publish()
    assert isinstance(registry.why_no_active("default"), NotReadyError)
    assert "not loaded yet" in registry.why_no_active("default").detail


# ---- acknowledgement ----


def announce(place: Place, slot: int, generation: int, seconds_ago: float = 0) -> None:
    seen = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    failure = "default version 2: corrupt" if slot == 9 else None
    with place.database.write() as stores:
        stores.workers.announce(Worker("a", slot, 100 + slot, generation, failure, seen))


def test_workers_count_as_acknowledged_from_that_generation_on(
    place: Place, registry: Registry
) -> None:
    for slot, generation in enumerate((4, 5, 6)):
        announce(place, slot, generation)
    seen = registry.acknowledgement(5)
    assert (seen.live, seen.acknowledged, seen.complete) == (3, 2, False)
    announce(place, 0, 5)
    assert registry.acknowledgement(5).complete


def test_the_dead_do_not_hold_up_an_acknowledgement(place: Place, registry: Registry) -> None:
    announce(place, 0, generation=5)
    announce(place, 1, generation=4, seconds_ago=WORKER_LIVE_SECONDS + 1)
    seen = registry.acknowledgement(5)
    assert (seen.live, seen.complete) == (1, True)


def test_failures_of_workers_are_passed_on(place: Place, registry: Registry) -> None:
    announce(place, 9, generation=5)
    assert registry.acknowledgement(5).failures == ("default version 2: corrupt",)


def test_a_worker_has_three_chances_to_announce_itself() -> None:
    assert WORKER_LIVE_SECONDS >= 3 * ANNOUNCE_SECONDS
