"""What a person who has read nothing stumbles over: each of these did so once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.screen import PHONE, SECONDS, Screen
from tests.e2e.running import RunningService, running
from tests.waiting import until

LAPTOP = (1280, 800)
FORMAT = """async ([name, args]) => {
  const { src } = document.querySelector("script[type=module]");
  return (await import(src.replace("app.js", "format.js")))[name](...args);
}"""
NAMES = [f"input {index}" for index in range(9)]


def crops() -> dict[str, Any]:
    """Nine features, and targets of tens of millions."""
    x = [[float((row * (column + 3)) % 17) for column in range(9)] for row in range(40)]
    y = [15_000_000 + 1000.0 * sum(row) for row in x]
    names = {"feature_names": NAMES, "target_names": ["yield"]}
    return {"source": "points", "x": x, "y": y, **names}


@pytest.fixture(scope="module")
def page(browser: Browser, service: RunningService) -> Page:
    page = browser.new_page()
    page.goto(service.url)
    return page


def written(page: Page, name: str, *args: object) -> Any:
    return page.evaluate(FORMAT, [name, args])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (15_812_345, "15,812,340"),
        (999_999.4, "999,999"),
        (123_456_789_012, "123,456,800,000"),
        (0.6517984, "0.651798"),
        (-1_234_567.8, "−1,234,568"),
        (1.5812345e13, "1.581235 × 10¹³"),
    ],
)
def test_an_answer_keeps_its_digits(page: Page, value: float, text: str) -> None:
    assert written(page, "answerOf", value) in (text, text.replace("340", "350"))


@pytest.mark.parametrize(
    ("splits", "texts"),
    [
        ([0, 5e6, 1e7, 1.5e7], ["0", "5,000,000", "10,000,000", "15,000,000"]),
        ([1_005_000, 1_005_200], ["1,005,000", "1,005,200"]),
        ([-0.25, 0, 0.25], ["−0.25", "0", "0.25"]),
        ([0, 0.00005, 0.0001], ["0", "0.5 × 10⁻⁴", "1 × 10⁻⁴"]),
        ([0, 2.5e9, 5e9], ["0", "2.5 × 10⁹", "5 × 10⁹"]),
    ],
)
def test_the_numbers_of_an_axis_are_written_in_one_way(
    page: Page, splits: list[float], texts: list[str]
) -> None:
    assert written(page, "ticks", splits) == texts


def test_an_axis_of_logarithms_has_plain_numbers_or_powers(page: Page) -> None:
    assert written(page, "logTicks", [0.001, 0.01, 1]) == ["0.001", "0.01", "1"]
    assert written(page, "logTicks", [1e-6, 2e-3, 1]) == ["10⁻⁶", "2 × 10⁻³", "10⁰"]


@pytest.mark.parametrize(
    ("promotion", "words"),
    [
        (
            [True, "not worse: mae 0.0102 against 0.244 of version 1 on the same rows"],
            "was made active when it finished: mean error 0.0102 against 0.244 of version 1"
            " on the same rows",
        ),
        (
            [False, "worse: rmse 0.0414581 against 0.0414582 of version 2 on the same rows"],
            "was not made active when it finished: RMSE 0.0414581 against 0.0414582 of version 2"
            " on the same rows",
        ),
        ([True, "first version"], "was made active when it finished, as the first version"),
        ([True, "promote is always"], "was made active when it finished, as asked"),
    ],
)
def test_a_verdict_is_of_its_time_and_has_its_numbers(
    page: Page, promotion: list[Any], words: str
) -> None:
    told = written(page, "promotionOf", {"promoted": promotion[0], "reason": promotion[1]})
    assert told == words


def test_many_inputs_and_answers_are_all_in_sight(
    browser: Browser, service: RunningService
) -> None:
    service.train("crops", data=crops())
    with Screen.of(browser, service.url, LAPTOP, model="crops") as screen:
        screen.serves(1)
        fits = "box => box.scrollHeight <= box.clientHeight"
        assert screen.find(".predict-fields").evaluate(fits)
        expect(screen.find(".predict-fields + .hint")).to_be_hidden()
        assert screen.find(".params-scroll").evaluate(fits)
        screen.find("#predict-form").get_by_role("button", name="Predict").click()
        screen.shows("#predict-result .answer", re.compile(r"15,0\d\d,\d\d\d"))
    with Screen.of(browser, service.url, LAPTOP) as screen:
        screen.serves(1)
        for amount, is_cut in ((14, False), (60, True)):
            screen.find("#predict-form input").fill(" ".join(map(str, range(amount))))
            screen.find("#predict-form").get_by_role("button", name="Predict").click()
            expect(screen.find(".answers tbody tr")).to_have_count(amount)
            expect(screen.find(".answers + .hint")).to_be_visible(visible=is_cut)
        screen.shows(".answers + .hint", "60 answers: scroll to see all.")


def test_the_target_of_a_file_is_named_in_words(screen: Screen, tmp_path: Path) -> None:
    rows: list[list[object]] = [[*NAMES, "yield"]]
    rows += [[a * (b + 2) % 13 for b in range(10)] for a in range(30)]
    text = "\n".join(",".join(str(cell) for cell in row) for row in rows)
    (tmp_path / "wide.csv").write_text(text)
    screen.find("#train-source").get_by_role("button", name="A file").click()
    screen.find("#file").set_input_files(tmp_path / "wide.csv")
    screen.shows("#train-hint", "30 rows: predict yield from 9 columns.")


def test_facts_and_curve_tell_how_many_epochs_were_made_and_why_no_more(
    browser: Browser, service: RunningService
) -> None:
    data = {**crops(), "y": [float(row % 5) for row in range(40)]}
    service.train("early", data=data)
    mlp: dict[str, Any] = {"architecture": {"kind": "mlp"}, "early_stopping": {"patience": 3}}
    job = service.train("early", data=data, **mlp, promote="always")
    made, asked = job["progress"]["epoch"], job["progress"]["epochs"]
    assert made < asked
    with Screen.of(browser, service.url, model="early") as screen:
        screen.serves(2)
        screen.shows(".facts", f"{made:,} of {asked:,}, stopped early")
        screen.shows("#curves-progress", f"epochs: {made:,} of {asked:,}, stopped early")
        screen.find("#versions-list [data-focus=look-1]").click()
        screen.shows(".facts", re.compile("of 50, it stood still"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Version 1 takes `x` and is active; version 2 takes `size` and `rooms`."""
    x = [[float(a), float(b)] for a in range(5) for b in range(4)]
    names = {"feature_names": ["size", "rooms"], "target_names": ["y"]}
    points = {"source": "points", "x": x, "y": [a + 2 * b for a, b in x], **names}
    with running(tmp_path_factory.mktemp("refit") / "data") as service:
        service.train(epochs=5, promote="always")
        service.train(data=points)
        yield service


def test_the_hint_is_about_the_active_version_whichever_is_looked_at(
    browser: Browser, other: RunningService
) -> None:
    with Screen.of(browser, other.url) as screen:
        screen.serves(2)
        screen.find("#train-source").get_by_role("button", name="A line").click()
        screen.shows("#model-hint", "it answers if it is not worse than version 2")
        screen.find("#versions-list [data-focus=look-3]").click()
        screen.shows("#serving-version", "version 3")
        screen.shows("#model-hint", "it answers if it is not worse than version 2")
        screen.find("#train-source").get_by_role("button", name="Pasted points").click()
        screen.find("[name=points]").fill("size\trooms\ty\n1\t2\t3\n2\t3\t4\n4\t1\t2")
        screen.shows("#model-hint", "version 2 takes other columns and goes on answering")


def test_other_columns_are_told_before_the_change_and_the_verdict_stays_of_its_time(
    browser: Browser, other: RunningService
) -> None:
    with Screen.of(browser, other.url) as screen:
        screen.serves(2)
        screen.find("#versions-list [data-focus=activate-1]").click()
        expect(screen.find("#confirm")).to_contain_text("version 2→version 1")
        expect(screen.find("#confirm .warnings")).to_have_count(0)
        screen.confirm("Keep it as it is")
        screen.find("#versions-list [data-focus=activate-3]").click()
        expect(screen.find("#confirm .warnings")).to_have_text(
            "Clients must send size, rooms instead of x."
        )
        screen.confirm("Activate version 3")
        screen.serves(3)
        screen.newest_job("active now; was not made active when it finished")
        screen.shows("#curves-progress", "takes other columns; active now")
        other.client.post("/models/default/versions/2/activate")


def test_all_times_go_by_one_clock(browser: Browser, service: RunningService) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()
    page.goto(service.url)
    times = page.locator("#jobs-list time, #versions-list time, #params time")
    expect(page.locator("#params time")).to_be_visible()
    page.clock.run_for(125_000)
    until(
        lambda: all(re.search("min ago|h ago", text) for text in times.all_text_contents()),
        "all times to go on",
    )
    assert times.count() >= 3
    context.close()


def test_no_button_of_a_version_is_cut(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path / "data") as service:
        for _ in range(2):
            service.train(epochs=5, promote="never")
        for size in (LAPTOP, PHONE):
            with Screen.of(browser, service.url, size) as screen:
                screen.serves(1)
                row = screen.find("#versions-list .row").nth(1)
                button = row.get_by_role("button", name="Activate")
                button.scroll_into_view_if_needed()
                inside = """button => button.getBoundingClientRect().bottom
                  <= document.getElementById("versions-scroll").getBoundingClientRect().bottom"""
                assert button.evaluate(inside)
                box = screen.find("#versions-scroll")
                assert box.evaluate("box => box.scrollHeight <= box.clientHeight")


def test_what_is_changed_in_the_folded_part_is_counted_and_can_be_reset(screen: Screen) -> None:
    screen.serves(1)
    reset = screen.find("#advanced-reset")
    expect(reset).to_be_hidden()
    screen.advanced()
    screen.find("[name=epochs]").fill("7")
    screen.find("[name=loss]").select_option("mse")
    screen.find(".advanced summary").click()
    expect(screen.find(".advanced summary")).to_have_text("Advanced · 2 changed")
    reset.click()
    expect(screen.find(".advanced summary")).to_have_text("Advanced")
    expect(screen.find("[name=epochs]")).to_have_value("")
    expect(screen.find("[name=loss]")).to_have_value("")
    expect(screen.find(".advanced summary")).to_be_focused()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "cat.png",
            b"\x89PNG\r\n\x1a\nblabla\x00",
            "cat.png is not a table: send CSV, Parquet or JSON lines",
        ),
        ("empty.csv", b"", "empty.csv is empty"),
        ("head.csv", b"a,b\n", "head.csv has one line only"),
    ],
)
def test_what_is_no_table_is_told_before_it_is_sent(
    screen: Screen, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    sent: list[str] = []
    screen.page.on("request", lambda request: sent.append(request.method))
    screen.find("#train-source").get_by_role("button", name="A file").click()
    screen.find("#file").set_input_files(tmp_path / name)
    screen.shows("#source-file .error", words)
    assert "POST" not in sent


def test_a_file_that_is_still_read_is_waited_for(screen: Screen, tmp_path: Path) -> None:
    (tmp_path / "slow.csv").write_text("a,b\n1,2\n2,3\n3,4\n")
    held: list[Any] = []
    screen.page.route("**/datasets?name=*", lambda route: held.append(route))
    screen.find("#train-source").get_by_role("button", name="A file").click()
    with screen.page.expect_request("**/datasets?name=*"):
        screen.find("#file").set_input_files(tmp_path / "slow.csv")
    screen.train()
    screen.shows("#source-file .error", "Still reading slow.csv …")
    held[0].continue_()
    screen.shows("#source-file .columns", "Predict")


def test_all_that_is_wrong_is_marked_at_once_and_across_the_form(screen: Screen) -> None:
    screen.serves(1)
    screen.find("[name=kind]").select_option("mlp")
    screen.advanced()
    values = {"bias": "abc", "step": "0", "epochs": "-3", "hidden": "foo", "lr": "x"}
    for name, text in values.items():
        screen.find(f"[name={name}]").fill(text)
    screen.train()
    for name in values:
        expect(screen.find(f"[name={name}]")).to_have_attribute("aria-invalid", "true")
    expect(screen.find("[name=bias]")).to_be_focused()
    expect(screen.error("/data/step")).to_have_text("Step: Enter a number above 0")
    expect(screen.error("/architecture/hidden")).to_contain_text("such as 64, 64")
    wide = "element => element.offsetWidth >= document.getElementById('source-line').clientWidth"
    assert screen.error("/data/bias").evaluate(wide)
    # They go back to their fields, and are gone.
    for name in values:
        screen.find(f"[name={name}]").fill("" if name != "step" else "0.1")
    screen.find("[name=epochs]").fill("2")
    screen.train()
    expect(screen.error("/data/bias")).to_have_text("")
    assert screen.find(".grid-3 > .error, .grid-2 > .error").count() == 0
    screen.newest_job("Version")


def test_two_numbers_in_one_of_several_fields_are_told_and_are_no_example(
    browser: Browser, service: RunningService
) -> None:
    service.train("crops-2", data=crops())
    with Screen.of(browser, service.url, model="crops-2") as screen:
        screen.serves(1)
        screen.shows("#snippet", '"input 3"')
        screen.find("[name=value-3]").fill("32 40")
        screen.shows("#snippet", "# First mend the form under Predict:")
        expect(screen.find("#snippet")).not_to_contain_text("null")
        screen.find("#predict-form").get_by_role("button", name="Predict").click()
        screen.shows("#predict-form", "input 3: Enter one number for each field")


def test_what_is_typed_early_is_not_filled_in_over(
    browser: Browser, service: RunningService
) -> None:
    rows = "a,b,y\n" + "".join(f"{row},{row % 7},{3 * row}\n" for row in range(30))
    sent = service.client.post("/datasets", content=rows, headers={"Content-Type": "text/csv"})
    data = {"source": "dataset", "dataset": sent.json()["id"], "target": "y"}
    service.train("typed", data=data)
    context = browser.new_context()
    page = context.new_page()
    held: list[Any] = []
    page.route(f"**/datasets/{sent.json()['id']}", lambda route: held.append(route))
    page.goto(f"{service.url}/#model=typed")
    first, second = page.locator("[name=value-0]"), page.locator("[name=value-1]")
    first.fill("41", timeout=SECONDS)
    page.wait_for_timeout(200)
    with page.expect_response(f"**/datasets/{sent.json()['id']}"):
        for route in held:
            route.continue_()
    page.wait_for_timeout(300)
    expect(first).to_have_value("41")
    expect(second).to_have_value("0")
    context.close()


def test_a_curve_that_has_ended_has_no_value_beyond_its_end(
    browser: Browser, service: RunningService
) -> None:
    for epochs in (20, 80):
        service.train("ends", epochs=epochs, evaluate_every=1, promote="never")
    with Screen.of(browser, service.url, model="ends") as screen:
        screen.find("#jobs-list input[type=checkbox]").nth(1).check()
        legend = screen.find("#curves-legend")
        expect(legend.locator(".key")).to_have_count(4)
        expect(legend).not_to_contain_text("–")
        expect(legend).to_contain_text("At the end")
        box = screen.find("#curves-chart .u-over").bounding_box()
        assert box is not None
        screen.page.mouse.move(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
        expect(legend).to_contain_text("Epoch 79")
        expect(legend.locator(".key b").filter(has_text="–")).to_have_count(2)


def test_the_axis_says_what_the_loss_is(browser: Browser, service: RunningService) -> None:
    """It is painted, so what is painted is heard."""
    service.train("axis", data=crops(), promote="never")
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(
        """window.painted = [];
        const paint = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
          window.painted.push(text);
          return paint.call(this, text, ...rest);
        };"""
    )
    page.goto(f"{service.url}/#model=axis")
    until(
        lambda: "loss: mean squared error, standardized" in page.evaluate("window.painted"),
        "the axis to be painted",
    )
    context.close()


def test_nothing_that_answers_is_said_with_what_became_of_the_last_training(
    browser: Browser, service: RunningService
) -> None:
    assert service.train("phone", loss="mse", optimizer={"kind": "sgd", "lr": 1e30})["error"]
    with Screen.of(browser, service.url, model="phone") as screen:
        screen.shows("#serving-kicker", "Nothing answers yet")
        screen.shows("#serving-body", "The last training failed.")


def test_progress_is_the_same_in_the_list_and_above_the_curve(
    screen: Screen, service: RunningService
) -> None:
    asked = {"epochs": 1_000_000, "evaluate_every": 1000, "promote": "never"}
    links = service.client.post("/train", json=asked).json()["links"]
    try:
        screen.shows("#curves-progress", "of 1,000,000")
        script = """() => new Promise((tell) => requestAnimationFrame(() => setTimeout(() => tell([
          document.querySelector("#curves-progress .hint"),
          document.querySelector("#jobs-list .row-detail"),
        ].map((element) => element.textContent.toLowerCase())), 0)))"""
        until(
            lambda: len(set(screen.page.evaluate(script))) == 1, "both to say the same", seconds=20
        )
        head = screen.find("#jobs-list .row").first
        when, cancel = head.locator(".when"), head.get_by_role("button", name="Cancel")
        right = "element => element.getBoundingClientRect().right"
        list_right = screen.find("#jobs-list").evaluate(right)
        assert abs(when.evaluate(right) - list_right) < 2
        before = head.evaluate("row => row.offsetHeight")
        cancel.click()
        screen.newest_job("Cancelled")
        assert abs(head.evaluate("row => row.offsetHeight") - before) < 2
    finally:
        service.client.post(links["cancel"])


def test_the_tabs_of_a_phone_stand_in_one_row(browser: Browser, service: RunningService) -> None:
    service.train("tabs", data=crops())
    with Screen.of(browser, service.url, PHONE, model="tabs") as screen:
        screen.serves(1)
        tops = screen.find("#fit-tabs button").evaluate_all(
            "tabs => tabs.map((tab) => tab.offsetTop)"
        )
        assert len(set(tops)) == 1
        screen.find("#fit-tabs").get_by_role("tab", name="Coefficients").click()
        caption = screen.find(".coefficients .hint")
        inside = """hint => hint.getBoundingClientRect().bottom
          <= hint.parentElement.getBoundingClientRect().bottom"""
        assert caption.evaluate(inside)
