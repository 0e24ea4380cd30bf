"""Server-sent events: the whole history with ids, resumed without gap or repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import service.api.routes.jobs
from service.entities import Job, JobError
from service.errors import StoreUnavailableError
from service.jobs.desk import JobDesk
from service.settings import Settings
from tests.service.api.driving import Client, check_problem, speaking_to
from tests.service.making import Place
from tests.waiting import until


def point(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "train_loss": 1 / (1 + epoch), "test_loss": 0.5}


def run(place: Place, points: int = 3) -> Job:
    """A job that runs and has some points."""
    place.queue()
    job = place.claim()
    with place.database.write() as stores:
        curve = [point(epoch) for epoch in range(points)]
        stores.jobs.progress(job.id, job.fence, points, curve, datetime.now(UTC))
    return job


def fail(place: Place, job: Job) -> None:
    with place.database.write() as stores:
        error = JobError("diverged", "lower lr")
        assert stores.jobs.fail(job.id, job.fence, error, datetime.now(UTC))


def parse(text: str) -> list[dict[str, Any]]:
    """The events of a stream; its retry and its comments are left out."""
    events: list[dict[str, Any]] = []
    for block in text.split("\n\n"):
        lines = dict(
            line.split(": ", 1) for line in block.splitlines() if line[:1] not in ("", ":")
        )
        if "data" in lines:
            lines["data"] = json.loads(lines["data"])
            events.append(lines)
    return events


def history(client: Client, job: Job, **headers: str) -> list[dict[str, Any]]:
    answer = client.get(f"/jobs/{job.id}/events", headers=headers)
    assert answer.status_code == 200
    assert answer.text.endswith("\n\n")
    return parse(answer.text)


def test_an_ended_job_replays_its_history_and_ends(client: Client, place: Place) -> None:
    job = run(place)
    fail(place, job)
    answer = client.get(f"/jobs/{job.id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text.startswith("retry: ")
    events = parse(answer.text)
    assert [event["id"] for event in events] == [str(number) for number in range(1, 8)]
    assert [event["event"] for event in events] == [
        "state",
        "state",
        *["point"] * 3,
        "state",
        "end",
    ]
    for event in events:
        assert datetime.fromisoformat(event["data"].pop("at")).tzinfo is not None
    assert [event["data"] for event in events] == [
        {"state": "queued", "attempt": 0},
        {"state": "running", "attempt": 1},
        point(0),
        point(1),
        point(2),
        {"state": "failed", "attempt": 1},
        {"state": "failed", "error": {"code": "diverged", "message": "lower lr"}},
    ]


def test_a_stream_resumes_at_every_position_with_exactly_the_rest(
    client: Client, place: Place
) -> None:
    job = run(place)
    fail(place, job)
    whole = history(client, job)
    for position in range(len(whole)):
        assert history(client, job, **{"Last-Event-ID": str(position)}) == whole[position:]


def test_nothing_is_left_after_the_end(client: Client, place: Place) -> None:
    job = run(place)
    fail(place, job)
    last = len(history(client, job))
    for position in (last, last + 1, 999_999_999):
        answer = client.get(f"/jobs/{job.id}/events", headers={"Last-Event-ID": str(position)})
        # EventSource comes back for ever, unless it is told 204.
        assert (answer.status_code, answer.content) == (204, b"")


def test_an_empty_last_event_id_is_that_of_a_first_visit(client: Client, place: Place) -> None:
    job = run(place)
    fail(place, job)
    assert history(client, job, **{"Last-Event-ID": ""}) == history(client, job)


@pytest.mark.parametrize("header", ["x", "-1", "1.5", "1 2", "0x1", "9" * 10, "\xb2", "1,2"])
def test_an_id_of_no_event_is_refused(client: Client, place: Place, header: str) -> None:
    job = run(place)
    headers = {"Last-Event-ID": header.encode("latin-1")}
    answer = client.get(f"/jobs/{job.id}/events", headers=headers)
    body = check_problem(answer, 422, "invalid_request")
    assert "Last-Event-ID" in body["detail"]


def test_a_running_job_is_followed_to_its_end(client: Client, place: Place) -> None:
    job = run(place, points=1)
    with client.stream(f"/jobs/{job.id}/events") as stream:
        got = stream.read_until("id: 3\n")
        with place.database.write() as stores:
            stores.jobs.progress(job.id, job.fence, 2, [point(1)], datetime.now(UTC))
        got += stream.read_until("id: 4\n")
        assert not stream.ended
        fail(place, job)
        got += stream.read_until("event: end\n")
        got += stream.read_until("nothing more")
        assert stream.ended
    assert [int(event["id"]) for event in parse(got)] == [1, 2, 3, 4, 5, 6]


def test_who_has_seen_all_of_a_running_job_waits_for_more(client: Client, place: Place) -> None:
    job = run(place)
    with client.stream(f"/jobs/{job.id}/events", last_event_id="5") as stream:
        assert stream.status == 200
        fail(place, job)
        got = stream.read_until("event: end\n") + stream.read_until("nothing more")
    assert [event["id"] for event in parse(got)] == ["6", "7"]


def test_a_history_of_many_events_comes_whole(client: Client, place: Place) -> None:
    job = run(place, points=2500)
    fail(place, job)
    assert [int(event["id"]) for event in history(client, job)] == list(range(1, 2505))


def test_a_silent_stream_says_that_it_lives(
    client: Client, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.api.routes.jobs, "STREAM_POLL_SECONDS", 0.01)
    monkeypatch.setattr(service.api.routes.jobs, "KEEP_ALIVE_SECONDS", 0.05)
    job = run(place)
    with client.stream(f"/jobs/{job.id}/events") as stream:
        got = stream.read_until(":")
        for _ in range(3):
            got += stream.read_until(": still here\n\n")
    assert got.count("\n: ") == 3
    assert len(parse(got)) == 5


def test_a_stream_ends_when_the_process_is_to_end(client: Client, place: Place) -> None:
    job = run(place)
    with client.stream(f"/jobs/{job.id}/events") as stream:
        stream.read_until("id: 5\n")
        client.parts.draining = True
        stream.read_until("nothing more")
        assert stream.ended


def test_a_stream_ends_when_the_database_goes_away_and_can_be_resumed(
    client: Client, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailableError("the database does not answer; try again")

    job = run(place)
    with client.stream(f"/jobs/{job.id}/events") as stream:
        got = stream.read_until("id: 5\n")
        with monkeypatch.context() as patch:
            patch.setattr(JobDesk, "events", away)
            got += stream.read_until("nothing more")
        assert stream.ended
    fail(place, job)
    last = parse(got)[-1]["id"]
    assert [event["id"] for event in history(client, job, **{"Last-Event-ID": last})] == ["6", "7"]


# ---- bounds ----


@pytest.fixture
def narrow(place: Place, settings: Settings) -> Iterator[Client]:
    with speaking_to(settings.model_copy(update={"max_event_streams": 2})) as client:
        yield client


def test_streams_are_bounded_and_make_room_when_they_end(narrow: Client, place: Place) -> None:
    job = run(place)
    path = f"/jobs/{job.id}/events"
    with narrow.stream(path) as first:
        first.read_until("id: 5\n")
        with narrow.stream(path) as second:
            second.read_until("id: 5\n")
            answer = narrow.get(path)
            check_problem(answer, 429, "too_many_streams")
            assert int(answer.headers["retry-after"]) >= 1
        # The second client has left.
        until(lambda: narrow.parts.event_streams == 1, "the stream to end")
        with narrow.stream(path) as third:
            assert third.status == 200
    until(lambda: narrow.parts.event_streams == 0, "the streams to end")
