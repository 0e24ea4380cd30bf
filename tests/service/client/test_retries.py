"""What is tried again, when, how often; and what never is."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from service.client import (
    AsyncClient,
    Client,
    InternalError,
    OverloadedError,
    QueueFullError,
    Retries,
    ServiceError,
    StoreUnavailableError,
    TooManyUploadsError,
    UnexpectedAnswerError,
    UnreachableError,
)
from tests.service.client.faking import Script, Time, job, predicted, problem, scripted

BROKEN = httpx.ReadError("connection reset")
NO_ANSWER = httpx.RemoteProtocolError("closed without an answer")
REFUSED = httpx.ConnectError("connection refused")


def test_429_is_asked_again_after_the_seconds_of_retry_after() -> None:
    script, time = Script(problem(429, "overloaded", retry_after="7"), predicted()), Time()
    assert scripted(script, time).predict(0.5).y == 0.5
    (slept,) = time.slept
    # The seconds, and at most the first pause beyond them, half of it by chance.
    assert 7.05 <= slept <= 7.1


def test_a_date_in_retry_after_is_held_against_the_date_of_the_answer() -> None:
    # A service whose clock is a year behind.
    then = datetime.now(UTC).replace(microsecond=0) - timedelta(days=365)
    date = {
        "date": format_datetime(then, usegmt=True),
        "retry_after": format_datetime(then + timedelta(seconds=9), usegmt=True),
    }
    script, time = Script(problem(503, "not_ready", **date), predicted()), Time()
    scripted(script, time).predict(0.5)
    assert 9.05 <= time.slept[0] <= 9.1


def test_a_date_that_has_passed_waits_no_longer_than_any_pause() -> None:
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    script, time = Script(problem(503, "not_ready", retry_after=past), predicted()), Time()
    scripted(script, time).predict(0.5)
    assert 0.05 <= time.slept[0] <= 0.1


@pytest.mark.parametrize("nonsense", ["soon", "-3", "1.5e9", "٣", ""])
def test_what_is_no_retry_after_is_passed_over(nonsense: str) -> None:
    refusal = problem(429, "overloaded")()
    refusal.headers = httpx.Headers(
        [*refusal.headers.raw, (b"Retry-After", nonsense.encode("utf-8"))]
    )
    script, time = Script(refusal, predicted()), Time()
    scripted(script, time).predict(0.5)
    assert time.slept[0] <= 0.1


def test_pauses_double_up_to_the_longest_and_the_whole_is_bounded() -> None:
    script, time = Script(problem(429, "overloaded")), Time()
    began = time.now
    with pytest.raises(OverloadedError):
        scripted(script, time, seconds=30, longest_pause=4).predict(0.5)
    assert time.now - began <= 30
    bounds = [min(0.1 * 2**n, 4) for n in range(len(time.slept))]
    for slept, bound in zip(time.slept, bounds, strict=True):
        assert bound / 2 <= slept <= bound
    # Not given up before the next pause would have led beyond the 30 s.
    assert time.now - began > 30 - 4
    assert len(script.asked) == len(time.slept) + 1


def test_a_retry_after_beyond_the_bound_gives_up_at_once() -> None:
    script, time = Script(problem(429, "queue_full", retry_after="3600")), Time()
    with pytest.raises(QueueFullError) as caught:
        scripted(script, time).train()
    assert time.slept == []
    assert caught.value.retry_after == 3600


def test_many_clients_do_not_come_back_together() -> None:
    pauses = set()
    for _ in range(20):
        script, time = Script(problem(429, "overloaded", retry_after="1"), predicted()), Time()
        scripted(script, time).predict(0.5)
        pauses.add(time.slept[0])
    assert len(pauses) > 10


@pytest.mark.parametrize("fault", [BROKEN, NO_ANSWER, REFUSED, httpx.ReadTimeout("timed out")])
@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.predict(0.5),
        lambda client: client.train(),
        lambda client: client.job("0" * 32),
        lambda client: client.upload(io.BytesIO(b"x\n1\n"), format="csv"),
    ],
)
def test_what_changes_nothing_twice_is_sent_again_when_no_answer_came(
    fault: Exception, ask: Callable[[Client], object]
) -> None:
    script, time = Script(fault, problem(500, "internal_error")), Time()
    with pytest.raises(InternalError):
        ask(scripted(script, time))
    assert len(script.asked) == 2


@pytest.mark.parametrize("fault", [BROKEN, NO_ANSWER, httpx.ReadTimeout("timed out")])
@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.activate(2),
        lambda client: client.rollback(),
        lambda client: client.delete_version(2),
        lambda client: client.delete_dataset("0" * 32),
    ],
)
def test_what_may_have_been_done_is_never_sent_again(
    fault: Exception, ask: Callable[[Client], object]
) -> None:
    script, time = Script(fault), Time()
    with pytest.raises(UnreachableError, match="may have been done") as caught:
        ask(scripted(script, time))
    assert len(script.asked) == 1
    assert caught.value.maybe_done


def test_where_nothing_was_sent_everything_is_tried_again() -> None:
    script, time = Script(REFUSED, REFUSED, problem(409, "nothing_to_roll_back")), Time()
    with pytest.raises(ServiceError):
        scripted(script, time).rollback()
    assert script.methods == ["POST"] * 3


def test_nobody_there_is_told_after_the_bound() -> None:
    script, time = Script(REFUSED), Time()
    with pytest.raises(UnreachableError, match="cannot be reached: connection refused") as caught:
        scripted(script, time, seconds=5).rollback()
    assert not caught.value.maybe_done
    # The pause that would have led beyond was at most 3.2 s.
    assert 5 - 3.2 < time.now - 1000 <= 5


def test_a_training_has_the_same_key_and_body_each_time() -> None:
    busy, started = problem(503, "store_unavailable"), job()
    script, time = Script(NO_ANSWER, busy, started), Time()
    client = scripted(script, time)
    client.train(epochs=3)
    client.train(epochs=3)
    keys = [request.headers["idempotency-key"] for request in script.asked]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert {request.content for request in script.asked} == {b'{"epochs":3}'}


def test_503_of_refit_says_that_nothing_was_done_and_so_all_is_asked_again() -> None:
    script, time = Script(problem(503, "store_unavailable"), problem(500, "internal_error")), Time()
    with pytest.raises(InternalError):
        scripted(script, time).rollback()
    assert len(script.asked) == 2


def test_503_of_a_proxy_repeats_only_what_is_repeatable() -> None:
    proxy = httpx.Response(503, text="<html>upstream lost</html>")
    script, time = Script(proxy), Time()
    with pytest.raises(UnexpectedAnswerError, match="503"):
        scripted(script, time).rollback()
    assert len(script.asked) == 1
    script, time = Script(proxy, predicted(0.25)), Time()
    assert scripted(script, time).predict(0.5).y == 0.25


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 500, 502, 504])
def test_no_other_status_is_asked_again(status: int) -> None:
    script, time = Script(problem(status, "internal_error")), Time()
    with pytest.raises(ServiceError):
        scripted(script, time).predict(0.5)
    assert len(script.asked) == 1


def test_a_file_is_sent_from_its_beginning_each_time() -> None:
    file = io.BytesIO(b"skipped x\n1\n2\n")
    file.seek(8)
    script = Script(problem(429, "too_many_uploads"), problem(500, "internal_error"))
    with pytest.raises(InternalError):
        scripted(script, Time()).upload(file, format="csv")
    assert [request.content for request in script.asked] == [b"x\n1\n2\n"] * 2
    assert {request.headers["content-length"] for request in script.asked} == {"6"}


def test_a_file_that_cannot_go_back_is_sent_once() -> None:
    class Pipe(io.BytesIO):
        def tell(self) -> int:
            raise OSError("a pipe has no places")

    script = Script(problem(429, "too_many_uploads"))
    with pytest.raises(TooManyUploadsError):
        scripted(script, Time()).upload(Pipe(b"x\n1\n"), format="csv")
    assert len(script.asked) == 1


def test_without_time_nothing_is_tried_twice() -> None:
    script, time = Script(problem(503, "store_unavailable")), Time()
    with pytest.raises(StoreUnavailableError):
        scripted(script, time, seconds=0).predict(0.5)
    assert len(script.asked) == 1


def test_health_that_is_not_ready_is_an_answer() -> None:
    told = {"status": "draining", "live": True, "ready": False, "model": "default"}
    body = {**told, "version": None, "device": "cpu", "workers": 2}
    script = Script(httpx.Response(503, headers={"Retry-After": "1"}, json=body))
    assert not scripted(script, Time()).health().ready
    assert len(script.asked) == 1


def test_an_answer_of_another_program_is_told_as_such() -> None:
    script = Script(httpx.Response(200, text="<html>welcome</html>"))
    with pytest.raises(UnexpectedAnswerError, match="is this Refit"):
        scripted(script, Time()).model()


def test_the_client_that_does_not_block_decides_alike() -> None:
    script, time = (
        Script(problem(429, "overloaded", retry_after="7"), NO_ANSWER, predicted()),
        Time(),
    )

    async def ask() -> float:
        async with AsyncClient(
            "http://refit.test",
            transport=httpx.MockTransport(script),
            sleep=time.sleep_async,
            retries=Retries(clock=time.clock),
        ) as client:
            y: float = (await client.predict(0.5)).y
            return y

    assert asyncio.run(ask()) == 0.5
    assert [round(seconds) for seconds in time.slept] == [7, 0]


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", ""])
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="expected a URL"):
        Client(url)
