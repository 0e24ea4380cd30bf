"""Web processes and what they have loaded."""

from __future__ import annotations

from service.entities import Worker
from service.store.database import Database
from tests.service.making import NOW, later


def worker(slot: int, pid: int = 100, node: str = "a:8000", seconds: float = 0) -> Worker:
    return Worker(node, slot, pid, generation=3, failure=None, seen_at=later(seconds))


def test_a_worker_is_as_it_last_announced_itself(database: Database) -> None:
    with database.write() as stores:
        stores.workers.announce(worker(0))
        again = Worker("a:8000", 0, 100, 4, "default version 2: corrupt", later(3))
        stores.workers.announce(again)
        assert stores.workers.live(NOW) == [again]


def test_who_has_a_slot_takes_the_place_of_who_had_it(database: Database) -> None:
    with database.write() as stores:
        stores.workers.announce(worker(0, pid=100))
        stores.workers.announce(worker(0, pid=200))
        assert [live.pid for live in stores.workers.live(NOW)] == [200]


def test_live_are_those_heard_of_since_then(database: Database) -> None:
    with database.write() as stores:
        for slot, seconds in enumerate((0, 5, 10)):
            stores.workers.announce(worker(slot, seconds=seconds))
        assert [live.slot for live in stores.workers.live(later(5))] == [1, 2]


def test_workers_of_several_nodes_are_told_apart(database: Database) -> None:
    with database.write() as stores:
        for node in ("b:8000", "a:8000"):
            for slot in (1, 0):
                stores.workers.announce(worker(slot, node=node))
        places = [(live.node, live.slot) for live in stores.workers.live(NOW)]
    assert places == [("a:8000", 0), ("a:8000", 1), ("b:8000", 0), ("b:8000", 1)]


def test_a_worker_that_ends_is_forgotten_unless_another_has_its_slot(database: Database) -> None:
    with database.write() as stores:
        stores.workers.announce(worker(0, pid=100))
        stores.workers.announce(worker(1, pid=101))
        stores.workers.announce(worker(0, pid=200))
        stores.workers.forget("a:8000", 0, pid=100)
        assert [live.pid for live in stores.workers.live(NOW)] == [200, 101]
        stores.workers.forget("a:8000", 0, pid=200)
        assert [live.pid for live in stores.workers.live(NOW)] == [101]


def test_a_node_that_starts_anew_forgets_its_own_workers_alone(database: Database) -> None:
    with database.write() as stores:
        for node in ("a:8000", "b:8000"):
            stores.workers.announce(worker(0, node=node))
        stores.workers.forget_node("a:8000")
        assert [live.node for live in stores.workers.live(NOW)] == ["b:8000"]


def test_the_silent_are_forgotten(database: Database) -> None:
    with database.write() as stores:
        for slot, seconds in enumerate((0, 5, 10)):
            stores.workers.announce(worker(slot, seconds=seconds))
        stores.workers.forget_silent(later(5))
        assert [live.slot for live in stores.workers.live(later(-100))] == [1, 2]
