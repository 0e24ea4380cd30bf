"""Request ids, and HEAD."""

from __future__ import annotations

import re

import pytest

from tests.service.api.driving import Client
from tests.service.making import Place


@pytest.mark.parametrize(
    "given", ["a", "8e03978e-40d5-43e8-bc93-6894a57f9324", "A.b_c-9", "x" * 128]
)
def test_a_sane_request_id_comes_back(steady_client: Client, given: str) -> None:
    headers = {"X-Request-Id": given}
    assert steady_client.get("/health", headers=headers).headers["x-request-id"] == given
    problem = steady_client.get("/nowhere", headers=headers)
    assert problem.headers["x-request-id"] == given == problem.json()["request_id"]


@pytest.mark.parametrize(
    "given", ["", "x" * 129, "a b", "a\tb", "<script>", 'a"b', "\xe9", "a;b", "%0d%0a"]
)
def test_another_one_is_replaced(steady_client: Client, given: str) -> None:
    headers = {"X-Request-Id": given.encode("latin-1")}
    answer = steady_client.get("/nowhere", headers=headers)
    made = answer.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert answer.json()["request_id"] == made


def test_every_request_has_an_id_of_its_own(steady_client: Client) -> None:
    made = {steady_client.get("/health").headers["x-request-id"] for _ in range(20)}
    assert len(made) == 20


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/health/live",
        "/params",
        "/models",
        "/models/default/versions/1",
        "/models/default/versions/1/state_dict.pth",
        "/jobs",
        "/docs",
        "/openapi.json",
        "/nowhere",
        "/jobs/1",
        "/jobs?limit=0",
        "/static-offline-docs/swagger-ui.css",
    ],
)
def test_head_has_the_head_of_get_and_no_body(steady_client: Client, path: str) -> None:
    head, get = (steady_client.request(method, path) for method in ("HEAD", "GET"))
    assert head.status_code == get.status_code
    assert head.content == b""
    for name in ("content-type", "content-length"):
        assert head.headers.get(name) == get.headers.get(name)


def test_head_of_an_event_stream_does_not_wait_for_its_end(client: Client, place: Place) -> None:
    place.queue()
    job = place.claim()
    answer = client.request("HEAD", f"/jobs/{job.id}/events")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert client.parts.event_streams == 0
