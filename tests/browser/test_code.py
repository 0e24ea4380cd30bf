"""The commands that the page shows do in a shell what the page does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from playwright.sync_api import Browser

from tests.browser.screen import Screen
from tests.e2e.running import RunningService

NAME = 'it\'s "5 %" of $HOME, \\n é'
"""A feature that wants every kind of quoting."""


def test_a_prediction_of_a_line_is_answered_as_on_the_page(
    screen: Screen, service: RunningService
) -> None:
    screen.serves(1)
    screen.find("#predict-form input").fill("0.25, -3e-2")
    expected = service.client.post("/predict", json={"x": [0.25, -0.03]}).json()["y"]
    assert json.loads(run(screen, "curl"))["y"] == expected
    assert json.loads(run(screen, "Python")) == expected


def test_a_training_of_the_form_succeeds(screen: Screen) -> None:
    screen.serves(1)
    screen.find("[name=weight]").fill("-1.5")
    job = json.loads(run(screen, "curl", "Train"))
    assert job.get("state") == "succeeded", job
    assert run(screen, "Python", "Train") == f"succeeded {job['version'] + 1}"


def test_names_that_must_be_quoted_arrive(browser: Browser, service: RunningService) -> None:
    names = [NAME, "b"]
    x = [[float(row), float(row * row % 7)] for row in range(20)]
    data = {"source": "points", "x": x, "y": [2 * a - b for a, b in x], "feature_names": names}
    assert service.train("quoted", data=data)["state"] == "succeeded"
    with Screen.of(browser, service.url, model="quoted") as screen:
        screen.serves(1)
        first, second = screen.find("#predict-form input").all()
        first.fill("4")
        second.fill("2.5")
        rows = [{NAME: 4, "b": 2.5}]
        expected = service.client.post("/models/quoted/predict", json={"rows": rows}).json()["y"]
        assert json.loads(run(screen, "curl"))["y"] == expected
        assert json.loads(run(screen, "Python")) == expected


def run(screen: Screen, how: str, what: str = "Predict") -> str:
    """What the snippet prints; bash takes it as it was copied."""
    card = screen.card("The same from code")
    card.get_by_role("button", name=what).click()
    card.get_by_role("button", name=how).click()
    text = screen.find("#snippet").text_content() or ""
    if how == "Python":
        command = [sys.executable, "-c", text]
    else:
        if shutil.which("curl") is None:
            pytest.skip("no curl is installed")
        command = ["bash", "-c", text.replace("curl ", "curl -sS --fail-with-body ", 1)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr + text
    return done.stdout.strip()
