"""The life of a job: wait for its end, follow what happens to it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any

import httpx
from pydantic import TypeAdapter

from service.entities import ENDED, JobState
from service.remote import calls
from service.remote.errors import (
    BusyError,
    JobCancelledError,
    JobFailedError,
    RefitError,
    UnreachableError,
    WaitTimeoutError,
)
from service.remote.sse import Parser, ServerEvent
from service.remote.steps import (
    Answer,
    Attempts,
    Call,
    Item,
    Open,
    Read,
    Retries,
    Sleep,
    Steps,
    exchange,
    is_answer,
    may_ask_again,
    may_send_again,
    read,
    refusal,
    retry_after,
    unreachable,
)
from service.schemas.jobs import CurvePointResponse, JobResponse

HOLD_SECONDS = 30.0
"""How long one request waits for the end of a job; proxies give up after 60 s."""

SILENCE_SECONDS = 45.0
"""The service says something every 15 s; after three times that, the connection is lost."""

SHORT_SILENCE_SECONDS = 1.0
"""Of a stream that is followed up to a deadline, which may be missed by so much."""


PAUSE_SECONDS = 0.2
"""Between two requests, neither of which waited."""


@dataclass(frozen=True)
class Event:
    """Something that has happened to a job; ``id`` counts from 1."""

    id: int
    at: datetime


@dataclass(frozen=True)
class StateEvent(Event):
    """The job has come into a state."""

    state: JobState
    attempt: int | None
    """The how manieth start of it this is; None at the end."""


@dataclass(frozen=True)
class PointEvent(Event):
    """A point of the learning curve."""

    point: CurvePointResponse


@dataclass(frozen=True)
class EndEvent(Event):
    """The job has ended; nothing follows."""

    state: JobState
    version: int | None
    promoted: bool | None


JobEvent = StateEvent | PointEvent | EndEvent
OnPoint = Callable[[CurvePointResponse], object]

_AT: TypeAdapter[datetime] = TypeAdapter(datetime)


def event_of(told: ServerEvent) -> JobEvent | None:
    """An event of a job; None for a kind that a newer service brings.

    Raises:
        ValueError: it is not what Refit tells.
    """
    if told.kind not in ("state", "point", "end"):
        return None
    data: dict[str, Any] = json.loads(told.data)
    number, at = int(told.id), _AT.validate_python(data["at"])
    if told.kind == "point":
        return PointEvent(number, at, CurvePointResponse.model_validate(data))
    if told.kind == "state":
        return StateEvent(number, at, data["state"], data.get("attempt"))
    return EndEvent(number, at, data["state"], data.get("version"), data.get("promoted"))


def events(job_id: str, last: int, retries: Retries, deadline: float | None = None) -> Steps[None]:
    """Every event after ``last`` as an `Item`, each once, through lost connections and restarts.

    Raises:
        WaitTimeoutError: the deadline has passed.
        ServiceError: the service refused; `JobNotFoundError` if it does not know the job any more.
        UnreachableError: nobody answered for `Retries.reconnect_seconds`.
    """
    attempts = Attempts(retries, retries.reconnect_seconds)
    while True:
        silence = _silence(job_id, retries, deadline)
        call = calls.events(job_id, last, silence)
        error: RefitError
        cause: httpx.TransportError | None = None
        least = 0.0
        try:
            answer: Answer = yield Open(call)
            if not is_answer(call, answer):
                error = refusal(answer)
                again, least = may_ask_again(call, error), retry_after(answer) or 0.0
            elif answer.status == HTTPStatus.NO_CONTENT:
                return
            else:
                parser = Parser()
                while chunk := (yield Read()):
                    attempts.begin()
                    for event in _new(read_events(call, answer, parser, chunk), last):
                        last = event.id
                        yield Item(event)
                        if isinstance(event, EndEvent):
                            return
                    _silence(job_id, retries, deadline)
                cause = httpx.RemoteProtocolError("the events ended before the job did")
                error, again = unreachable(call, cause), True
                least = parser.retry_seconds or 0.0
        except httpx.ReadTimeout as failure:
            if deadline is not None:
                # Nothing has happened for a moment: no fault.
                continue
            error, cause, again = unreachable(call, failure), failure, True
        except httpx.TransportError as failure:
            error, cause, again = unreachable(call, failure), failure, may_send_again(call, failure)
        pause = attempts.pause(least) if again else None
        if pause is None:
            raise error from cause
        yield Sleep(pause)


def read_events(call: Any, answer: Answer, parser: Parser, chunk: bytes) -> list[JobEvent]:
    """The events that are complete with ``chunk``.

    Raises:
        UnexpectedAnswerError: they are none of Refit's.
    """

    def parse(_: Answer) -> list[JobEvent]:
        found = (event_of(told) for told in parser.feed(chunk))
        return [event for event in found if event is not None]

    return read(Call(call.method, call.path, parse), answer)


def _new(found: list[JobEvent], last: int) -> list[JobEvent]:
    # The service repeats nothing; a proxy that answers from memory might.
    return [event for event in found if event.id > last]


def _silence(job_id: str, retries: Retries, deadline: float | None) -> float:
    if deadline is None:
        return SILENCE_SECONDS
    left = deadline - retries.clock()
    if left <= 0:
        raise _too_long(job_id)
    return min(SHORT_SILENCE_SECONDS, left)


def _too_long(job_id: str) -> WaitTimeoutError:
    return WaitTimeoutError(f"job {job_id} has not ended in the time that was given; it goes on")


def wait(
    job_id: str, retries: Retries, timeout: float | None, with_events: bool
) -> Steps[JobResponse]:
    """The job when it has ended and, where its version was promoted, every worker serves it.

    With events, each from the first on is an `Item` on the way.

    Raises:
        WaitTimeoutError: it has not ended in ``timeout`` seconds.
        ServiceError, UnreachableError: as `events`.
    """
    deadline = None if timeout is None else retries.clock() + timeout
    if with_events:
        yield from events(job_id, 0, retries, deadline)
    patient = replace(retries, seconds=retries.reconnect_seconds)
    while True:
        began = retries.clock()
        left = math.inf if deadline is None else max(0.0, deadline - began)
        call = calls.job(job_id, wait=min(HOLD_SECONDS, left))
        try:
            job = yield from exchange(call, patient, deadline)
        except (UnreachableError, BusyError) as error:
            # Given up for the deadline, which the next pause would have led beyond.
            if deadline is not None and deadline - retries.clock() < retries.longest_pause:
                raise _too_long(job_id) from error
            raise
        if job.state in ENDED:
            return job
        waited = retries.clock() - began
        if waited >= left:
            raise _too_long(job_id)
        # Answered before its time, by a service that is about to stop.
        yield Sleep(min(PAUSE_SECONDS, left - waited))


def check(job: JobResponse) -> None:
    """Raise unless the job has succeeded.

    Raises:
        JobFailedError, JobCancelledError: it has ended otherwise.
    """
    if job.state == "cancelled":
        raise JobCancelledError(f"job {job.id} was cancelled", code="cancelled", job=job)
    if job.error is not None:
        message = f"job {job.id} failed ({job.error.code}): {job.error.message}"
        raise JobFailedError(message, code=job.error.code, job=job)


def tell(event: JobEvent, on_point: OnPoint | None) -> None:
    """Let ``on_point`` know of a point."""
    if on_point is not None and isinstance(event, PointEvent):
        on_point(event.point)
