"""Browsers get the page, programs their JSON."""

from __future__ import annotations

import pytest

from service.dashboard.negotiation import prefers_html
from tests.service.api.driving import Client

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "TEXT/HTML",
        CHROMIUM,
        "application/json;q=0.5, text/html",
        "application/json, text/html",
        "application/xhtml+xml;q=0.3",
        "text/html;charset=utf-8;q=0.1",
    ],
)
def test_who_names_html_gets_the_page(accept: str) -> None:
    assert prefers_html(accept)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "text/*",
        "application/json",
        "application/json, text/html;q=0.9",
        "text/html;q=0",
        "text/html;q=nonsense",
        "text/htmlx",
        ",;q=1,",
    ],
)
def test_everybody_else_gets_json(accept: str | None) -> None:
    assert not prefers_html(accept)


def test_the_index_is_the_page_for_a_browser_and_links_for_a_program(client: Client) -> None:
    page = client.get("/", headers={"Accept": CHROMIUM})
    links = client.get("/")
    assert page.status_code == links.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    assert links.json()["links"]["docs"] == "/docs"
    # A cache between them must tell them apart.
    assert page.headers["vary"] == links.headers["vary"] == "Accept"
