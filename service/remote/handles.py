"""A job in the hand: what was last seen of it, and what can be done with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from service.entities import ENDED, JobState
from service.remote import calls, follow
from service.remote.driving import AsyncDriver, Driver
from service.remote.follow import JobEvent, OnPoint
from service.remote.steps import Done, Item, Retries, exchange
from service.schemas.jobs import CurvePointResponse, JobResponse, PromotionResponse


class JobView:
    """What was last seen of a job; `latest` has all of it."""

    def __init__(self, latest: JobResponse) -> None:
        self.latest = latest

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.model}: {self.state}>"

    @property
    def id(self) -> str:
        return self.latest.id

    @property
    def model(self) -> str:
        return self.latest.model

    @property
    def state(self) -> JobState:
        return self.latest.state

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.latest.state in ENDED

    @property
    def metrics(self) -> dict[str, float | None]:
        """Losses and errors, once it has succeeded."""
        return dict(self.latest.metrics or {})

    @property
    def warnings(self) -> list[str]:
        """What a person should know before trusting the version, in words."""
        return list(self.latest.warnings)

    @property
    def version(self) -> int | None:
        """The version that it made."""
        return self.latest.version

    @property
    def promotion(self) -> PromotionResponse | None:
        """Whether that version became the active one, and why."""
        return self.latest.promotion

    def _ended(self, job: JobResponse, check: bool) -> Self:
        self.latest = job
        if check:
            follow.check(job)
        return self


class Job(JobView):
    """A job, as `Client.train` and `Client.job` give it."""

    def __init__(self, driver: Driver, retries: Retries, latest: JobResponse) -> None:
        super().__init__(latest)
        self._driver = driver
        self._retries = retries

    def wait(
        self, timeout: float | None = None, *, on_point: OnPoint | None = None, check: bool = True
    ) -> Job:
        """Wait for the end; where the version was promoted, for every worker to serve it.

        It goes on waiting through a restart of the service. ``on_point`` gets every point of the
        learning curve, from the first. Without ``check`` a job that failed raises nothing.

        Raises:
            WaitTimeoutError: it has not ended in ``timeout`` seconds; it goes on.
            JobFailedError: it failed; `JobCancelledError` where it was cancelled.
        """
        steps = follow.wait(self.id, self._retries, timeout, on_point is not None)
        for made in self._driver.play(steps):
            if isinstance(made, Done):
                return self._ended(made.value, check)
            follow.tell(made.value, on_point)
        raise AssertionError("the steps have an end")

    def events(self, after: int = 0) -> Iterator[JobEvent]:
        """Everything that happens to it after the event of that id, until its end.

        Each event comes once, in order, through lost connections and restarts of the service.
        """
        for made in self._driver.play(follow.events(self.id, after, self._retries)):
            if isinstance(made, Item):
                yield made.value

    def refresh(self) -> Job:
        """Look again."""
        self.latest = self._run(calls.job(self.id))
        return self

    def cancel(self) -> Job:
        """Cancel it: a queued job ends at once, a running one within a second.

        Raises:
            JobFinishedError: it has ended.
        """
        self.latest = self._run(calls.cancel(self.id))
        return self

    def curve(self) -> list[CurvePointResponse]:
        """The learning curve so far."""
        points: list[CurvePointResponse] = self._run(calls.curve(self.id))
        return points

    def _run(self, call: Any) -> Any:
        return self._driver.run(exchange(call, self._retries))


class AsyncJob(JobView):
    """A job, as `AsyncClient.train` and `AsyncClient.job` give it; see `Job`."""

    def __init__(self, driver: AsyncDriver, retries: Retries, latest: JobResponse) -> None:
        super().__init__(latest)
        self._driver = driver
        self._retries = retries

    async def wait(
        self, timeout: float | None = None, *, on_point: OnPoint | None = None, check: bool = True
    ) -> AsyncJob:
        """As `Job.wait`."""
        steps = follow.wait(self.id, self._retries, timeout, on_point is not None)
        async for made in self._driver.play(steps):
            if isinstance(made, Done):
                return self._ended(made.value, check)
            follow.tell(made.value, on_point)
        raise AssertionError("the steps have an end")

    async def events(self, after: int = 0) -> AsyncIterator[JobEvent]:
        """As `Job.events`."""
        async for made in self._driver.play(follow.events(self.id, after, self._retries)):
            if isinstance(made, Item):
                yield made.value

    async def refresh(self) -> AsyncJob:
        """As `Job.refresh`."""
        self.latest = await self._run(calls.job(self.id))
        return self

    async def cancel(self) -> AsyncJob:
        """As `Job.cancel`."""
        self.latest = await self._run(calls.cancel(self.id))
        return self

    async def curve(self) -> list[CurvePointResponse]:
        """As `Job.curve`."""
        points: list[CurvePointResponse] = await self._run(calls.curve(self.id))
        return points

    async def _run(self, call: Any) -> Any:
        return await self._driver.run(exchange(call, self._retries))
