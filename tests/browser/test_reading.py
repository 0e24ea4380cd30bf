"""What the page says of versions and jobs: never two things at once, and all of it can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.screen import PHONE, WIDE, Screen
from tests.e2e.running import RunningService, running

LAPTOP = (1280, 800)
LONG = {"epochs": 1_000_000, "evaluate_every": 1000, "promote": "never"}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Version 1, which is active, and version 2 of other rows."""
    with running(tmp_path_factory.mktemp("refit") / "data") as service:
        service.train(data={"source": "line", "weight": -2, "bias": 9}, promote="never")
        yield service


def test_curve_and_banner_follow_the_version_that_is_looked_at(
    browser: Browser, two: RunningService
) -> None:
    with Screen.of(browser, two.url) as screen:
        screen.serves(1)
        screen.shows("#curves-progress", "Version 2 was not made active when it finished, as asked")
        look_at(screen, 1)
        screen.shows("#curves-progress", "Version 2")
        look_at(screen, 2)
        expect(screen.find("#looking")).to_contain_text(
            "You are looking at version 2. Clients are answered by version 1; "
            "the form on this page asks version 2."
        )
        screen.shows("#curves-progress", "Version 2 was not made active when it finished, as asked")
        # What is begun now is newer than the look.
        job = two.client.post("/train", json=LONG).json()
        screen.shows("#curves-progress", "of 1,000,000")
        two.client.post(job["links"]["cancel"])
        screen.shows("#curves-progress", "cancelled")
        look_at(screen, 2)
        screen.shows("#curves-progress", "Version 2")
        screen.find("#looking").get_by_role("button", name="Back to version 1").click()
        screen.serves(1)
        expect(screen.find("#serving")).to_be_focused()


def look_at(screen: Screen, version: int) -> None:
    row = screen.find(f"#versions-list [data-focus=look-{version}]")
    row.click()
    expect(row).to_have_attribute("aria-pressed", "true")


def test_a_job_that_waits_leaves_the_curve_to_the_one_that_runs(
    browser: Browser, two: RunningService
) -> None:
    running_one, waiting = (two.client.post("/train", json=LONG).json() for _ in range(2))
    try:
        with Screen.of(browser, two.url) as screen:
            screen.newest_job("Waiting")
            screen.shows("#curves-progress", "of 1,000,000")
            button = screen.find("#curves-progress button")
            expect(button).to_have_attribute("data-cancel", running_one["id"])
            # The button stays the same one while its progress moves.
            button.focus()
            before = screen.find("#curves-progress .hint").text_content() or ""
            expect(screen.find("#curves-progress .hint")).not_to_have_text(before)
            expect(button).to_be_focused()
            screen.page.keyboard.press("Enter")
            screen.shows("#toast", "Cancelled. Version 1 still answers.")
            # Not on to the next one's Cancel.
            expect(screen.find("#curves-title")).to_be_focused()
    finally:
        for job in (waiting, running_one):
            two.client.post(job["links"]["cancel"])


def test_versions_of_other_rows_are_not_called_better_or_worse(
    browser: Browser, two: RunningService
) -> None:
    with Screen.of(browser, two.url, PHONE) as screen:
        screen.serves(1)
        screen.find("#versions-list [data-focus=activate-2]").click()
        dialog = screen.find("#confirm")
        expect(dialog).to_contain_text("different rows")
        expect(dialog).to_contain_text("Mean error")
        expect(dialog.locator(".better, .worse, .same")).to_have_count(0)
        expect(dialog).not_to_contain_text("Loss")
        assert dialog.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


def test_figures_of_the_part_that_both_versions_have_are_compared(
    browser: Browser, tmp_path: Path
) -> None:
    # So few that all of them are trained on, unless somebody asks for a split.
    rows = [[float(a)] for a in range(6)]
    data = {"source": "points", "x": rows, "y": [3 * a + 1 for (a,) in rows]}
    with running(tmp_path / "data", bootstrap=False) as service:
        service.train(data=data)
        service.train(data=data, split={"train": 0.5}, promote="never")
        service.train(data=data, epochs=1, promote="never")
        with Screen.of(browser, service.url) as screen:
            screen.serves(1)
            for version, is_compared in ((2, False), (3, True)):
                screen.find(f"#versions-list [data-focus=activate-{version}]").click()
                dialog = screen.find("#confirm")
                expect(dialog).to_contain_text("On train rows")
                expect(dialog).not_to_contain_text("–")
                expect(dialog.locator(".better, .worse, .same")).to_have_count(4 * is_compared)
                screen.confirm("Keep it as it is")


def test_the_focus_stays_near_what_was_changed(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path / "data") as service:
        for _ in range(2):
            service.train(epochs=10, promote="never")
        with Screen.of(browser, service.url) as screen:
            screen.serves(1)
            screen.find("[data-focus=activate-2]").click()
            screen.confirm("Activate version 2")
            screen.serves(2)
            expect(screen.find("[data-focus=look-2]")).to_be_focused()
            screen.find("[data-focus=delete-3]").click()
            expect(screen.find("#confirm")).to_contain_text("Version 2 still answers.")
            screen.confirm("Delete version 3")
            screen.newest_job("deleted since")
            expect(screen.find("#versions-title")).to_be_focused()
            screen.shows("#curves-progress", "as asked; deleted since")


def test_nothing_about_a_version_is_cut_off(browser: Browser, service: RunningService) -> None:
    names = ["area", "rooms", "age", "distance to the station", "floor", "balconies"]
    x = [[float((a * (b + 3)) % 17) for b in range(len(names))] for a in range(40)]
    priced = [[*row, 1000 * sum(row)] for row in x]
    rows: list[list[Any]] = [[*names, "price"], *priced, ["", *[1] * len(names)]]
    text = "\n".join(",".join(map(str, row)) for row in rows)
    headers = {"Content-Type": "text/csv"}
    path = "/datasets?name=houses in Vienna.csv"
    sent = service.client.post(path, content=text, headers=headers)
    assert sent.status_code == 201, sent.text
    data: dict[str, Any] = {"source": "dataset", "dataset": sent.json()["id"], "target": "price"}
    job = service.train("houses", data={**data, "missing": "drop"})
    assert job["state"] == "succeeded", job
    for size in (LAPTOP, (768, 1024), PHONE):
        with Screen.of(browser, service.url, size, model="houses") as screen:
            screen.serves(1)
            screen.shows("#params", "houses in Vienna.csv")
            screen.shows("#versions-list", "houses in Vienna.csv")
            screen.shows("#params .warnings", "were left out")
            cut = screen.page.evaluate(
                """() => [...document.querySelectorAll("#params, #params :not(.sr-only)")].filter(
                  (element) => element.scrollWidth > element.clientWidth + 1
                    && getComputedStyle(element).overflowX !== "visible"
                    || element.matches(".warnings, .facts, .params-scroll")
                    && element.scrollHeight > element.clientHeight + 1
                ).map((element) => element.className)"""
            )
            assert cut == []


def test_numbers_are_written_by_one_rule(browser: Browser, service: RunningService) -> None:
    page = browser.new_page()
    page.goto(service.url)
    told = page.evaluate(
        """async () => {
          const { src } = document.querySelector("script[type=module]");
          const { lineOf, number, proseOf } = await import(src.replace("app.js", "format.js"));
          const { parameterRows } = await import(src.replace("app.js", "params.js"));
          const params = {
            columns: ["x"], weight: 2, bias: 1e-9,
            truth: { weight: 2, bias: 0 }, least_squares: { weight: 2, bias: 1.78e-15 },
          };
          const [, [, learned, , optimum]] = parameterRows(params);
          return [
            number(2947), number(26580.4), number(999.5), number(-1234.5, 6),
            lineOf(2, 0), lineOf(2, -1), proseOf("it ended at 7.94e+29: lower it"),
            optimum, learned,
          ];
        }"""
    )
    assert told == [
        "2,947", "26,580", "999.5", "−1,234.5", "2 x", "2 x − 1",
        "it ended at 7.94 × 10²⁹: lower it", 0, 1e-9,
    ]  # fmt: skip
    page.close()


def test_a_newcomer_is_told_what_this_is_and_finds_the_form(
    browser: Browser, service: RunningService
) -> None:
    purpose = "Trains, versions and serves regression models."
    for size in (PHONE, WIDE):
        with Screen.of(browser, service.url, size) as screen:
            screen.serves(1)
            expect(screen.find(".purpose").filter(visible=True)).to_contain_text(purpose)
    with Screen.of(browser, service.url, PHONE) as screen:
        screen.find(".purpose a").click()
        expect(screen.find("#train-form").get_by_role("button", name="A line")).to_be_in_viewport()
        assert re.search("#train$", screen.page.url)


def test_the_shorter_column_stays_in_sight(browser: Browser, service: RunningService) -> None:
    with Screen.of(browser, service.url, LAPTOP) as screen:
        screen.serves(1)
        screen.advanced()
        screen.find("[name=kind]").select_option("mlp")
        screen.page.mouse.move(640, 600)
        screen.page.mouse.wheel(0, 20_000)
        expect(screen.find("#versions")).to_be_in_viewport()
        expect(screen.find("#code")).to_be_in_viewport()
