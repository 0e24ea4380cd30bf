"""What a client does next, as values: no socket, no clock that cannot be replaced.

A generator of steps knows what to do in which order; `driving` does it, blocking or not, and sends
back what came of it, or throws the `httpx.TransportError` that it met. So everything but the
waiting itself is written once.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, BinaryIO, Generic, TypeVar

import httpx
from pydantic import ValidationError

from service.remote.errors import (
    ERRORS,
    BusyError,
    RefitError,
    ServiceError,
    UnexpectedAnswerError,
    UnreachableError,
)
from service.schemas.problem import ProblemResponse

T = TypeVar("T")

PROBLEM = "application/problem+json"

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""No connection, so the service cannot have done anything."""

_HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
"""Wrong on this side; the next time would be the same."""


@dataclass(frozen=True)
class Retries:
    """When a call is tried again that was refused for the time being, or was not answered."""

    seconds: float = 30.0
    """From the first try to the last; 0 tries once."""
    reconnect_seconds: float = 120.0
    """How long a job that is being followed may be out of reach, as through a restart."""
    first_pause: float = 0.1
    """Longest pause before the second try, in seconds; twice as long before each further one."""
    longest_pause: float = 5.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    """Steady seconds; replaced in tests."""


RETRIES = Retries()


@dataclass(frozen=True)
class FileBody:
    """A body that is read from a file piece by piece."""

    file: BinaryIO
    start: int | None
    """Where it begins; None where the file cannot go back, and so cannot be sent twice."""
    size: int | None
    """In bytes, where that is known."""


@dataclass(frozen=True)
class Answer:
    """An answer in full; of a stream that is open, without content."""

    status: int
    headers: httpx.Headers
    content: bytes


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how its answer is read."""

    method: str
    path: str
    parse: Callable[[Answer], T]
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileBody | None = None
    repeatable: bool = False
    """Whether twice is the same as once, so that it may be sent again when no answer came."""
    also: frozenset[int] = frozenset()
    """Statuses other than 2xx that are answers here, not errors."""
    hold_seconds: float = 0.0
    """How long the service may take beyond the usual before it answers."""
    silence_seconds: float | None = None
    """Longest silence of a stream; None for the usual time out."""

    @property
    def once(self) -> bool:
        """Whether the body is gone when it was sent."""
        return isinstance(self.body, FileBody) and self.body.start is None


@dataclass(frozen=True)
class Send:
    """Send a request; gives its `Answer`."""

    call: Call[Any]


@dataclass(frozen=True)
class Open:
    """Send a request and leave the answer open; gives an `Answer` whose content is to be read."""

    call: Call[Any]


@dataclass(frozen=True)
class Read:
    """Read from the open answer; gives bytes, none at its end."""


@dataclass(frozen=True)
class Sleep:
    """Rest."""

    seconds: float


@dataclass(frozen=True)
class Item(Generic[T]):
    """Something for whoever listens."""

    value: T


@dataclass(frozen=True)
class Done(Generic[T]):
    """The end, and what came of it."""

    value: T


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a list, and where the next ones begin; None on the last page."""

    entries: list[T]
    next: str | None


Step = Send | Open | Read | Sleep | Item[Any]
Steps = Generator[Step, Any, T]


class Attempts:
    """The tries of one call: how many there were, and until when there may be more."""

    def __init__(self, retries: Retries, seconds: float, deadline: float | None = None) -> None:
        self._retries = retries
        self._seconds = seconds
        self._last = math.inf if deadline is None else deadline
        self.begin()

    def begin(self) -> None:
        """Count from here on: what was asked for has been reached."""
        self._deadline = min(self._last, self._retries.clock() + self._seconds)
        self._pause = self._retries.first_pause

    def pause(self, least: float = 0.0) -> float | None:
        """Seconds to rest before the next try, ``least`` at least; None if there is to be none.

        Half of the pause is left to chance, so that many clients do not come back together.
        """
        seconds = least + self._pause * (1 + random.random()) / 2  # noqa: S311
        self._pause = min(2 * self._pause, self._retries.longest_pause)
        return seconds if self._retries.clock() + seconds <= self._deadline else None


def exchange(call: Call[T], retries: Retries, deadline: float | None = None) -> Steps[T]:
    """Ask until there is an answer, as often as that is safe and the time allows.

    No try begins after ``deadline``, a time of the clock of ``retries``.

    Raises:
        ServiceError: the service refused.
        UnreachableError: nobody answered.
        UnexpectedAnswerError: the answer is none of Refit's.
    """
    attempts = Attempts(retries, retries.seconds, deadline)
    while True:
        error: RefitError
        cause: httpx.TransportError | None = None
        try:
            answer: Answer = yield Send(call)
        except httpx.TransportError as failure:
            error, cause = unreachable(call, failure), failure
            again, least = may_send_again(call, failure), 0.0
        else:
            if is_answer(call, answer):
                return read(call, answer)
            error = refusal(answer)
            again, least = may_ask_again(call, error), retry_after(answer) or 0.0
        pause = attempts.pause(least) if again else None
        if pause is None:
            raise error from cause
        yield Sleep(pause)


def pages(ask: Callable[[str | None], Call[Page[T]]], retries: Retries) -> Steps[None]:
    """Every entry of a list as an `Item`, a page at a time, as far as somebody listens."""
    after: str | None = None
    while True:
        page = yield from exchange(ask(after), retries)
        for entry in page.entries:
            yield Item(entry)
        if page.next is None:
            return
        after = page.next


def is_answer(call: Call[Any], answer: Answer) -> bool:
    return 200 <= answer.status < 300 or answer.status in call.also


def read(call: Call[T], answer: Answer) -> T:
    """What the answer says.

    Raises:
        UnexpectedAnswerError: it is not what Refit answers.
    """
    try:
        return call.parse(answer)
    except (ValidationError, ValueError, KeyError) as error:
        message = f"{call.method} {call.path}: the answer cannot be read; is this Refit?"
        raise UnexpectedAnswerError(message, status=answer.status) from error


def may_send_again(call: Call[Any], failure: httpx.TransportError) -> bool:
    """Whether a request whose answer did not come may be sent once more."""
    if isinstance(failure, _HOPELESS) or call.once:
        return False
    return call.repeatable or isinstance(failure, _NOTHING_SENT)


def may_ask_again(call: Call[Any], error: RefitError) -> bool:
    """Whether a request that was refused may be made once more.

    429 says that nothing was done. 503 does so where Refit itself says it; another program between
    may have lost an answer, and then only what is repeatable is repeated.
    """
    if call.once or not isinstance(error, ServiceError | UnexpectedAnswerError):
        return False
    if isinstance(error, BusyError) or error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    return error.status == HTTPStatus.SERVICE_UNAVAILABLE and call.repeatable


def unreachable(call: Call[Any], failure: httpx.TransportError) -> UnreachableError:
    """The error for an answer that did not come."""
    why = str(failure) or type(failure).__name__
    nothing_sent = isinstance(failure, (*_NOTHING_SENT, *_HOPELESS))
    if nothing_sent or call.method == "GET":
        return UnreachableError(f"the service cannot be reached: {why}", maybe_done=False)
    message = f"no answer to {call.method} {call.path} ({why}); it may have been done all the same"
    return UnreachableError(message, maybe_done=True)


def refusal(answer: Answer) -> RefitError:
    """The error that an answer tells of."""
    status = answer.status
    try:
        if not answer.headers.get("content-type", "").startswith(PROBLEM):
            raise ValueError("no problem+json")
        problem = ProblemResponse.model_validate_json(answer.content)
    except ValueError:
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "an unknown status"
        message = f"answered {status} ({phrase}), and not as Refit does"
        return UnexpectedAnswerError(message, status=status)
    return ERRORS.get(problem.code, ServiceError)(
        problem.detail,
        code=problem.code,
        status=status,
        errors=tuple(problem.errors),
        request_id=problem.request_id,
        retry_after=retry_after(answer),
    )


def retry_after(answer: Answer) -> float | None:
    """The seconds of `Retry-After` (RFC 9110, section 10.2.3): a number, or the time until a date.

    A date is held against the answer's own `Date`, so a clock that is wrong here does not matter.
    """
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    date = _date(text)
    if date is None:
        return None
    now = _date(answer.headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (date - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
