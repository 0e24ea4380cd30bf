"""What is done beside the event loop: bounded in number and time, joined, and nobody harmed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import numpy as np
import pytest

from ml.predictor import Floats, Predictor
from ml.spec.model import MlpSpec
from service.errors import DeadlineError, OverloadedError
from service.serving.work import MAX_BATCH_ROWS, THREADS, Shared, Work
from tests.ml.making import bundle
from tests.service.making import CPU, line

T = TypeVar("T")


class Slow(Predictor):
    """A predictor that computes once it is let, and notes the rows of each forward pass."""

    def __init__(self) -> None:
        super().__init__(bundle(MlpSpec(hidden=(64, 64)), 4), CPU)
        self.rows: list[int] = []
        self.go = threading.Event()
        self.began = threading.Semaphore(0)

    def predict_array(self, x_NF: np.ndarray, dtype: Floats = None) -> np.ndarray:
        self.rows.append(len(x_NF))
        self.began.release()
        assert self.go.wait(30)
        return super().predict_array(x_NF, dtype)


@pytest.fixture
def slow() -> Iterator[Slow]:
    predictor = Slow()
    yield predictor
    predictor.go.set()


def run(act: Callable[[Work], Awaitable[T]], most: int = 100, seconds: float = 30.0) -> T:
    async def all_of_it() -> T:
        work = Work(most, seconds)
        try:
            return await act(work)
        finally:
            work.close()

    return asyncio.run(all_of_it())


async def settled(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def some_rows(count: int, seed: int = 0) -> np.ndarray:
    rows_N4: np.ndarray = np.random.default_rng(seed).normal(size=(count, 4))
    return rows_N4


def test_those_who_wait_share_a_forward_pass(slow: Slow) -> None:
    asked = [some_rows(1 + i % 3, i) for i in range(20)]

    async def act(work: Work) -> list[Shared]:
        tasks = [asyncio.ensure_future(work.predict(slow, x_NF)) for x_NF in asked]
        await settled(lambda: work.in_flight == 20)
        slow.go.set()
        return await asyncio.gather(*tasks)

    answers = run(act)
    assert len(slow.rows) == 2, "the first alone, at once; the others together"
    assert slow.rows[0] == 1
    assert [answer.passes for answer in answers] == [1.0, *[pytest.approx(1 / 19)] * 19]
    for x_NF, (y_NT, _) in zip(asked, answers, strict=True):
        alone_NT = Predictor(slow.bundle, CPU).predict_array(x_NF)
        assert y_NT.shape == alone_NT.shape
        # The tolerance of `tests/ml/test_rowwise.py`: rounding, by the shape of the product.
        assert np.abs(y_NT - alone_NT).max() <= 1e-5 * max(1.0, np.abs(alone_NT).max())


def test_a_pass_is_bounded_and_a_large_request_goes_alone(slow: Slow) -> None:
    counts = [1, MAX_BATCH_ROWS - 1, 1, 1, MAX_BATCH_ROWS * 3, 2]

    async def act(work: Work) -> list[Shared]:
        tasks = [asyncio.ensure_future(work.predict(slow, some_rows(n))) for n in counts]
        await settled(lambda: work.in_flight == len(counts))
        slow.go.set()
        return await asyncio.gather(*tasks)

    assert [len(y_NT) for y_NT, _ in run(act)] == counts
    assert slow.rows == [1, MAX_BATCH_ROWS, 1, MAX_BATCH_ROWS * 3, 2]


def test_a_poison_row_fails_alone() -> None:
    predictor = Predictor(line([1e30, 0.0], 0.0), CPU)
    good, bad = np.array([[1.0, 2.0]]), np.array([[1.0, 2.0], [1e30, 0.0]])

    async def act(work: Work) -> list[Shared | BaseException]:
        asked = [good, good, bad, good, bad, good]
        tasks = [work.predict(predictor, x_NF) for x_NF in asked]
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = run(act)
    kinds = [type(answer).__name__ for answer in answers]
    assert kinds == [
        "Shared",
        "Shared",
        "OverflowedError",
        "Shared",
        "OverflowedError",
        "Shared",
    ]
    assert getattr(answers[2], "row", None) == 1


def test_a_module_that_fails_in_its_own_way_costs_only_those_who_asked_for_it() -> None:
    class Moody(Predictor):
        def predict_array(self, x_NF: np.ndarray, dtype: Floats = None) -> np.ndarray:
            if (x_NF == 13).any():
                raise RuntimeError("unlucky")
            return super().predict_array(x_NF, dtype)

    predictor = Moody(bundle(MlpSpec(hidden=(4,)), 4), CPU)
    unlucky = np.full((1, 4), 13.0)

    async def act(work: Work) -> list[Shared | BaseException]:
        asked = [some_rows(1), some_rows(1), unlucky, some_rows(2)]
        tasks = [work.predict(predictor, x_NF) for x_NF in asked]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await settled(lambda: work.in_flight == 0)
        return answers

    kinds = [type(answer).__name__ for answer in run(act)]
    assert kinds == ["Shared", "Shared", "RuntimeError", "Shared"]


def test_one_more_than_the_most_is_refused_and_none_of_the_others(slow: Slow) -> None:
    async def act(work: Work) -> None:
        tasks = [asyncio.ensure_future(work.predict(slow, some_rows(1))) for _ in range(2)]
        alone = asyncio.ensure_future(work.run(lambda: slow.predict_array(some_rows(1))))
        await settled(lambda: work.in_flight == 3)
        with pytest.raises(OverloadedError) as caught:
            await work.predict(slow, some_rows(1))
        assert caught.value.retry_after_seconds == 1
        with pytest.raises(OverloadedError):
            await work.run(lambda: 1)
        assert work.in_flight == 3
        slow.go.set()
        assert [len(y_NT) for y_NT, _ in await asyncio.gather(*tasks)] == [1, 1]
        assert len(await alone) == 1
        await settled(lambda: work.in_flight == 0)
        assert await work.run(lambda: 7) == 7

    run(act, most=3)


def test_what_takes_too_long_is_given_up(slow: Slow) -> None:
    async def act(work: Work) -> None:
        for asked in (
            work.predict(slow, some_rows(1)),
            work.predict(slow, some_rows(1)),
            work.run(lambda: slow.predict_array(some_rows(1))),
        ):
            with pytest.raises(DeadlineError, match=r"longer than 0\.1 seconds"):
                await asked
        # It cannot be stopped: the thread that runs it is counted for as long as it does.
        assert work.in_flight == 1
        slow.go.set()
        await settled(lambda: work.in_flight == 0)
        # Whoever was given up while waiting is not computed.
        assert len(slow.rows) == 2
        assert (await work.predict(slow, some_rows(1))).y_NT.shape == (1, 1)

    run(act, seconds=0.1)


def test_threads_that_are_all_busy_are_no_reason_to_compute_for_who_has_left(slow: Slow) -> None:
    async def act(work: Work) -> None:
        tasks = [
            asyncio.ensure_future(work.run(lambda: slow.predict_array(some_rows(1))))
            for _ in range(THREADS + 5)
        ]
        await settled(lambda: len(slow.rows) == THREADS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await settled(lambda: work.in_flight == THREADS)
        slow.go.set()
        await settled(lambda: work.in_flight == 0)
        assert len(slow.rows) == THREADS

    run(act)


def test_clients_that_leave_are_not_counted_any_more(slow: Slow) -> None:
    async def act(work: Work) -> None:
        tasks = [asyncio.ensure_future(work.predict(slow, some_rows(1))) for _ in range(10)]
        await settled(lambda: work.in_flight == 10)
        for task in tasks[:9]:
            task.cancel()
        await asyncio.gather(*tasks[:9], return_exceptions=True)
        slow.go.set()
        assert (await tasks[9]).y_NT.shape == (1, 1)
        await settled(lambda: work.in_flight == 0)
        assert slow.rows == [1, 1]

    run(act)


def test_models_do_not_wait_for_each_other(slow: Slow) -> None:
    other = Predictor(bundle(MlpSpec(hidden=(4,)), 4), CPU)

    async def act(work: Work) -> None:
        waits = asyncio.ensure_future(work.predict(slow, some_rows(1)))
        await settled(lambda: len(slow.rows) == 1)
        assert (await work.predict(other, some_rows(3))).y_NT.shape == (3, 1)
        assert not waits.done()
        slow.go.set()
        await waits

    run(act)
