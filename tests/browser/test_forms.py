"""The forms: what is typed is understood, or refused in the words of the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.screen import PHONE, Screen
from tests.e2e.running import RunningService
from tests.waiting import until

READ = """async ([name, text, whole]) => {
  const address = document.querySelector("script[type=module]").src.replace("app.js", "numbers.js");
  return (await import(address))[name](text, whole);
}"""


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", 0.5), ("0,5", 0.5), ("−.5", -0.5), ("1e3", 1000), ("0,125", 0.125), ("", None)],
)
def test_a_number_has_a_point_or_a_comma(page: Page, text: str, value: float | None) -> None:
    told: dict[str, Any] = page.evaluate(READ, ["readNumber", text, False])
    assert told == ({} if value is None else {"value": value})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,250", "1,250 can mean 1250 or 1.250: write one of them"),
        ("1e400", "This number is too large"),
        ("NaN", "Enter a number, such as 0.5"),
        ("0x10", "Enter a number, such as 0.5"),
    ],
)
def test_what_is_no_number_is_told(page: Page, text: str, words: str) -> None:
    assert page.evaluate(READ, ["readNumber", text, False]) == {"fault": words}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1,000", {"value": 1000}),
        ("300", {"value": 300}),
        ("1.000", {"fault": "Enter a whole number, such as 100"}),
    ],
)
def test_a_whole_number_may_have_commas_between_thousands(
    page: Page, text: str, told: dict[str, Any]
) -> None:
    assert page.evaluate(READ, ["readNumber", text, True]) == told


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0,5", [0.5]),
        ("0.5, 7", [0.5, 7]),
        ("0,5; 0,7 1\t2\n-3,25", [0.5, 0.7, 1, 2, -3.25]),
        ("0.5,0.7", [0.5, 0.7]),
        ("1,2,3", [1, 2, 3]),
        ("0.5,", [0.5]),
        # A comma that may be either is asked about.
        ("0.5 0,7", []),
        ("10,200", []),
        ("", []),
    ],
)
def test_several_numbers_are_read_as_they_are_meant(
    page: Page, text: str, values: list[float]
) -> None:
    told = page.evaluate(READ, ["readNumbers", text, False])
    assert told["values"] == values
    assert ("fault" in told) is (values == [])


def predict(screen: Screen) -> None:
    screen.find("#predict-form").get_by_role("button", name="Predict").click()


def test_a_decimal_comma_is_asked_as_one_number_and_said(screen: Screen) -> None:
    screen.serves(1)
    screen.find("#predict-form input").fill("0,5")
    screen.shows("#predict-form .hint", "Read as 0.5")
    screen.shows("#snippet", '{"x":[0.5]}')
    predict(screen)
    screen.shows("#predict-result .answer", "0.65")
    screen.find("#predict-form input").fill("")
    predict(screen)
    expect(screen.find("#predict-form .error").first).to_have_text("Enter a number, such as 0.5")
    screen.shows("#predict-result", "No answer")


def test_wrong_numbers_are_told_before_anything_is_sent(
    screen: Screen, service: RunningService
) -> None:
    screen.serves(1)
    before = service.client.get("/jobs").json()
    screen.find("[name=bias]").fill("")
    screen.shows("#train-hint", "y = 0.7 x + 0.3")
    screen.find("[name=weight]").fill("1,000")
    screen.find("[name=noise]").fill("none")
    screen.train()
    expect(screen.error("/data/weight")).to_contain_text("1000 or 1.000")
    expect(screen.error("/data/bias")).to_have_text("")
    expect(screen.error("/data/noise")).to_contain_text("Enter a number")
    expect(screen.find("[name=bias]")).to_have_attribute("placeholder", "0.3")
    assert service.client.get("/jobs").json() == before


def test_the_words_of_the_service_are_those_of_the_page(
    browser: Browser, service: RunningService
) -> None:
    with Screen.of(browser, service.url, allowed="422") as screen:
        screen.serves(1)
        screen.find("[name=noise]").fill("-1")
        screen.train()
        expect(screen.error("/data/noise")).to_have_text("Noise: Enter 0 or more")
        screen.find("[name=noise]").fill("")
        screen.find("[name=end]").fill("-5")
        screen.train()
        expect(screen.error("/data/end")).to_contain_text("“From x”")
        screen.find("[name=end]").fill("1")
        screen.find("[name=step]").fill("0,0000001")
        screen.train()
        step = screen.error("/data/step")
        expect(step).to_contain_text("10,000,000 rows, and at most")
        expect(step).to_contain_text("enter a larger step")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Paste at least one row"),
        ("1\n2", "at least two numbers"),
        ("1,2\n3,4,5", "Line 2: 3 cells, where the first line has 2"),
        ("a,b\n1,2\n\n3,four", "Line 4, column 2: “four” is no number"),
        ("1;2\n;4", "Line 2, column 1: nothing stands here"),
    ],
)
def test_pasted_rows_are_checked_by_line_and_column(screen: Screen, text: str, words: str) -> None:
    screen.find("#train-source").get_by_role("button", name="Pasted points").click()
    screen.find("[name=points]").fill(text)
    screen.train()
    expect(screen.find("#source-points .error")).to_contain_text(words)


def test_a_file_that_is_refused_leaves_nothing_to_train_on(
    browser: Browser, service: RunningService, tmp_path: Path
) -> None:
    (tmp_path / "good.csv").write_text("a,b\n1,2\n2,3\n3,4\n")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3\n")
    (tmp_path / "note.csv").write_text("hello\nworld\n")
    before = service.client.get("/jobs").json()
    with Screen.of(browser, service.url, allowed="422") as screen:
        screen.find("#train-source").get_by_role("button", name="A file").click()
        for name, words in (("bad", "Line 3: too few cells"), ("note", "one column only")):
            screen.find("#file").set_input_files(tmp_path / "good.csv")
            screen.shows("#source-file .columns", "Predict")
            screen.find("#file").set_input_files(tmp_path / f"{name}.csv")
            screen.shows("#source-file .error", words)
            expect(screen.find("#source-file .columns")).to_be_empty()
            screen.train()
            screen.shows("#source-file .error", "Choose another file")
            screen.shows("#source-file .error", words)
    assert service.client.get("/jobs").json() == before


def test_a_file_with_decimal_commas_is_read_by_one_button(
    browser: Browser, service: RunningService, tmp_path: Path
) -> None:
    rows = "".join(f"{row},5;{2 * row}\n" for row in range(12))
    (tmp_path / "semi.csv").write_text("a;b\n" + rows)
    with Screen.of(browser, service.url, allowed="422") as screen:
        screen.find("#train-source").get_by_role("button", name="A file").click()
        screen.find("#file").set_input_files(tmp_path / "semi.csv")
        error = screen.find("#source-file .error")
        expect(error).to_contain_text("Line 2, column 'a': a number with a decimal comma")
        expect(error).not_to_contain_text("decimal=comma")
        screen.page.get_by_role("button", name="Read with decimal comma").click()
        screen.shows("#source-file", "semi.csv: 12 rows, 2 columns")
        screen.shows("#source-file .columns", "0.5 to 11.5")
        expect(error).to_have_text("")
        expect(screen.page.get_by_role("button", name="Read with decimal")).not_to_be_visible()


def test_what_will_become_of_the_version_is_said_before_and_after(
    screen: Screen, service: RunningService
) -> None:
    service.train("mine", data={"source": "line", "weight": 2})
    screen.open("mine")
    screen.page.reload()
    screen.serves(1)
    screen.shows("#model-hint", "it answers if it is not worse than version 1")
    screen.train()
    screen.shows("#toast", "Version 2 is trained and answers now.")
    screen.find("#train-source").get_by_role("button", name="Pasted points").click()
    screen.find("[name=points]").fill("size,age,price\n1,3,2\n2,1,4\n3,7,6")
    screen.shows("#model-hint", "version 2 takes other columns and goes on answering")
    screen.train()
    screen.shows("#toast", "Version 3 is trained; version 2 still answers: the new one takes other")
    screen.find("[name=model]").fill("brand-new")
    screen.shows("#model-hint", "A new model; its first version answers at once.")


def test_a_training_that_fails_says_why_in_the_words_of_the_form(screen: Screen) -> None:
    screen.advanced()
    screen.find("[name=lr]").fill("1e30")
    screen.find("[name=loss]").select_option("mse")
    screen.train()
    screen.shows("#toast", "The training failed: ")
    screen.shows("#toast", "lower “Learning rate” or set “Standardize” to yes")


def test_a_reload_keeps_what_was_filled_in(screen: Screen) -> None:
    screen.serves(1)
    screen.find("[name=weight]").fill("2.5")
    screen.find("[name=kind]").select_option("mlp")
    screen.advanced()
    screen.find("[name=epochs]").fill("77")
    screen.page.reload()
    screen.serves(1)
    expect(screen.find("[name=weight]")).to_have_value("2.5")
    expect(screen.find("[name=kind]")).to_have_value("mlp")
    expect(screen.find("[name=epochs]")).to_be_visible()
    expect(screen.find("[name=epochs]")).to_have_value("77")


def test_train_moves_the_page_on_a_phone_only(
    browser: Browser, service: RunningService, screen: Screen
) -> None:
    screen.serves(1)
    screen.train()
    screen.newest_job("Version")
    assert screen.page.evaluate("scrollY") == 0
    with Screen.of(browser, service.url, PHONE) as phone:
        phone.shows("#params", "weight")
        phone.train()
        top = "document.getElementById('curves').getBoundingClientRect().top"
        until(lambda: 0 < phone.page.evaluate(top) < 120, "the curve to be at the top")


@pytest.mark.parametrize("width", [1210, 1280, 390])
def test_no_word_of_the_form_is_cut(browser: Browser, service: RunningService, width: int) -> None:
    """Options are measured in a select that is as wide as its longest."""
    script = """() => [...document.querySelectorAll("#train-form select, #train-form label")]
      .filter((element) => element.offsetParent)
      .filter((element) => {
        if (element.tagName === "LABEL") return element.scrollWidth > element.clientWidth;
        const free = element.cloneNode(true);
        free.setAttribute("id", "free");
        document.body.append(free);
        const sheet = new CSSStyleSheet();
        sheet.replaceSync("#free { width: max-content; position: absolute }");
        document.adoptedStyleSheets = [sheet];
        const wanted = free.offsetWidth;
        free.remove();
        return wanted > element.offsetWidth + 1;
      })
      .map((element) => element.name || element.textContent)"""
    with Screen.of(browser, service.url, (width, 900)) as screen:
        screen.advanced()
        # Four names of schedules and losses are long; what is chosen at first is not.
        cut = set(screen.page.evaluate(script)) - {"loss", "schedule", "activation", "optimizer"}
        assert cut == set()


def test_a_line_of_ones_own_is_fitted_though_the_tutorials_steps_would_not_reach_it(
    browser: Browser, service: RunningService
) -> None:
    with Screen.of(browser, service.url, model="steep") as screen:
        screen.find("[name=weight]").fill("20")
        screen.find("[name=bias]").fill("-1")
        screen.find("[name=model]").fill("steep")
        screen.train()
        screen.serves(1)
        screen.shows("#params", re.compile(r"weight\s*20\s*20\s*20"))
        screen.advanced()
        screen.find("[name=epochs]").fill("10")
        code = screen.card("The same from code")
        code.get_by_role("button", name="Train").click()
        screen.shows("#snippet", '"epochs": 10')
        expect(screen.find("#snippet")).not_to_contain_text("lbfgs")
