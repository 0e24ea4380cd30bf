"""For everybody: keyboard alone, screen readers (axe), no jumping, both themes, every size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.screen import PHONE, SIZES, THEMES, WIDE, Screen, Theme
from tests.e2e.running import RunningService
from tests.waiting import until

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()

HOUSES = {
    "source": "points",
    "x": [[float(30 + 7 * a), float(a % 4)] for a in range(40)],
    "y": [1000.0 * a + 50 * (a % 7) for a in range(40)],
    "feature_names": ["area", "rooms"],
    "target_names": ["price"],
}


def findings(screen: Screen) -> list[str]:
    """What axe calls serious or critical, with where it is."""
    screen.page.evaluate(AXE)
    result: dict[str, Any] = screen.page.evaluate(
        "axe.run(document, { resultTypes: ['violations'] })"
    )
    return [
        f"{found['id']}: {[node['html'][:120] for node in found['nodes']]}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=["phone", "tablet", "wide"])
def test_axe_finds_nothing_serious(
    browser: Browser, service: RunningService, size: tuple[int, int], theme: Theme
) -> None:
    if service.client.get("/models/houses").status_code == 404:
        service.train("houses", data=HOUSES)
        service.train("houses", data=HOUSES, architecture={"kind": "mlp"}, epochs=20)
    with Screen.of(browser, service.url, size, theme, model="houses", allowed="422") as screen:
        screen.shows("#serving-version", "version")
        assert findings(screen) == []
        # Everything that can be open at once is open, and something is wrong.
        screen.advanced()
        for summary in screen.find("details:not([open]) > summary").all():
            if summary.is_visible():
                summary.click()
        screen.find("[name=kind]").select_option("mlp")
        screen.find("[name=epochs]").fill("none")
        screen.train()
        expect(screen.error("/epochs")).not_to_have_text("")
        screen.find("#predict-form").get_by_role("button", name="Predict").click()
        screen.shows("#predict-result", "answered by")
        screen.find("#fit-tabs").get_by_role("tab").last.click()
        assert findings(screen) == []
        screen.find("#versions-list").get_by_role("button", name="Activate").first.click()
        expect(screen.find("#confirm")).to_be_visible()
        assert findings(screen) == []


@pytest.mark.parametrize(
    "size", [*SIZES, (768, 1024), (1280, 800)], ids=["phone", "tablet", "wide", "upright", "laptop"]
)
def test_nothing_jumps_while_the_page_fills(
    browser: Browser, service: RunningService, size: tuple[int, int]
) -> None:
    with Screen.of(browser, service.url, size) as screen:
        # What comes at once is drawn at once, and nobody sees it jump.
        screen.page.route("**/models/**", late)
        screen.page.reload()
        screen.shows("#serving-version", "version")
        screen.shows("#params", "weight")
        screen.shows("#curves-legend", "Epoch")
        screen.page.wait_for_timeout(500)
        assert screen.shift() < 0.01
        screen.train()
        screen.newest_job("Version")
        screen.page.wait_for_timeout(1500)
        assert screen.shift() < 0.03


def late(route: Route) -> None:
    """Let the service be asked a fifth of a second later."""
    time.sleep(0.2)
    route.continue_()


@pytest.mark.parametrize("width", [360, 390, 768, 1024, 1280, 1920])
def test_nothing_is_wider_than_the_screen(
    browser: Browser, service: RunningService, width: int
) -> None:
    with Screen.of(browser, service.url, (width, 900)) as screen:
        screen.shows("#params", "weight")
        assert screen.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_alone_trains_activates_and_predicts(
    browser: Browser, service: RunningService
) -> None:
    with Screen.of(browser, service.url, WIDE) as screen:
        screen.shows("#serving-version", "version")
        keys = screen.page.keyboard
        keys.press("Tab")
        expect(screen.find(".skip")).to_be_focused()

        walk_to(screen, "#fit-tabs [aria-selected=true]")
        keys.press("ArrowRight")
        expect(screen.find("#fit-tabs [aria-selected=true]")).to_have_text("Predicted vs actual")
        expect(screen.find("#fit-tabs [aria-selected=true]")).to_be_focused()

        walk_to(screen, "#train-form [name=weight]")
        keys.press("Control+A")
        keys.type("0.4")
        keys.press("Enter")
        screen.newest_job("made active")

        walk_to(screen, "#versions-list [data-focus=activate-1]")
        keys.press("Enter")
        # The first button keeps things as they are; Escape does too.
        expect(screen.find("#confirm button").first).to_be_focused()
        keys.press("Escape")
        expect(screen.find("#confirm")).not_to_be_visible()
        expect(screen.find("[data-focus=activate-1]")).to_be_focused()
        keys.press("Enter")
        expect(screen.find("#confirm button").first).to_be_focused()
        keys.press("Tab")
        keys.press("Enter")
        # The page knows before the last worker does; the message comes when all of them answer so.
        screen.shows("#toast", "Version 1 answers now.")
        screen.serves(1)

        walk_to(screen, "#predict-form input")
        keys.press("Enter")
        screen.shows("#predict-result", "answered by version 1")


def test_who_asks_again_at_once_is_asked_again(browser: Browser, service: RunningService) -> None:
    service.train(promote="never")
    with Screen.of(browser, service.url, WIDE) as screen:
        screen.find("#versions-list").get_by_role("button", name="Activate").first.click()
        expect(screen.find("#confirm")).to_be_visible()
        # The browser tells of the closing only after the next question is asked.
        screen.page.evaluate(
            """() => {
              document.querySelector("#confirm").close();
              document.querySelector("#versions-list [data-activate]").click();
            }"""
        )
        expect(screen.find("#confirm")).to_be_visible()
        screen.find("#confirm").get_by_role("button", name="Activate").click()
        screen.shows("#toast", "answers now.")


def walk_to(screen: Screen, selector: str) -> None:
    """Press Tab until the element has the focus, which must be seen on every step."""
    for _ in range(80):
        screen.page.keyboard.press("Tab")
        if screen.page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        outline = screen.page.evaluate(
            """() => {
              const element = document.activeElement;
              const seen = element.id === "file" ? element.nextElementSibling : element;
              return element === document.body ? "body" : getComputedStyle(seen).outlineStyle;
            }"""
        )
        assert outline != "none"
    pytest.fail(f"no Tab leads to {selector}")


def test_a_theme_is_chosen_and_remembered(browser: Browser, service: RunningService) -> None:
    with Screen.of(browser, service.url, PHONE, "light") as screen:
        paper = "getComputedStyle(document.body).backgroundColor"
        light = screen.page.evaluate(paper)
        screen.page.get_by_role("button", name="Dark theme").click()
        dark = screen.page.evaluate(paper)
        assert dark != light
        screen.page.reload()
        assert screen.page.evaluate(paper) == dark
        expect(screen.page.get_by_role("button", name="Dark theme")).to_have_attribute(
            "aria-pressed", "true"
        )


def test_what_happens_to_a_job_is_said_aloud(browser: Browser, service: RunningService) -> None:
    with Screen.of(browser, service.url) as screen:
        screen.shows("#serving-version", "version")
        screen.page.evaluate(
            """() => {
              window.said = [];
              new MutationObserver(() => window.said.push(
                document.getElementById("live").textContent
              )).observe(document.getElementById("live"), { childList: true });
            }"""
        )
        screen.train()
        screen.newest_job("Version")

        def heard() -> list[str] | None:
            said: list[str] = screen.page.evaluate("window.said")
            return said if any(words.startswith("Done") for words in said) else None

        said = until(heard, "the end of the job to be said")
        assert said[0].strip() == "The training has been asked for."
        assert len(said) < 12


def test_who_wants_less_motion_gets_none(browser: Browser, service: RunningService) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(service.url)
    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((element) => {
          const style = getComputedStyle(element);
          return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
        }).length"""
    )
    assert moving == 0
    context.close()
