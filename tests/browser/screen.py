"""What a person does with the page, by the words that stand on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

PHONE, TABLET, WIDE = (390, 844), (1024, 768), (1600, 1000)
SIZES = (PHONE, TABLET, WIDE)
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")

SECONDS = 30_000
"""Milliseconds that an expectation may take: CI shares its cores."""

WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (!entry.hadRecentInput) window.shifts.push(
      [entry.value, entry.sources.map((source) => source.node?.id || source.node?.className)]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""


@dataclass
class Screen:
    """A tab that shows the page."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    """Errors of the page: exceptions, what the console shows in red, broken policies."""

    @classmethod
    @contextmanager
    def of(
        cls,
        browser: Browser,
        url: str,
        size: tuple[int, int] = WIDE,
        theme: Theme = "light",
        model: str = "default",
        allowed: str | None = None,
    ) -> Iterator[Screen]:
        """Opens the page; complaints that match ``allowed`` are part of the test."""
        viewport: Any = {"width": size[0], "height": size[1]}
        context = browser.new_context(viewport=viewport, color_scheme=theme)
        page = context.new_page()
        screen = cls(page, url)
        page.on("console", screen._hear)
        page.on("pageerror", lambda error: screen.complaints.append(str(error)))
        page.add_init_script(WATCH_SHIFTS)
        screen.open(model)
        try:
            yield screen
        finally:
            context.close()
        bad = [text for text in screen.complaints if not (allowed and re.search(allowed, text))]
        assert bad == []

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, model: str = "default") -> None:
        """Load the page and wait until it knows what there is."""
        self.page.goto(f"{self.url}/#model={model}")
        expect(self.page.locator("#health")).to_contain_text(re.compile("Ready|Nothing to serve"))

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def error(self, pointer: str) -> Locator:
        """What is said to be wrong with a field; it may stand below the row the field is in."""
        field = self.find(f'[data-pointer="{pointer}"]').locator("input, select, textarea").first
        return self.find(f"#{field.get_attribute('id')}-error")

    def card(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True)

    def shows(self, selector: str, words: str | re.Pattern[str]) -> None:
        expect(self.find(selector)).to_contain_text(words)

    def serves(self, version: int) -> None:
        """Wait until the big card shows that version as the one that answers."""
        self.shows("#serving-version", f"version {version}")
        self.shows("#serving-kicker", "Answering now")

    def train(self) -> None:
        self.find("#train-form").get_by_role("button", name="Train", exact=True).click()

    def advanced(self) -> None:
        summary = self.find(".advanced summary")
        if not summary.evaluate("summary => summary.parentElement.open"):
            summary.click()

    def newest_job(self, words: str | re.Pattern[str]) -> None:
        expect(self.find("#jobs-list > li").first).to_contain_text(words)

    def confirm(self, button: str) -> None:
        self.find("#confirm").get_by_role("button", name=button).click()
        expect(self.find("#confirm")).not_to_be_visible()

    def shift(self) -> float:
        """The layout shift so far that nobody asked for, and by what, for the message."""
        shifts: list[list[Any]] = self.page.evaluate("window.shifts")
        total = sum(value for value, _ in shifts)
        print(shifts)
        return float(total)
