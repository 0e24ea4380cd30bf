"""Pages of other origins may change nothing; programs are let through."""

from __future__ import annotations

import pytest

from tests.service.api.driving import Client, check_problem

CHANGES = [
    ("POST", "/train"),
    ("POST", "/models/default/train"),
    ("POST", "/models/default/rollback"),
    ("POST", "/models/default/versions/1/activate"),
    ("POST", "/jobs/" + "0" * 32 + "/cancel"),
    ("POST", "/datasets"),
    ("DELETE", "/models/default/versions/1"),
    ("DELETE", "/datasets/" + "0" * 32),
]

FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://refit"},
    # Another port of the same machine is another origin, though the same site.
    {"Sec-Fetch-Site": "same-site", "Origin": "http://refit:3000"},
    {"Sec-Fetch-Site": "anything"},
    # Browsers leave Sec-Fetch-Site out where the address is neither https nor loopback.
    {"Origin": "http://evil.example"},
    {"Origin": "http://refit:81"},
    {"Origin": "http://refit.evil.example"},
    {"Origin": "null"},
    {"Origin": "refit"},
    {"Origin": "http://[broken"},
]

OWN = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://refit"},
    # Typed into the address bar, or asked by an extension.
    {"Sec-Fetch-Site": "none"},
    # A proxy that ends https and rewrites Host: the browser's own word counts.
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://models.example"},
    {"Origin": "http://refit"},
    {"Origin": "https://REFIT"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_what_a_foreign_page_asks_for_is_refused(
    steady_client: Client, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = steady_client.request(method, path, headers=headers)
    check_problem(answer, 403, "cross_origin")
    assert steady_client.get("/jobs").json()["jobs"] == []


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_what_the_page_itself_or_a_program_asks_for_is_done(
    client: Client, headers: dict[str, str]
) -> None:
    assert client.post("/train", {}, headers=headers).status_code == 202


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/", None),
        ("GET", "/jobs", None),
        ("POST", "/predict", {"x": 1}),
        ("POST", "/models/default/versions/1/predict", {"x": 1}),
        ("POST", "/v2/repository/index", {}),
    ],
)
def test_what_changes_nothing_is_answered_to_everybody_but_readable_by_no_page(
    steady_client: Client, method: str, path: str, body: object, headers: dict[str, str]
) -> None:
    if method == "GET":
        answer = steady_client.get(path, headers=headers)
    else:
        answer = steady_client.post(path, body, headers=headers)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_no_preflight_is_ever_granted(steady_client: Client) -> None:
    headers = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = steady_client.request("OPTIONS", "/train", headers=headers)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_form_is_no_training(steady_client: Client, kind: str) -> None:
    answer = steady_client.post("/train", "{}", headers={"Content-Type": kind})
    check_problem(answer, 415, "unsupported_media_type")
