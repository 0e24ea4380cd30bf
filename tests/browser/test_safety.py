"""Names that are markup do nothing, faults stand beside their fields, strangers change nothing."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.screen import Screen
from tests.e2e.running import RunningService

EVIL = "<img src=x onerror=alert(1)>"


def test_names_full_of_markup_are_names_and_nothing_else(
    browser: Browser, service: RunningService
) -> None:
    points = {
        "source": "points",
        "x": [[float(a), float(a * a)] for a in range(12)],
        "y": [float(a) for a in range(12)],
        "feature_names": [EVIL, '"><script>alert(2)</script>'],
        "target_names": ["</td><svg onload=alert(3)>"],
    }
    job = service.train("evil", data=points)
    assert job["state"] == "succeeded", job
    rows = f'"{EVIL}",y\n' + "\n".join(f"{EVIL if a % 2 else 'b'},{a}" for a in range(12)) + "\n"
    headers = {"Content-Type": "text/csv"}
    sent = service.client.post(f"/datasets?name={EVIL}", content=rows, headers=headers)
    assert sent.status_code == 201, sent.text
    data = {"source": "dataset", "dataset": sent.json()["id"], "target": "y", "categories": [EVIL]}
    assert service.train("evil-words", data=data)["state"] == "succeeded"
    for model in ("evil", "evil-words"):
        with Screen.of(browser, service.url, model=model) as screen:
            screen.page.on("dialog", lambda dialog: pytest.fail(f"it ran: {dialog.message}"))
            screen.serves(1)
            screen.shows("#params", EVIL[:20])
            for tab in screen.find("#fit-tabs [role=tab]").all():
                tab.click()
            screen.find("#train-source").get_by_role("button", name="A file").click()
            expect(screen.find("#source-file select")).to_contain_text(EVIL)
            screen.find("#source-file select").select_option(index=1)
            screen.shows("#source-file .columns", EVIL)
            screen.find("#predict-form").get_by_role("button", name="Predict").click()
            screen.shows("#predict-result", "answered by version 1")
            screen.shows("#snippet", "onerror")
            assert screen.find("img:not(.brand img), script:not([src]), svg[onload]").count() == 0


def test_the_words_of_the_service_stand_beside_the_field_they_are_about(
    browser: Browser, service: RunningService
) -> None:
    with Screen.of(browser, service.url, allowed="422") as screen:
        screen.serves(1)
        form = screen.find("#train-form")
        screen.find("[name=step]").fill("zero")
        screen.train()
        step = screen.find('[data-pointer="/data/step"]')
        expect(screen.error("/data/step")).to_have_text("Step: Enter a number, such as 0.5")
        field = step.locator("input")
        expect(field).to_be_focused()
        expect(field).to_have_attribute("aria-invalid", "true")
        described = field.get_attribute("aria-describedby") or ""
        assert screen.error("/data/step").get_attribute("id") in described.split()

        screen.find("[name=step]").fill("0.02")
        screen.advanced()
        screen.find("[name=epochs]").fill("0")
        screen.find("[name=lr]").fill("-1")
        screen.find("[name=optimizer]").select_option("adam")
        screen.find(".advanced summary").click()
        screen.train()
        # What is wrong inside the closed part opens it.
        expect(screen.error("/epochs")).to_contain_text("Enter 1 or more")
        expect(screen.error("/optimizer/lr")).to_contain_text("above 0")
        expect(screen.error("/data/step")).to_have_text("")
        screen.find("[name=epochs]").fill("")
        screen.find("[name=lr]").fill("")

        screen.find("#train-source").get_by_role("button", name="Pasted points").click()
        screen.find("[name=points]").fill("x,y\n1,2\n2,three\n3,4")
        screen.train()
        expect(form.locator("#source-points .error")).to_contain_text(
            "Line 3, column 2: “three” is no number"
        )
        screen.find("[name=model]").fill(EVIL)
        screen.train()
        expect(screen.error("/model")).to_contain_text("letters, digits")

        screen.find("#predict-form input").fill("one")
        screen.find("#predict-form").get_by_role("button", name="Predict").click()
        expect(screen.find("#predict-form .error").first).to_contain_text("Enter a number")
    assert service.client.get("/jobs").json()["jobs"][0]["state"] == "succeeded"


ATTACK = b"""<!doctype html><title>elsewhere</title><body><script>
window.told = [];
async function attack(target) {
  for (const path of ["/train", "/models/default/rollback", "/models/default/versions/1/activate"])
    for (const options of [
      { body: new Blob(["{}"]) },
      { body: "{}", headers: { "Content-Type": "text/plain" } },
      { body: "{}", headers: { "Content-Type": "application/json" } },
      {},
    ])
      for (const mode of ["no-cors", "cors"]) {
        try {
          const answer = await fetch(target + path, { method: "POST", mode, ...options });
          window.told.push(answer.type);
        } catch (error) { window.told.push("refused"); }
      }
}
function submit(target) {
  const form = document.createElement("form");
  form.method = "post"; form.action = target + "/train"; form.enctype = "text/plain";
  document.body.append(form); form.submit();
}
</script>"""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of a page of another origin."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(ATTACK)))
            self.end_headers()
            self.wfile.write(ATTACK)

        def log_message(self, *arguments: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_from_elsewhere_can_train_and_change_nothing(
    browser: Browser, service: RunningService, elsewhere: str
) -> None:
    jobs, model = (service.client.get(path).json() for path in ("/jobs", "/models/default"))
    # As another site altogether, and as the same site at another port.
    for address in (elsewhere.replace("127.0.0.1", "localhost"), elsewhere):
        page = browser.new_page()
        page.goto(address)
        page.evaluate("target => attack(target)", service.url)
        # Nothing was readable, whatever was sent.
        assert set(page.evaluate("window.told")) <= {"opaque", "refused"}
        with page.expect_response("**/train") as told:
            page.evaluate("target => submit(target)", service.url)
        assert told.value.status == 403
        page.close()
    assert service.client.get("/jobs").json() == jobs
    assert service.client.get("/models/default").json() == model


def test_a_service_that_goes_away_is_told_and_found_again(
    browser: Browser, service: RunningService
) -> None:
    with Screen.of(browser, service.url, allowed="ERR_FAILED|Failed to load") as screen:
        screen.serves(1)
        screen.page.route("**/*", lambda route: route.abort())
        screen.shows("#banner", "The service does not answer")
        screen.shows("#health", "No answer")
        screen.train()
        screen.shows("#toast", "nothing was begun")
        screen.page.unroute_all()
        expect(screen.find("#banner")).not_to_be_visible()
        screen.shows("#health", "Ready")
