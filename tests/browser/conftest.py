"""A real Chromium that looks at a real service.

Debian's `chromium`, or another that is on the PATH; where there is none, these tests are skipped,
unless `TEST_BROWSER=required`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.screen import SECONDS, Screen
from tests.e2e.running import RunningService, running

# playwright's own five seconds are few where cores are shared.
expect.set_options(timeout=SECONDS)

NAMES = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with the tests of a file: the event loop that drives it must not meet others'."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        if os.environ.get("TEST_BROWSER") == "required":
            pytest.fail("no Chromium is installed, and TEST_BROWSER=required")
        pytest.skip("no Chromium is installed")
    # As root, which CI is, Chromium refuses to start with its sandbox.
    options = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A ready service with version 1 of `default`, the tutorial's line."""
    with running(tmp_path_factory.mktemp("refit") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def page(browser: Browser, service: RunningService) -> Page:
    """The page for tests that only ask its modules, which keep nothing from one to the next."""
    page = browser.new_page()
    page.goto(service.url)
    return page


@pytest.fixture
def screen(browser: Browser, service: RunningService) -> Iterator[Screen]:
    """The page as a person sees it; at the end it must have had no error of its own."""
    with Screen.of(browser, service.url) as screen:
        yield screen
