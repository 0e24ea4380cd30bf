"""What a newcomer does in the first three minutes: train, watch, activate, roll back, predict."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from playwright.sync_api import Browser, expect

from tests.browser.screen import PHONE, Screen
from tests.e2e.running import RunningService, running


def test_the_page_shows_what_is_served(screen: Screen) -> None:
    screen.serves(1)
    screen.shows("#params", re.compile(r"weight\s*0\.6968\s*0\.7\s*0\.7"))
    screen.shows("#params", re.compile(r"bias\s*0\.3025\s*0\.3\s*0\.3"))
    screen.shows("#fit-legend", "Train 40")
    screen.shows("#fit-legend", "Test 10")
    screen.shows("#fit-legend", "Predicted 10")
    screen.shows("#health", "Ready · cpu")
    expect(screen.find("#health")).to_have_attribute("title", "2 web workers on cpu")
    screen.newest_job("Version 1")
    assert ink(screen, "#fit-chart canvas") > 500
    assert ink(screen, "#curves-chart canvas") > 500


def ink(screen: Screen, selector: str) -> int:
    """How many pixels of a canvas are strongly coloured."""
    script = """canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let i = 0; i < data.length; i += 4) {
        const [r, g, b, a] = data.slice(i, i + 4);
        if (a > 128 && Math.max(r, g, b) - Math.min(r, g, b) > 80) count += 1;
      }
      return count;
    }"""
    count: int = screen.find(selector).first.evaluate(script)
    return count


def test_a_person_trains_watches_activates_rolls_back_and_predicts(
    browser: Browser, tmp_path: Path
) -> None:
    with running(tmp_path / "data") as service, Screen.of(browser, service.url) as screen:
        # Train: a better line than the tutorial's, since SGD stops short of it.
        screen.advanced()
        screen.find("[name=optimizer]").select_option("lbfgs")
        screen.find("[name=epochs]").fill("30")
        screen.find("[name=loss]").select_option("mse")
        screen.train()
        screen.newest_job("made active")
        screen.serves(2)
        screen.shows("#curves-legend", "Test")

        # Activate the first one again; the dialog says what changes.
        screen.find("#versions-list").get_by_role("button", name="Activate version 1").click()
        dialog = screen.find("#confirm")
        expect(dialog).to_contain_text("version 2→version 1")
        expect(dialog).to_contain_text("no request fails meanwhile")
        expect(dialog.get_by_role("row").filter(has_text="Mean error")).to_contain_text("worse")
        screen.confirm("Activate version 1")
        screen.shows("#toast", "Version 1 answers now.")
        screen.serves(1)

        # Roll back to what was before.
        screen.find("#rollback").click()
        expect(dialog).to_contain_text("version 1→version 2")
        screen.confirm("Roll back to version 2")
        screen.serves(2)
        assert service.client.get("/models/default").json()["active_version"] == 2

        # Predict, inside and outside what was seen.
        screen.find("#predict-form input").fill("0.5")
        screen.find("#predict-form").get_by_role("button", name="Predict").click()
        screen.shows("#predict-result", "0.65")
        screen.shows("#predict-result", "answered by version 2")
        expect(screen.find("#predict-result")).not_to_contain_text("extrapolating")
        screen.shows("#fit-legend", "Asked 1")
        screen.find("#predict-form input").fill("0.5, 7")
        screen.page.keyboard.press("Enter")
        screen.shows("#predict-result", "5.2")
        screen.shows("#predict-result", "extrapolating")


def test_the_curve_grows_while_a_job_runs_and_a_cancel_ends_it(
    screen: Screen, service: RunningService
) -> None:
    screen.advanced()
    screen.find("[name=epochs]").fill("1000000")
    screen.find("[name=evaluate_every]").fill("1000")
    screen.train()
    screen.newest_job("Running")
    screen.shows("#curves-progress", re.compile(r"Epoch [\d,]+ of 1,000,000, .* left"))
    epochs = screen.find("#curves-legend .epoch")

    def seen() -> int:
        return int(re.sub(r"\D", "", epochs.get_attribute("title") or ""))

    first = seen()
    expect(epochs).not_to_have_attribute("title", f"Epoch {first:,}")
    assert seen() > first
    streams = service.client.get("/jobs?state=running").json()["jobs"]
    assert len(streams) == 1

    screen.find("#jobs-list").get_by_role("button", name="Cancel").first.click()
    screen.newest_job("Cancelled")
    screen.newest_job("of 1,000,000")
    screen.shows("#curves-progress", "cancelled")
    screen.serves(1)


def test_a_curve_is_watched_where_no_event_stream_is_to_be_had(
    browser: Browser, tmp_path: Path
) -> None:
    with running(tmp_path / "data", workers=1, max_event_streams=1) as service:
        asked = {"epochs": 1_000_000, "evaluate_every": 1000}
        links = service.client.post("/train", json=asked).json()["links"]
        with (
            # Somebody else has the only one.
            service.client.stream("GET", links["events"]) as stream,
            Screen.of(browser, service.url, allowed="429") as screen,
        ):
            assert stream.status_code == 200
            screen.newest_job("Running")
            screen.shows("#curves-legend", "Test")
            epoch = screen.find("#curves-legend .epoch")
            before = epoch.get_attribute("title") or ""
            expect(epoch).not_to_have_attribute("title", before)
            assert any("429" in text for text in screen.complaints)
            httpx.post(service.url + links["cancel"])
            screen.newest_job("Cancelled")


def test_curves_of_several_jobs_are_compared(screen: Screen, service: RunningService) -> None:
    for rate in (0.01, 0.02):
        service.train(epochs=50, evaluate_every=1, optimizer={"kind": "sgd", "lr": rate})
    boxes = screen.find("#jobs-list input[type=checkbox]")
    expect(boxes.nth(2)).to_be_visible()
    expect(boxes.nth(0)).to_be_checked()
    boxes.nth(1).check()
    expect(screen.find("#curves-legend .key")).to_have_count(4)
    screen.shows("#curves-progress", "2 jobs compared")
    boxes.nth(0).uncheck()
    expect(screen.find("#curves-legend .key")).to_have_count(2)
    boxes.nth(1).uncheck()
    screen.shows("#curves-chart", "No job is ticked")


def test_pointing_at_the_curve_tells_its_numbers_and_the_scale_can_be_logarithmic(
    screen: Screen, service: RunningService
) -> None:
    service.train(promote="never", evaluate_every=10)
    legend = screen.find("#curves-legend")
    screen.shows("#curves-legend", "Epoch 999")
    box = screen.find("#curves-chart .u-over").bounding_box()
    assert box is not None
    screen.page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2)
    expect(legend).to_contain_text("Epoch 0")
    expect(legend).to_contain_text("0.5552")
    before = screen.find("#curves-chart canvas").evaluate("canvas => canvas.toDataURL()")
    # Losses that differ this much are drawn by their logarithms unless somebody chooses otherwise.
    expect(screen.find("#log-scale")).to_be_checked()
    screen.find("#log-scale").uncheck()
    after = screen.find("#curves-chart canvas").evaluate("canvas => canvas.toDataURL()")
    assert before != after
    screen.page.reload()
    screen.shows("#curves-legend", "Epoch 999")
    expect(screen.find("#log-scale")).not_to_be_checked()


def test_numbers_of_pictures_stand_in_tables_too(screen: Screen, service: RunningService) -> None:
    service.train(promote="never")
    screen.serves(1)
    for name, words in (("#curves-table", "0.5552"), ("#fit-table", "0.314")):
        screen.find(f"{name} summary").click()
        screen.shows(f"{name} table", words)


def test_pasted_points_with_a_header_are_trained_and_asked(
    screen: Screen, service: RunningService
) -> None:
    screen.find("#train-source").get_by_role("button", name="Pasted points").click()
    rows = [
        "size\tage\tprice",
        *(f"{a}\t{b}\t{3 * a - 2 * b + 5}" for a in range(1, 7) for b in (1, 4)),
    ]
    screen.find("[name=points]").fill("\n".join(rows))
    screen.shows("#train-hint", "12 rows: predict price from size, age.")
    screen.find("[name=model]").fill("pasted")
    screen.train()
    screen.shows("#serving-name", "pasted")
    screen.serves(1)
    assert screen.find("#model-picker").input_value() == "pasted"
    screen.shows("#params", re.compile(r"size\s*3\s*3"))
    screen.find("#fit-tabs").get_by_role("tab", name="Coefficients").click()
    screen.shows("#fit-chart", re.compile(r"age\s*−2"))
    screen.find("#fit-tabs").get_by_role("tab", name="Residuals").click()
    assert screen.find("#fit-chart canvas").is_visible()
    screen.page.get_by_label("size", exact=True).fill("10")
    screen.page.get_by_label("age", exact=True).fill("0")
    screen.find("#predict-form").get_by_role("button", name="Predict").click()
    screen.shows("#predict-result", "35")
    screen.shows("#predict-result", "extrapolating")
    assert service.client.get("/models/pasted").json()["active_version"] == 1


def test_a_file_is_sent_and_its_columns_are_chosen(screen: Screen, tmp_path: Path) -> None:
    places = {"north": 0, "south": 9}
    lines = [f"{a},{place},{2 * a + places[place]}" for a in range(20) for place in places]
    (tmp_path / "homes.csv").write_text("area,place,price\n" + "\n".join(lines) + "\n")
    screen.find("#train-source").get_by_role("button", name="A file").click()
    screen.find("#file").set_input_files(tmp_path / "homes.csv")
    screen.shows("#source-file", "homes.csv: 40 rows, 3 columns")
    expect(screen.page.get_by_label("Predict price")).to_be_checked()
    expect(screen.page.get_by_label("Predict from area")).to_be_checked()
    expect(screen.page.get_by_label("Predict from place")).to_be_checked()
    screen.find("[name=model]").fill("homes")
    screen.train()
    screen.shows("#serving-name", "homes")
    screen.serves(1)
    place = screen.page.get_by_label("place", exact=True)
    assert place.locator("option").all_text_contents() == ["north", "south"]
    place.select_option("south")
    screen.page.get_by_label("area", exact=True).fill("10")
    screen.find("#predict-form").get_by_role("button", name="Predict").click()
    screen.shows("#predict-result", re.compile(r"29|28\.99|29\.00"))


def test_a_bad_file_is_refused_by_line_and_column(screen: Screen, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3\n")
    with screen.page.expect_response("**/datasets?name=bad.csv") as told:
        screen.find("#train-source").get_by_role("button", name="A file").click()
        screen.find("#file").set_input_files(tmp_path / "bad.csv")
    assert told.value.status == 422
    screen.shows("#source-file .error", "Line 3")
    screen.complaints = [text for text in screen.complaints if "422" not in text]


def test_what_is_on_screen_stands_there_as_code(screen: Screen, service: RunningService) -> None:
    screen.serves(1)
    screen.find("#predict-form input").fill("0.25")
    screen.shows("#snippet", f"curl {service.url}/predict")
    screen.shows("#snippet", '{"x":[0.25]}')
    code = screen.card("The same from code")
    code.get_by_role("button", name="Python").click()
    screen.shows("#snippet", f'Client("{service.url}")')
    screen.shows("#snippet", "client.predict([0.25]).y")
    code.get_by_role("button", name="Train").click()
    screen.shows("#snippet", "client.train(")
    screen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    code.get_by_role("button", name="Copy").click()
    screen.shows("#toast", "Copied.")
    copied = screen.page.evaluate("navigator.clipboard.readText()")
    assert copied == screen.find("#snippet").text_content()


def test_another_version_is_looked_at_without_being_made_active(
    screen: Screen, service: RunningService
) -> None:
    job = service.train(data={"source": "line", "weight": -2, "bias": 9}, promote="never")
    screen.find("#versions-list").get_by_role(
        "button", name=f"Version {job['version']}", exact=True
    ).click()
    screen.shows("#serving-version", f"version {job['version']}")
    screen.shows("#looking", "Clients are answered by version 1")
    screen.find("#predict-form").get_by_role("button", name="Predict").click()
    screen.shows("#predict-result", f"answered by version {job['version']}")
    screen.find("#looking").get_by_role("button", name="Back to version 1").click()
    screen.serves(1)


def test_an_empty_service_tells_what_to_do_and_the_first_training_fills_the_page(
    browser: Browser, tmp_path: Path
) -> None:
    with (
        running(tmp_path / "data", bootstrap=False) as service,
        # Not ready is what /health says with its status, and Chromium shows it in red.
        Screen.of(browser, service.url, PHONE, allowed="503") as screen,
    ):
        screen.shows("#health", "Nothing to serve yet")
        screen.shows("#serving-body", "Nothing has been trained yet")
        screen.shows("#jobs-list", "No jobs yet")
        screen.shows("#versions-list", "No versions yet")
        screen.shows("#curves-chart", "No jobs yet")
        screen.shows("#predict-form", "Train a model first")
        screen.train()
        screen.serves(1)
        screen.find("#predict-form").get_by_role("button", name="Predict").click()
        screen.shows("#predict-result", "answered by version 1")


def test_an_imported_version_is_shown_and_answers(browser: Browser, tmp_path: Path) -> None:
    body = {
        "architecture": {"kind": "linear"},
        "state_dict": {"linear_layer.weight": [[2.0]], "linear_layer.bias": [1.0]},
    }
    with running(tmp_path / "data") as service:
        told = service.client.post("/models/brought/versions", json=body)
        assert told.status_code == 201, told.text
        with Screen.of(browser, service.url, model="brought") as screen:
            screen.serves(1)
            screen.shows("#params", "imported")
            screen.shows("#serving-body", "its rows are not here")
            screen.find("[name=value-0]").fill("3")
            screen.find("#predict").get_by_role("button", name="Predict").click()
            screen.shows("#predict-result", "7")
