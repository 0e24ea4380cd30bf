"""Which version is active: moves form a stack, a rollback pops it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.entities import Deployment
from service.store.database import Database, Stores
from tests.service.making import NOW, PowerCutError, new_version


@pytest.fixture
def act(database: Database) -> Callable[[Callable[[Stores], int | None]], int | None]:
    """Six versions of a model; do something in a transaction and give the active version."""
    with database.write() as stores:
        for number in range(1, 7):
            stores.versions.add(new_version(artifact=f"{number}" * 64), "api", NOW)

    def run(do: Callable[[Stores], int | None]) -> int | None:
        with database.write() as stores:
            do(stores)
        with database.read() as stores:
            deployment = stores.deployments.get("default")
        return None if deployment is None else deployment.version

    return run


Run = Callable[[Callable[[Stores], int | None]], int | None]


def move(number: int) -> Callable[[Stores], int]:
    return lambda stores: stores.deployments.move("default", number, "activated", NOW)


def roll_back(stores: Stores) -> int | None:
    return stores.deployments.roll_back("default", NOW)


def delete(number: int) -> Callable[[Stores], None]:
    return lambda stores: stores.versions.delete("default", number)


def test_no_version_is_active_before_the_first_move(database: Database) -> None:
    with database.read() as stores:
        assert stores.deployments.get("default") is None
        assert stores.deployments.list_all() == []
        assert stores.deployments.newest_generation() == 0


def test_rollbacks_go_back_through_what_was_active(act: Run, database: Database) -> None:
    assert [act(move(number)) for number in (1, 2, 3)] == [1, 2, 3]
    assert [act(roll_back), act(roll_back)] == [2, 1]
    with database.write() as stores:
        assert stores.deployments.roll_back("default", NOW) is None
    assert act(lambda stores: None) == 1


def test_nothing_is_below_the_first_version_and_nothing_at_all(
    act: Run, database: Database
) -> None:
    with database.write() as stores:
        assert stores.deployments.roll_back("default", NOW) is None
    act(move(1))
    with database.write() as stores:
        assert stores.deployments.roll_back("default", NOW) is None


def test_a_rollback_passes_over_deleted_versions(act: Run) -> None:
    for number in (1, 2, 3, 4):
        act(move(number))
    act(delete(3))
    act(delete(2))
    assert act(roll_back) == 1


def test_a_rollback_has_nowhere_to_go_when_all_below_is_deleted(
    act: Run, database: Database
) -> None:
    for number in (1, 2):
        act(move(number))
    act(delete(1))
    with database.write() as stores:
        assert stores.deployments.roll_back("default", NOW) is None
    assert act(lambda stores: None) == 2


def test_a_rollback_does_not_come_back_to_what_was_rolled_back(act: Run) -> None:
    for number in (1, 2, 3):
        act(move(number))
    assert act(roll_back) == 2
    # 3 is off the stack: 5 lies on 2, and below 2 lies 1.
    assert act(move(5)) == 5
    assert [act(roll_back), act(roll_back)] == [2, 1]


def test_a_rollback_never_goes_back_to_the_version_that_is_active(
    act: Run, database: Database
) -> None:
    for number in (1, 2, 1):
        act(move(number))
    act(delete(2))
    with database.write() as stores:
        # Below lies 1 itself: a rollback that changes nothing would be a lie.
        assert stores.deployments.roll_back("default", NOW) is None
    for number in (3, 1):
        act(move(number))
    act(delete(3))
    assert act(move(4)) == 4
    assert act(roll_back) == 1


def test_versions_may_become_active_again_and_again(act: Run) -> None:
    for number in (1, 2, 1, 2):
        act(move(number))
    assert [act(roll_back) for _ in range(3)] == [1, 2, 1]


def test_the_generation_grows_with_every_move_of_any_model(database: Database, act: Run) -> None:
    with database.write() as stores:
        stores.versions.add(new_version("other"), "api", NOW)
    generations: list[int] = []
    for step in ("default", "other", "default", "back"):
        with database.write() as stores:
            if step == "back":
                back = stores.deployments.roll_back("default", NOW)
                assert back is not None
                generations.append(back)
            else:
                number = 1 if step == "other" else len(generations) + 1
                generations.append(stores.deployments.move(step, number, "promoted", NOW))
            assert stores.deployments.newest_generation() == generations[-1]
    assert generations == sorted(set(generations))


def test_a_move_that_is_undone_gives_its_generation_to_nobody_that_saw_it(
    act: Run, database: Database
) -> None:
    act(move(1))
    with pytest.raises(PowerCutError), database.write() as stores:  # noqa: PT012
        stores.deployments.move("default", 2, "activated", NOW)
        raise PowerCutError
    with database.read() as stores:
        deployment = stores.deployments.get("default")
        assert deployment is not None
        assert (deployment.version, deployment.generation) == (1, 1)


def test_a_deployment_names_its_artifact(act: Run, database: Database) -> None:
    act(move(3))
    with database.write() as stores:
        stores.versions.add(new_version("other", artifact="e" * 64), "api", NOW)
        stores.deployments.move("other", 1, "promoted", NOW)
        assert stores.deployments.get("default") == Deployment("default", 3, 1, "3" * 64)
        assert sorted(stores.deployments.list_all(), key=lambda d: d.model) == [
            Deployment("default", 3, 1, "3" * 64),
            Deployment("other", 1, 2, "e" * 64),
        ]


def test_models_roll_back_by_themselves(act: Run, database: Database) -> None:
    with database.write() as stores:
        for _ in range(2):
            stores.versions.add(new_version("other"), "api", NOW)
        stores.deployments.move("other", 1, "promoted", NOW)
        stores.deployments.move("default", 4, "promoted", NOW)
        stores.deployments.move("other", 2, "promoted", NOW)
        stores.deployments.move("default", 5, "promoted", NOW)
        stores.deployments.roll_back("other", NOW)
        assert {d.model: d.version for d in stores.deployments.list_all()} == {
            "other": 1,
            "default": 5,
        }
