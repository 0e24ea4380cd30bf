"""Readiness tells the truth: a version is loaded and warm, and the process is not draining."""

from __future__ import annotations

import threading

import pytest

from service.registry.registry import Registry
from tests.service.api.driving import Client, speaking_to
from tests.service.making import Place, line
from tests.waiting import until

ROADS = ["/health", "/health/ready"]


@pytest.mark.parametrize("road", ROADS)
def test_a_service_without_a_version_is_not_ready_but_lives(
    empty_client: Client, road: str
) -> None:
    answer = empty_client.get(road)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {
        "status": "not_ready",
        "live": True,
        "ready": False,
        "model": "default",
        "version": None,
        "device": "cpu",
        "workers": 2,
    }
    live = empty_client.get("/health/live")
    assert (live.status_code, live.json()) == (200, {"live": True})


@pytest.mark.parametrize("road", ROADS)
def test_a_service_with_a_loaded_version_is_ready(client: Client, road: str) -> None:
    answer = client.get(road)
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "live": True,
        "ready": True,
        "model": "default",
        "version": 1,
        "device": "cpu",
        "workers": 2,
    }


@pytest.mark.parametrize("road", ROADS)
def test_a_service_that_is_to_end_is_not_ready_but_lives(client: Client, road: str) -> None:
    client.parts.draining = True
    answer = client.get(road)
    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["ready"]) == ("draining", False)
    assert client.get("/health/live").status_code == 200
    # What is on its way is still answered.
    assert client.post("/predict", {"x": 1}).status_code == 200


def test_a_service_becomes_ready_with_its_first_version(empty_client: Client, place: Place) -> None:
    place.publish()
    until(lambda: empty_client.get("/health").status_code == 200, "readiness")


def test_a_service_stays_ready_while_a_version_cannot_be_loaded(
    client: Client, place: Place
) -> None:
    place.publish(line(7.0))
    place.artifacts.delete(place.artifact_of(2))
    assert client.get("/health").json()["ready"] is True


def test_a_model_of_any_name_makes_a_service_ready(empty_client: Client, place: Place) -> None:
    place.publish(model="house-price")
    until(lambda: empty_client.get("/health").status_code == 200, "readiness")
    health = empty_client.get("/health").json()
    assert (health["model"], health["version"]) == ("house-price", 1)


def test_a_process_takes_itself_off_the_list_when_it_ends(place: Place) -> None:
    registry = Registry(place.database, place.artifacts)
    with speaking_to(place.settings):
        assert registry.acknowledgement(0).live == 1
    assert registry.acknowledgement(0).live == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "rollout"]
