"""What a web worker counts, and how it adds up over workers."""

from __future__ import annotations

import random
import time

import pytest
from prometheus_client import CollectorRegistry, Histogram

from service.observability import layout, metrics
from service.observability.cells import OTHER
from service.observability.layout import BOUNDS, PREDICTION_CODES, STATUSES, Shared
from service.observability.metrics import Metrics, Totals


@pytest.fixture
def shared() -> Shared:
    return Shared.make(3)


@pytest.fixture
def workers(shared: Shared) -> list[Metrics]:
    return [Metrics(shared, slot) for slot in range(3)]


def buckets(shared: Shared, model: str, version: int) -> list[float]:
    cells = shared.predictions.find(f"{model} {version}")
    assert cells is not None
    return cells[1 : layout.HISTOGRAM]


def test_totals_are_over_all_workers_and_by_version(workers: list[Metrics]) -> None:
    began = time.time()
    workers[0].predictions("a", 1).add_one(3, 0.5)
    workers[1].predictions("a", 1).add(10, [0.25, 0.25])
    workers[1].predictions("a", 1).fail("invalid_request")
    workers[2].predictions("a", 1).fail("not_ready", 4, 0.125)
    workers[2].predictions("a", 2).add_one(1, 1)
    workers[2].predictions("a-1", 1).add_one(7, 1)
    for worker in workers:
        a1 = worker.totals("a", 1)
        assert a1 == Totals(
            requests=3, rows=13, seconds=1.0, errors=5, passes=2, failed_seconds=0.125, last=a1.last
        )
        assert began <= a1.last <= time.time()
        a2 = worker.totals("a", 2)
        assert a2 == Totals(1, 1, 1.0, 0, 1, 0.0, a2.last)
        nothing = Totals(0, 0, 0.0, 0, 0, 0.0, 0.0)
        assert worker.totals("a", 3) == worker.totals("b", 1) == nothing


@pytest.mark.parametrize("seed", range(5))
def test_a_turn_counts_as_its_requests_one_by_one_and_as_prometheus_does(
    workers: list[Metrics], shared: Shared, seed: int
) -> None:
    chance = random.Random(seed)
    turns = [
        [
            chance.choice([*BOUNDS, 10 ** chance.uniform(-5, 2)])
            for _ in range(chance.randint(1, 40))
        ]
        for _ in range(20)
    ]
    theirs = Histogram("x", "x", buckets=BOUNDS, registry=CollectorRegistry())
    for turn in turns:
        workers[0].predictions("turns", 1).add(len(turn), turn)
        for seconds in turn:
            workers[1].predictions("ones", 1).add_one(1, seconds)
            theirs.observe(seconds)
    samples = [sample for family in theirs.collect() for sample in family.samples]
    wanted = [s.value for s in samples if s.name == "x_bucket"]
    for model in ("turns", "ones"):
        counts = buckets(shared, model, 1)
        assert [sum(counts[: i + 1]) for i in range(len(counts))] == wanted
        (total,) = (s.value for s in samples if s.name == "x_sum")
        assert workers[2].totals(model, 1).seconds == pytest.approx(total)
        assert workers[2].totals(model, 1).rows == sum(map(len, turns))


def test_the_turn_that_was_given_is_left_as_it_was(workers: list[Metrics]) -> None:
    seconds = [0.3, 0.001, 0.02]
    workers[0].predictions("a", 1).add(3, seconds)
    assert seconds == [0.3, 0.001, 0.02]


def test_routes_count_by_status(workers: list[Metrics], shared: Shared) -> None:
    for worker in workers:
        worker.route("POST", "/predict").add(200, [0.1, 0.2])
        worker.route("POST", "/predict").add_one(422, 0.1)
    workers[0].route("POST", "/predict").add_one(299, 0.1)
    cells = shared.http.find("POST /predict")
    assert cells is not None
    counted = dict(zip((*STATUSES, OTHER), cells[layout.HTTP_STATUSES :], strict=True))
    assert {status: n for status, n in counted.items() if n} == {200: 6, 422: 3, OTHER: 1}
    assert sum(cells[1 : layout.HISTOGRAM]) == 10


def test_codes_without_a_cell_are_others(workers: list[Metrics], shared: Shared) -> None:
    for code in (*PREDICTION_CODES, "new", "newer"):
        workers[0].no_version().fail(code)
    (name, cells) = next(shared.predictions.read())
    assert name == OTHER
    assert cells[layout.PREDICTION_ERRORS :] == [1] * len(PREDICTION_CODES) + [2]


def test_who_comes_after_a_killed_worker_goes_on_from_its_counts(
    workers: list[Metrics], shared: Shared
) -> None:
    worker = workers[1]
    worker.predictions("a", 1).add_one(5, 0.5)
    worker.route("POST", "/predict").add_one(200, 0.5)
    worker.problem("not_found")
    worker.begin(7)
    worker.serving([("a", 1)], 3)
    after = Metrics(shared, 1)
    after.predictions("a", 1).add_one(1, 0.5)
    totals = after.totals("a", 1)
    assert totals == Totals(2, 6, 1.0, 0, 2, 0.0, totals.last)
    assert shared.counters.find("problems not_found") == [1]
    # How it was is over.
    cells = shared.predictions.find("a 1")
    assert cells is not None
    assert cells[layout.PREDICTION_KEPT] == 0
    first = shared.slot(1)
    assert shared.cells[first + layout.IN_FLIGHT] == shared.cells[first + layout.LOADED] == 0


def test_versions_are_bounded_and_those_that_serve_have_rows(
    workers: list[Metrics], shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "FULL_SECONDS", 0.0)
    workers[0].serving([("kept", 1)], 1)
    workers[1].serving([("mine", 9)], 1)
    rows = layout.PREDICTIONS.rows
    for version in range(1, rows + 10):
        workers[0].predictions("many", version).add_one(1, 0.1)
    told = {name: sum(cells[1 : layout.HISTOGRAM]) for name, cells in shared.predictions.read()}
    assert len(told) == rows
    assert told[OTHER] == 12, "all were just used: none gives way"
    # A minute later the oldest give way, but not those that somebody serves.
    for row in range(1, rows):
        shared.cells[shared.predictions.used_at(row)] = time.monotonic() - 61 + row / 1000
    for version in range(1000, 1000 + rows):
        workers[2].predictions("new", version).add_one(1, 0.1)
        workers[0].predictions("kept", 1).add_one(1, 0.1)
    told = {name: sum(cells[1 : layout.HISTOGRAM]) for name, cells in shared.predictions.read()}
    assert told["kept 1"] == rows
    assert "mine 9" in told
    assert "many 1" not in told
    assert told["new 1000"] == 1
    # A row that went to another is not written by who had it.
    workers[0].predictions("many", 1).add_one(1, 0.1)
    assert workers[0].totals("new", 1000).requests == 1


def test_a_version_that_serves_no_more_lets_go_of_its_row(
    workers: list[Metrics], shared: Shared
) -> None:
    def kept(name: str) -> float:
        cells = shared.predictions.find(name)
        assert cells is not None
        return cells[layout.PREDICTION_KEPT]

    for worker in workers:
        worker.serving([("a", 1), ("b", 1)], 2)
    assert (kept("a 1"), kept("b 1")) == (3, 3)
    workers[0].serving([("a", 2), ("b", 1)], 2)
    assert (kept("a 1"), kept("a 2"), kept("b 1")) == (2, 1, 3)


def test_in_flight_problems_and_lag(workers: list[Metrics], shared: Shared) -> None:
    workers[0].begin()
    workers[0].begin(3)
    workers[0].end(2)
    assert shared.cells[shared.slot(0) + layout.IN_FLIGHT] == 2
    for worker in workers:
        worker.problem("not_found", 2)
        worker.rejected("queue_full")
    assert dict(shared.counters.read())["problems not_found"] == [6]
    assert dict(shared.counters.read())["rejected queue_full"] == [3]
    for seconds in (0.0, 0.001, 0.2, 9.0):
        workers[2].loop_lag(seconds)
    first = shared.slot(2) + layout.LAG
    assert shared.cells[first : first + 8].tolist() == pytest.approx([9.201, 2, 0, 0, 0, 1, 0, 1])


def test_no_two_cells_are_the_same(shared: Shared) -> None:
    """Every cell of every row of every table of every slot, and the slots' own, has its place."""
    size = len(shared.cells)
    seen = set()
    for slot in range(shared.slots):
        first = shared.slot(slot)
        seen |= {first + i for i in range(layout.SLOT)}
        for table in shared.tables:
            for row in range(table.shape.rows):
                seen |= {first + table.cell(row) + i for i in range(table.shape.width)}
    assert len(seen) == shared.slots * shared.per_slot
    assert max(seen) == size - 1
    directory = {table.generation_at(row) for table in shared.tables for row in range(2)}
    assert not directory & seen
    assert min(directory) > layout.TRAINING_SINCE + shared.slots
