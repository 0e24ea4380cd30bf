"""What is done beside the event loop: bounded in number and in time, and joined where it pays."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, TypeVar

import numpy as np

from ml.predictor import PROBE_ROWS, Predictor
from service.errors import DeadlineError, OverloadedError

T = TypeVar("T")

HEAVY_SECONDS = 0.001
"""A forward pass of `PROBE_ROWS` rows that takes longer does not belong on the event loop. For a
shorter one, handing its requests to a thread and back costs the loop more than the pass itself:
some 60 us each (`benchmarks/serving`)."""

MAX_BATCH_ROWS = 8 * PROBE_ROWS
"""Rows that are joined into one forward pass; a request of more goes alone."""

THREADS = 4

LARGE_BYTES = 1024 * 1024
"""Of larger texts a process reads one at a time. Each holds Python's lock for up to half a second
on end; several in a row would hold up the event loop until it is taken for stuck."""


class Shared(NamedTuple):
    """Predictions of a forward pass that several requests may have shared."""

    y_NT: np.ndarray
    passes: float
    """The share of the pass."""


class _Asked:
    """Rows that wait for their forward pass."""

    def __init__(self, x_NF: np.ndarray, answer: asyncio.Future[Shared]) -> None:
        self.x_NF = x_NF
        self.answer = answer


class Work:
    """Threads of predictions alone: a database that hangs keeps other threads busy, not these.

    All methods are called on the event loop.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._in_flight = 0
        self._threads = ThreadPoolExecutor(THREADS, "predict")
        # Apart, so that those of ordinary size need not wait for them.
        self._for_large = ThreadPoolExecutor(1, "predict-large")
        self._waiting: dict[Predictor, deque[_Asked]] = {}

    @property
    def in_flight(self) -> int:
        """Predictions that are worked on or wait for a thread."""
        return self._in_flight

    async def run(self, do: Callable[[], T], text_bytes: int = 0) -> T:
        """The outcome of ``do``, which reads a text of so many bytes, and which a thread runs.

        Raises:
            OverloadedError: too much is worked on.
            DeadlineError: it took too long; where it has begun it goes on, and counts, to its end.
        """
        self._enter()
        loop = asyncio.get_running_loop()
        # What the request notes for its log lines goes along.
        threads = self._for_large if text_bytes > LARGE_BYTES else self._threads
        work = threads.submit(contextvars.copy_context().run, do)

        def leave(_: Future[T]) -> None:
            # The loop is closed where the process ends before the thread does.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._leave)

        work.add_done_callback(leave)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(work), self._seconds)
        except TimeoutError:
            raise self._late() from None

    async def predict(self, predictor: Predictor, x_NF: np.ndarray) -> Shared:
        """Predictions of a heavy model, joined with those of others that wait for it.

        A request that finds the model idle starts at once; those that come while it computes share
        the next forward pass. One that cannot be answered fails alone.

        Raises:
            InputError: as `Predictor.predict_array`.
            OverloadedError, DeadlineError: as `run`.
        """
        self._enter()
        try:
            asked = _Asked(x_NF, asyncio.get_running_loop().create_future())
            queue = self._waiting.get(predictor)
            if queue is None:
                self._waiting[predictor] = queue = deque([asked])
                self._next(predictor, queue)
            else:
                queue.append(asked)
            return await asyncio.wait_for(asked.answer, self._seconds)
        except TimeoutError:
            raise self._late() from None
        finally:
            self._leave()

    def close(self) -> None:
        """Start nothing more."""
        for threads in (self._threads, self._for_large):
            threads.shutdown(wait=False, cancel_futures=True)

    def _enter(self) -> None:
        if self._in_flight >= self._most:
            raise OverloadedError(f"{self._most} predictions are being worked on; try again")
        self._in_flight += 1

    def _leave(self) -> None:
        self._in_flight -= 1

    def _late(self) -> DeadlineError:
        return DeadlineError(f"the prediction took longer than {self._seconds:g} seconds")

    def _next(self, predictor: Predictor, queue: deque[_Asked]) -> None:
        """Start the next forward pass of ``predictor``, if anybody waits for it."""
        batch: list[_Asked] = []
        rows = 0
        while queue and (not batch or rows + len(queue[0].x_NF) <= MAX_BATCH_ROWS):
            asked = queue.popleft()
            if not asked.answer.done():  # else it is late, or its client has gone
                batch.append(asked)
                rows += len(asked.x_NF)
        if not batch:
            del self._waiting[predictor]
            return
        loop = asyncio.get_running_loop()
        work = self._threads.submit(_answer_all, predictor, [asked.x_NF for asked in batch])

        def hand_out(done: Future[list[Shared | Exception]]) -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(deliver, done)

        def deliver(done: Future[list[Shared | Exception]]) -> None:
            error = done.exception()
            answers = [error] * len(batch) if error is not None else done.result()
            for asked, answer in zip(batch, answers, strict=True):
                if asked.answer.done():
                    continue
                if isinstance(answer, Shared):
                    asked.answer.set_result(answer)
                else:
                    asked.answer.set_exception(answer)
            self._next(predictor, queue)

        work.add_done_callback(hand_out)


def _answer_all(predictor: Predictor, asked: list[np.ndarray]) -> list[Shared | Exception]:
    """The predictions of each; all by one forward pass where none of them fails."""
    if len(asked) > 1:
        try:
            y_NT = predictor.predict_array(np.concatenate(asked))
        except Exception:  # noqa: S110
            pass  # a row that cannot be answered, or a bug in somebody's module: found alone below
        else:
            ends = np.cumsum([len(x_NF) for x_NF in asked])
            return [Shared(part_NT, 1 / len(asked)) for part_NT in np.split(y_NT, ends[:-1])]
    answers: list[Shared | Exception] = []
    for x_NF in asked:
        try:
            answers.append(Shared(predictor.predict_array(x_NF), 1.0))
        except Exception as error:
            answers.append(error)
    return answers
