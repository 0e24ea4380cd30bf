"""Models and versions."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from service.entities import ListedVersion, ModelVersion, NewVersion
from service.errors import ModelNotFoundError, VersionNotFoundError
from service.store.database import Database
from tests.service.making import NOW, PowerCutError, at_once, later, new_version


def test_a_version_keeps_all_that_was_registered(database: Database) -> None:
    new = new_version("house-price")
    with database.write() as stores:
        added = stores.versions.add(new, "bootstrap", later(5))
    with database.read() as stores:
        found = stores.versions.get("house-price", 1)
    assert found == added
    assert (found.number, found.origin, found.created_at) == (1, "bootstrap", later(5))
    for field in dataclasses.fields(NewVersion):
        assert getattr(found, field.name) == getattr(new, field.name)


def test_what_is_not_known_of_real_data_stays_none(database: Database) -> None:
    new = dataclasses.replace(new_version(), truth=None, least_squares=None)
    with database.write() as stores:
        stores.versions.add(new, "api", NOW)
        found = stores.versions.get("default", 1)
    assert (found.truth, found.least_squares) == (None, None)


def test_numbers_count_up_for_each_model_by_itself(database: Database) -> None:
    with database.write() as stores:
        numbers = [
            stores.versions.add(new_version(model), "api", NOW).number
            for model in ("a", "b", "a", "a", "b")
        ]
    assert numbers == [1, 1, 2, 3, 2]


def test_a_number_is_never_given_out_again(database: Database) -> None:
    with database.write() as stores:
        for _ in range(3):
            stores.versions.add(new_version(), "api", NOW)
        stores.versions.delete("default", 3)
        stores.versions.delete("default", 1)
    with database.write() as stores:
        assert stores.versions.add(new_version(), "api", NOW).number == 4
        for number in (2, 4):
            stores.versions.delete("default", number)
    with database.write() as stores:
        # Even where no version is left.
        assert stores.versions.add(new_version(), "api", NOW).number == 5


def test_a_registration_that_was_undone_leaves_its_number_free(database: Database) -> None:
    with pytest.raises(PowerCutError), database.write() as stores:  # noqa: PT012
        stores.versions.add(new_version(), "api", NOW)
        raise PowerCutError
    with database.write() as stores:
        assert stores.versions.add(new_version(), "api", NOW).number == 1


def test_an_unknown_model_and_an_unknown_version_are_told_apart(database: Database) -> None:
    with database.write() as stores:
        stores.versions.add(new_version("a"), "api", NOW)
        with pytest.raises(ModelNotFoundError, match="there is no model b"):
            stores.versions.get("b", 1)
        with pytest.raises(VersionNotFoundError, match="model a has no version 2"):
            stores.versions.get("a", 2)
        with pytest.raises(ModelNotFoundError, match="there is no model b"):
            stores.versions.list_newest("b", 10, None)
        with pytest.raises(ModelNotFoundError, match="there is no model b"):
            stores.versions.summary("b")


def test_a_model_stays_known_when_its_last_version_is_deleted(database: Database) -> None:
    with database.write() as stores:
        stores.versions.add(new_version("a"), "api", NOW)
        stores.versions.delete("a", 1)
        stores.versions.require_model("a")
        assert stores.versions.list_newest("a", 10, None) == []
        assert stores.versions.summary("a").versions == 0


def test_pages_of_versions_walk_all_of_one_model_newest_first(database: Database) -> None:
    with database.write() as stores:
        for _ in range(7):
            stores.versions.add(new_version("a"), "api", NOW)
            stores.versions.add(new_version("b"), "api", NOW)
        stores.versions.delete("a", 4)
        found: list[ModelVersion] = []
        below = None
        while page := stores.versions.list_newest("a", 2, below):
            found += page
            below = page[-1].number
    assert [(version.model, version.number) for version in found] == [
        ("a", number) for number in (7, 6, 5, 3, 2, 1)
    ]


def test_models_are_listed_by_name_with_their_active_version(database: Database) -> None:
    with database.write() as stores:
        for model, count in (("b", 2), ("a", 1), ("c", 3)):
            for _ in range(count):
                stores.versions.add(new_version(model), "api", later(len(model)))
        stores.deployments.move("c", 2, "activated", NOW)
        summaries = stores.versions.summaries(10, None)
        assert [(s.name, s.versions, s.active) for s in summaries] == [
            ("a", 1, None),
            ("b", 2, None),
            ("c", 3, 2),
        ]
        assert stores.versions.summaries(2, None) == summaries[:2]
        assert stores.versions.summaries(2, "b") == summaries[2:]
        assert [stores.versions.summary(s.name) for s in summaries] == summaries
        assert stores.versions.count_models() == 3


def test_an_artifact_is_in_use_as_long_as_any_version_has_it(database: Database) -> None:
    with database.write() as stores:
        for model in ("a", "b"):
            stores.versions.add(new_version(model, artifact="f" * 64), "api", NOW)
        assert stores.versions.uses_artifact("f" * 64)
        stores.versions.delete("a", 1)
        assert stores.versions.uses_artifact("f" * 64)
        stores.versions.delete("b", 1)
        assert not stores.versions.uses_artifact("f" * 64)


def test_versions_that_are_registered_and_activated_at_once_all_get_their_own_place(
    database: Database,
) -> None:
    def register(_: int) -> tuple[int, int]:
        with database.write() as stores:
            number = stores.versions.add(new_version("new"), "api", NOW).number
            return number, stores.deployments.move("new", number, "promoted", NOW)

    def watch(seen: list[tuple[int, int]], stop: threading.Event) -> None:
        while not stop.is_set():
            with database.read() as stores:
                newest, active = (
                    stores.deployments.newest_generation(),
                    stores.deployments.get("new"),
                )
                seen.append((newest, 0 if active is None else active.generation))

    stop, seen = threading.Event(), list[tuple[int, int]]()
    watcher = threading.Thread(target=watch, args=(seen, stop))
    watcher.start()
    placed = at_once(16, register)
    stop.set()
    watcher.join()
    assert sorted(number for number, _ in placed) == list(range(1, 17))
    # A generation that appeared after a larger one would be missed by those that look for newer.
    assert [generation for _, generation in sorted(placed)] == sorted(g for _, g in placed)
    assert all(newest == active for newest, active in seen)


def test_those_beyond_the_newest_are_told_by_model_and_active_ones_are_not(
    database: Database,
) -> None:
    with database.write() as stores:
        for model, count in (("a", 5), ("b", 2)):
            for number in range(count):
                stores.versions.add(new_version(model, f"{model}{number}"), "api", NOW)
        stores.deployments.move("a", 2, "activated", NOW)
        stores.versions.delete("a", 4)
        assert stores.versions.beyond_newest(2) == [("a", 1, "a0")]
        assert stores.versions.beyond_newest(1) == [
            ("a", 1, "a0"),
            ("a", 3, "a2"),
            ("b", 1, "b0"),
        ]
        assert stores.versions.beyond_newest(5) == []


def test_every_version_is_listed_with_the_active_one(database: Database) -> None:
    with database.write() as stores:
        for model in ("b", "a", "b", "b"):
            stores.versions.add(new_version(model), "api", NOW)
        stores.deployments.move("b", 2, "promoted", NOW)
        stores.versions.delete("b", 1)
    with database.read() as stores:
        listed = stores.versions.list_all()
        assert listed == [
            ListedVersion("a", 1, active=False),
            ListedVersion("b", 2, active=True),
            ListedVersion("b", 3, active=False),
        ]
        assert stores.versions.list_all("b") == listed[1:]
        with pytest.raises(ModelNotFoundError):
            stores.versions.list_all("c")


def test_an_artifact_is_found_among_the_versions_of_its_model(database: Database) -> None:
    with database.write() as stores:
        for artifact in ("b" * 64, "a" * 64, "b" * 64):
            stores.versions.add(new_version("m", artifact), "import", NOW)
        stores.versions.add(new_version("other", "c" * 64), "import", NOW)
        newest = stores.versions.find("m", "b" * 64)
        assert newest is not None
        assert (newest.number, newest.origin) == (3, "import")
        assert stores.versions.find("m", "c" * 64) is None
        assert stores.versions.find("nowhere", "a" * 64) is None
