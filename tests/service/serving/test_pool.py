"""The predictors loaded in a process."""

from __future__ import annotations

import threading

import pytest

from ml.predictor import Predictor
from service.serving.pool import Pool, Served
from tests.service.making import CPU, at_once, line


def served(version: int, model: str = "default", weight: float = 1.0) -> Served:
    return Served(model, version, version, f"artifact{version}", Predictor(line(weight), CPU))


def test_nothing_is_active_at_first() -> None:
    pool = Pool(4)
    assert pool.active("default") is None
    assert pool.any_active() is None


def test_a_swap_takes_the_place_of_what_served_that_model() -> None:
    pool = Pool(4)
    first, second, other = served(1), served(2), served(3, "other")
    pool.swap(first)
    pool.swap(other)
    assert pool.active("default") is first
    assert pool.any_active() is first
    pool.swap(second)
    assert pool.active("default") is second
    assert pool.active("other") is other


def test_what_serves_is_told_with_how_many_are_in_memory() -> None:
    pool = Pool(4)
    assert pool.serving() == ([], 0)
    pool.swap(served(1))
    pool.swap(served(3, "other"))
    pool.swap(served(2))
    pool.other("artifact9", lambda: served(9).predictor)
    active, loaded = pool.serving()
    assert sorted(active) == [("default", 2), ("other", 3)]
    assert loaded == 3


class Loads:
    """Counts what was loaded."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def get(self, pool: Pool, name: str) -> Predictor:
        def load() -> Predictor:
            self.names.append(name)
            return Predictor(line(), CPU)

        return pool.other(name, load)


def test_others_are_loaded_once() -> None:
    pool, loads = Pool(4), Loads()
    assert loads.get(pool, "a") is loads.get(pool, "a")
    assert loads.names == ["a"]


def test_the_one_used_longest_ago_leaves_when_there_are_too_many() -> None:
    pool, loads = Pool(2), Loads()
    loads.get(pool, "a")
    loads.get(pool, "b")
    loads.get(pool, "a")
    loads.get(pool, "c")
    assert loads.names == ["a", "b", "c"]
    loads.get(pool, "a")
    loads.get(pool, "c")
    assert loads.names == ["a", "b", "c"]
    loads.get(pool, "b")
    assert loads.names == ["a", "b", "c", "b"]


def test_an_active_version_is_not_loaded_a_second_time() -> None:
    pool, loads = Pool(2), Loads()
    active = served(1)
    pool.swap(active)
    assert loads.get(pool, "artifact1") is active.predictor
    assert loads.names == []


def test_a_load_that_fails_leaves_no_trace() -> None:
    pool, loads = Pool(2), Loads()

    def fail() -> Predictor:
        raise KeyError("damaged")

    with pytest.raises(KeyError):
        pool.other("a", fail)
    loads.get(pool, "a")
    assert loads.names == ["a"]


def test_a_slow_load_holds_up_nobody_else() -> None:
    pool, loads = Pool(2), Loads()
    loading, go_on = threading.Event(), threading.Event()

    def load_slowly() -> Predictor:
        loading.set()
        go_on.wait(10)
        return Predictor(line(), CPU)

    slow = threading.Thread(target=pool.other, args=("slow", load_slowly))
    slow.start()
    loading.wait(10)
    loads.get(pool, "quick")
    pool.swap(served(1))
    assert slow.is_alive()
    go_on.set()
    slow.join()


def test_the_bound_holds_whatever_happens_at_once() -> None:
    pool, loads = Pool(3), Loads()

    def use(index: int) -> None:
        for turn in range(50):
            loads.get(pool, f"artifact{(index * 7 + turn) % 5}")

    at_once(8, use)
    loads.names.clear()
    for _ in range(2):
        for name in ("x", "y", "z"):
            loads.get(pool, name)
    assert loads.names == ["x", "y", "z"]
