"""Follow a job, and wait for its end, while streams break and time passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from service.client import (
    AsyncClient,
    Job,
    JobCancelledError,
    JobEvent,
    JobFailedError,
    JobNotFoundError,
    Retries,
    UnexpectedAnswerError,
    UnreachableError,
    WaitTimeoutError,
)
from tests.service.client.faking import Script, Time, event, job, problem, scripted, stream

POINT = {"epoch": 0, "train_loss": 0.5, "test_loss": 0.25}
HISTORY = [
    event(1, "state", state="queued", attempt=0),
    event(2, "state", state="running", attempt=1),
    event(3, "point", **POINT),
    event(4, "point", **{**POINT, "epoch": 100}),
    event(5, "state", state="succeeded"),
    event(6, "end", state="succeeded", version=3, promoted=True),
]
CUT = httpx.ReadError("connection reset")


def followed(script: Script, time: Time) -> Job:
    """The job of a script, whose first reply is for `GET /jobs/{id}`."""
    return scripted(script, time).job("0" * 32)


def told(events: list[JobEvent]) -> list[tuple[int, str]]:
    return [(seen.id, type(seen).__name__) for seen in events]


IN_FULL = [
    (1, "StateEvent"),
    (2, "StateEvent"),
    (3, "PointEvent"),
    (4, "PointEvent"),
    (5, "StateEvent"),
    (6, "EndEvent"),
]


def test_events_are_typed() -> None:
    script = Script(job(), stream(b"retry: 1000\n\n", *HISTORY))
    events = list(followed(script, Time()).events())
    assert told(events) == IN_FULL
    assert events[2].point.test_loss == 0.25  # type: ignore[union-attr]
    assert (events[-1].version, events[-1].promoted) == (3, True)  # type: ignore[union-attr]


@pytest.mark.parametrize("end", [CUT, httpx.RemoteProtocolError("cut"), b""])
def test_a_stream_that_is_cut_goes_on_where_it_was(end: Exception | bytes) -> None:
    half = HISTORY[2][:20]
    script = Script(
        job(),
        stream(b"retry: 1000\n\n", *HISTORY[:2], half, end),
        httpx.ConnectError("the service is being started anew"),
        problem(503, "store_unavailable", retry_after="2"),
        stream(b"retry: 1000\n\n", *HISTORY[2:4], end),
        stream(*HISTORY[4:]),
    )
    time = Time()
    assert told(list(followed(script, time).events())) == IN_FULL
    asked = [request.headers.get("last-event-id") for request in script.asked]
    assert asked == [None, "0", "2", "2", "2", "4"]
    # No sooner than the stream asked for, a second, and the service, two.
    assert (time.slept[0] >= 1) == (end == b"")
    assert time.slept[2] >= 2


def test_what_was_told_already_is_not_told_again() -> None:
    script = Script(job(), stream(*HISTORY[:3], CUT), stream(*HISTORY))
    assert told(list(followed(script, Time()).events())) == IN_FULL


def test_events_after_one_are_asked_for() -> None:
    script = Script(job(), stream(*HISTORY[4:]))
    assert told(list(followed(script, Time()).events(after=4))) == IN_FULL[4:]
    assert script.asked[-1].headers["last-event-id"] == "4"


def test_no_content_is_the_end() -> None:
    script = Script(job(), httpx.Response(204))
    assert list(followed(script, Time()).events(after=6)) == []


def test_events_of_a_newer_service_are_passed_over() -> None:
    script = Script(job(), stream(event(1, "hint", words="…"), *HISTORY[1:]))
    assert told(list(followed(script, Time()).events())) == IN_FULL[1:]


def test_a_job_that_is_gone_is_told() -> None:
    script = Script(job(), stream(HISTORY[0], CUT), problem(404, "job_not_found"))
    events = followed(script, Time()).events()
    assert next(events).id == 1
    with pytest.raises(JobNotFoundError):
        next(events)


def test_a_service_that_stays_away_is_given_up_after_a_while() -> None:
    script, time = Script(job(), stream(HISTORY[0], CUT), httpx.ConnectError("refused")), Time()
    with pytest.raises(UnreachableError):
        list(followed(script, time).events())
    assert 120 - 5 < time.now - 1000 <= 120


def test_every_piece_that_comes_gives_new_patience() -> None:
    # An hour of lost connections, each after something was heard.
    cuts = [stream(b": still here\n\n", CUT) for _ in range(1000)]
    script, time = Script(job(), *cuts, stream(*HISTORY)), Time()
    assert told(list(followed(script, time).events())) == IN_FULL


def test_what_is_no_event_of_refit_is_told() -> None:
    script = Script(job(), stream(b"id: x\nevent: point\ndata: 1\n\n"))
    with pytest.raises(UnexpectedAnswerError):
        list(followed(script, Time()).events())


def test_waiting_asks_until_the_job_has_ended() -> None:
    time = Time()

    def hold() -> httpx.Response:
        time.now += 30
        return job("running")()

    done = job("succeeded", version=2, metrics={"test_mae": 1.5})
    script = Script(job(), hold, hold, done)
    ended = followed(script, time).wait()
    assert (ended.state, ended.version, ended.metrics) == ("succeeded", 2, {"test_mae": 1.5})
    assert [request.headers.get("prefer") for request in script.asked] == [
        None,
        *["wait=30"] * 3,
    ]


def test_a_service_that_does_not_hold_the_answer_is_not_asked_in_a_hurry() -> None:
    script, time = Script(job(), *[job("running")] * 100, job("succeeded")), Time()
    followed(script, time).wait()
    assert time.now - 1000 >= 100 * 0.2


def test_waiting_goes_on_through_a_restart() -> None:
    away: list[Any] = [CUT, *[httpx.ConnectError("refused")] * 8, problem(503, "store_unavailable")]
    script = Script(job(), *away, job("succeeded"))
    assert followed(script, Time()).wait().state == "succeeded"


def test_waiting_ends_in_time() -> None:
    script, time = Script(job()), Time()
    with pytest.raises(WaitTimeoutError, match="it goes on"):
        followed(script, time).wait(5)
    assert time.now - 1000 == pytest.approx(5, abs=0.2)


def test_waiting_ends_in_time_though_nobody_answers() -> None:
    script, time = Script(job(), httpx.ConnectError("refused")), Time()
    with pytest.raises(WaitTimeoutError):
        followed(script, time).wait(20)
    assert time.now - 1000 <= 20


def silent(time: Time) -> Callable[[], httpx.Response]:
    """A stream in which nothing happens for as long as is waited."""

    def make() -> httpx.Response:
        time.now += 1
        return stream(httpx.ReadTimeout("silence"))()

    return make


def test_waiting_with_points_ends_in_time_in_silence_too() -> None:
    time = Time()
    script = Script(job(), stream(*HISTORY[:3], CUT), silent(time))
    seen: list[Any] = []
    with pytest.raises(WaitTimeoutError):
        followed(script, time).wait(10, on_point=seen.append)
    assert [point.epoch for point in seen] == [0]
    assert 10 <= time.now - 1000 <= 11


def test_each_point_is_told_once_while_waiting() -> None:
    script = Script(job(), stream(*HISTORY[:3], CUT), stream(*HISTORY[3:]), job("succeeded"))
    seen: list[Any] = []
    followed(script, Time()).wait(on_point=seen.append)
    assert [point.epoch for point in seen] == [0, 100]


@pytest.mark.parametrize(
    ("state", "error", "kind", "words"),
    [
        (
            "failed",
            {"code": "diverged", "message": "the loss is nan"},
            JobFailedError,
            "is nan",
        ),
        ("cancelled", None, JobCancelledError, "was cancelled"),
    ],
)
def test_a_job_that_did_not_succeed_raises_unless_told_otherwise(
    state: str, error: dict[str, str] | None, kind: type[JobFailedError], words: str
) -> None:
    script = Script(job(), job(state, error=error))
    with pytest.raises(kind, match=words) as caught:
        followed(script, Time()).wait()
    assert caught.value.job.state == state
    assert caught.value.code == (error["code"] if error else "cancelled")
    assert followed(script, Time()).wait(check=False).state == state


def test_the_client_that_does_not_block_follows_alike() -> None:
    script = Script(job(), stream(*HISTORY[:3], CUT), stream(*HISTORY[3:]), job("succeeded"))
    time = Time()

    async def follow() -> list[JobEvent]:
        async with AsyncClient(
            "http://refit.test",
            transport=httpx.MockTransport(asynchronous(script)),
            sleep=time.sleep_async,
            retries=Retries(clock=time.clock),
        ) as client:
            handle = await client.job("0" * 32)
            return [seen async for seen in handle.events()]

    assert told(asyncio.run(follow())) == IN_FULL


def asynchronous(script: Script) -> Callable[[httpx.Request], httpx.Response]:
    """The same replies, with streams as an event loop wants them."""

    def handle(request: httpx.Request) -> httpx.Response:
        reply = script(request)
        if reply.headers.get("content-type") != "text/event-stream":
            return reply
        pieces = reply.iter_raw()

        async def content() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        return httpx.Response(200, headers=reply.headers, content=content())

    return handle
