"""Jobs: shown, listed, cancelled, drawn."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.entities import Job, Promotion
from tests.service.api.driving import Client, check_problem
from tests.service.making import Place, line


def walk(client: Client, path: str, noun: str, limit: int) -> list[dict[str, Any]]:
    """Every entry of a list, page by page."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        joint = "&" if "?" in path else "?"
        page = client.get(f"{path}{joint}limit={limit}{after}").json()
        assert page.keys() == {noun, "next"}
        assert len(page[noun]) <= limit
        found += page[noun]
        if page["next"] is None:
            return found
        assert len(page[noun]) == limit
        after = f"&after={page['next']}"


def test_lists_walk_every_job_once_newest_first(client: Client, place: Place) -> None:
    jobs = [place.queue(f"model{number % 2}") for number in range(7)]
    place.claim()
    ids = [job.id for job in reversed(jobs)]
    for limit in (1, 2, 3, 7, 100):
        assert [job["id"] for job in walk(client, "/jobs", "jobs", limit)] == ids
    of_one = [job["id"] for job in walk(client, "/jobs?model=model1", "jobs", 2)]
    assert of_one == [job.id for job in reversed(jobs) if job.model == "model1"]
    running = walk(client, "/jobs?state=running", "jobs", 2)
    assert [job["id"] for job in running] == [jobs[0].id]
    assert walk(client, "/jobs?model=nobody", "jobs", 2) == []


def test_a_page_has_twenty_entries_unless_told(client: Client, place: Place) -> None:
    for _ in range(21):
        place.queue()
    page = client.get("/jobs").json()
    assert len(page["jobs"]) == 20
    assert page["next"] is not None


def test_lists_leave_the_spec_out_and_else_say_what_the_job_says(
    client: Client, place: Place
) -> None:
    place.queue()
    place.queue()
    place.claim()
    for summary in client.get("/jobs").json()["jobs"]:
        job = client.get(summary["links"]["self"]).json()
        del job["spec"]
        assert job == summary


def test_a_cancel_of_a_queued_job_ends_it_and_again_changes_nothing(
    client: Client, place: Place
) -> None:
    job = place.queue()
    first, again = (client.post(f"/jobs/{job.id}/cancel") for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json()["state"] == "cancelled"
    assert first.json() == again.json()
    assert first.json()["progress"]["eta_seconds"] == 0


@pytest.mark.usefixtures("training")
def test_a_cancel_of_a_running_job_ends_it_soon(client: Client) -> None:
    body = {"epochs": 1_000_000, "evaluate_every": 1000}
    job = client.post("/train", body).json()
    path = job["links"]["self"]
    while client.get(path).json()["progress"]["epoch"] == 0:
        pass
    assert client.post(f"{path}/cancel").json()["state"] == "running"
    while (state := client.get(path).json()["state"]) == "running":
        pass
    assert state == "cancelled"
    points = client.get(f"{path}/curve").json()["points"]
    assert points[0]["epoch"] == 0


# ---- waiting ----


@pytest.mark.usefixtures("training")
def test_whoever_prefers_to_wait_is_answered_when_the_job_has_ended(client: Client) -> None:
    job = client.post("/train", {"epochs": 50}).json()
    ended = client.get(job["links"]["self"], headers={"Prefer": "wait=60"}).json()
    assert ended["state"] == "succeeded"
    assert ended["version"] == client.post("/predict", {"x": 1}).json()["version"]


def test_waiting_for_a_job_ends_with_the_seconds_that_were_asked_for(
    client: Client, place: Place
) -> None:
    job = place.queue()
    began = time.monotonic()
    answer = client.get(f"/jobs/{job.id}", headers={"Prefer": "wait=1"})
    assert time.monotonic() - began >= 1
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")


# ---- progress ----


def running(place: Place, epoch: int, seconds: float, epochs: int = 1000) -> Job:
    """A job that began ``seconds`` ago and has just reached that epoch."""
    place.queue(epochs=epochs)
    now = datetime.now(UTC)
    with place.database.write() as stores:
        job = stores.jobs.claim(now - timedelta(seconds=seconds))
        assert job is not None
        stores.jobs.progress(job.id, job.fence, epoch, [], now)
    return job


def test_the_time_left_is_judged_by_the_time_taken(client: Client, place: Place) -> None:
    job = running(place, epoch=250, seconds=10)
    progress = client.get(f"/jobs/{job.id}").json()["progress"]
    assert progress == {
        "epoch": 250,
        "epochs": 1000,
        "fraction": 0.25,
        "eta_seconds": pytest.approx(30, abs=2),
    }


def test_no_time_left_is_told_before_the_first_epoch(client: Client, place: Place) -> None:
    job = running(place, epoch=0, seconds=10)
    progress = client.get(f"/jobs/{job.id}").json()["progress"]
    assert (progress["fraction"], progress["eta_seconds"]) == (0, None)


def test_a_training_that_stopped_early_is_whole(client: Client, place: Place) -> None:
    job = running(place, epoch=250, seconds=10)
    with place.database.write() as stores:
        promotion = Promotion(True, "first version", 1)
        stores.jobs.succeed(job.id, job.fence, 1, {}, promotion, datetime.now(UTC))
    progress = client.get(f"/jobs/{job.id}").json()["progress"]
    assert progress == {"epoch": 250, "epochs": 1000, "fraction": 1, "eta_seconds": 0}


def test_the_time_left_of_a_second_attempt_is_judged_by_that_attempt(
    client: Client, place: Place
) -> None:
    # The first one ran for an hour, and then its process died.
    job = running(place, epoch=900, seconds=3600)
    now = datetime.now(UTC)
    with place.database.write() as stores:
        stores.jobs.requeue(job.id, job.fence, now, count_attempt=True)
        again = stores.jobs.claim(now - timedelta(seconds=10))
        assert again is not None
        stores.jobs.progress(job.id, again.fence, 250, [], now)
    shown = client.get(f"/jobs/{job.id}").json()
    assert shown["attempt"] == 2
    assert shown["progress"]["eta_seconds"] == pytest.approx(30, abs=2)


# ---- curve and pictures ----


def with_points(place: Place, count: int) -> Job:
    place.queue()
    job = place.claim()
    with place.database.write() as stores:
        points = [{"epoch": e, "train_loss": 1 / (1 + e), "test_loss": 0.5} for e in range(count)]
        stores.jobs.progress(job.id, job.fence, count, points, datetime.now(UTC))
    return job


def test_the_curve_of_a_running_job_is_shown_so_far(client: Client, place: Place) -> None:
    job = with_points(place, 2)
    points = client.get(f"/jobs/{job.id}/curve").json()["points"]
    assert [point["epoch"] for point in points] == [0, 1]
    assert points[1]["train_loss"] == 0.5
    assert points[1]["test_loss"] == 0.5


def test_a_part_without_rows_is_left_out_or_null_in_the_curve(client: Client, place: Place) -> None:
    job = with_points(place, 1)
    (point,) = client.get(f"/jobs/{job.id}/curve").json()["points"]
    assert point.get("validation_loss") is None


def test_the_curve_of_a_queued_job_is_empty(client: Client, place: Place) -> None:
    assert client.get(f"/jobs/{place.queue().id}/curve").json() == {"points": []}


@pytest.mark.parametrize(
    ("kind", "media", "start"),
    [("svg", "image/svg+xml", b"<?xml"), ("png", "image/png", b"\x89PNG")],
)
def test_pictures_are_drawn(
    client: Client, place: Place, kind: str, media: str, start: bytes
) -> None:
    job = with_points(place, 5)
    number = place.publish(line())
    with place.database.write() as stores:
        promotion = Promotion(True, "first version", 1)
        stores.jobs.succeed(job.id, job.fence, number, {}, promotion, datetime.now(UTC))
    for name in ("curve", "fit"):
        answer = client.get(f"/jobs/{job.id}/{name}.{kind}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == media
        assert answer.content.startswith(start)


def test_what_cannot_be_drawn_yet_is_told(client: Client, place: Place) -> None:
    job = place.queue()
    for name in ("curve.svg", "fit.svg"):
        answer = client.get(f"/jobs/{job.id}/{name}")
        check_problem(answer, 409, "job_not_finished")


def test_the_fit_of_a_version_that_was_deleted_is_not_found(client: Client, place: Place) -> None:
    job = with_points(place, 1)
    number = place.publish(active=False)
    with place.database.write() as stores:
        promotion = Promotion(False, "worse")
        stores.jobs.succeed(job.id, job.fence, number, {}, promotion, datetime.now(UTC))
    assert client.request("DELETE", f"/models/default/versions/{number}").status_code == 204
    check_problem(client.get(f"/jobs/{job.id}/fit.svg"), 404, "version_not_found")
