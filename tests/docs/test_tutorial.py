"""`docs/tutorial.md`, step by step, and its twin in Traditional Chinese."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.docs.following import blocks, follow, steps
from tests.docs.pages import NEEDS_CURL, ROOT

DOCS = ROOT / "docs"
ENGLISH = (DOCS / "tutorial.md").read_text(encoding="utf-8")
CHINESE = (DOCS / "tutorial.zh-TW.md").read_text(encoding="utf-8")
PICTURES = ["split", "untrained", "trained", "curves"]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who has typed every step and seen what is shown."""
    return follow(ENGLISH, tmp_path_factory.mktemp("tutorial"))


@NEEDS_CURL
@pytest.mark.e2e
def test_every_step_prints_what_is_shown(followed: Path) -> None:
    typed = steps(ENGLISH)
    assert {step.language for step in typed} == {"python", "console"}
    assert len(typed) >= 40
    assert (followed / "models" / "exercise_model.pth").exists()


def test_both_languages_type_and_show_the_same() -> None:
    # What is followed in one language is thereby followed in the other.
    assert blocks(CHINESE) == blocks(ENGLISH)


def test_both_languages_have_the_same_chapters_pictures_and_links() -> None:
    def chapters(page: str) -> list[str]:
        return re.findall(r"^## (\d+)\. ", page, re.MULTILINE)

    def targets(page: str) -> list[str]:
        found = re.findall(r"\]\(([^)#]+)", page)
        return sorted(target for target in found if not target.startswith("tutorial"))

    assert chapters(ENGLISH) == [str(number) for number in range(1, 17)]
    assert chapters(CHINESE) == chapters(ENGLISH)
    assert targets(CHINESE) == targets(ENGLISH)


@pytest.mark.parametrize("page", [ENGLISH, CHINESE])
def test_links_within_a_page_and_to_headings_of_others_lead_somewhere(page: str) -> None:
    found = re.findall(r"\]\(([^)#]*)#([^)]+)\)", page)
    assert len(found) >= 3
    for target, anchor in found:
        text = (DOCS / target).read_text(encoding="utf-8") if target else page
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        # As GitHub makes them: letters in lower case, hyphens for spaces, no other sign.
        anchors = [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]
        assert anchor in anchors


@pytest.mark.parametrize("page", [ENGLISH, CHINESE])
def test_the_page_has_all_that_is_named_of_it(page: str) -> None:
    static = ROOT / "service" / "dashboard" / "static"
    names = [path for path in static.iterdir() if ".min." not in path.name]
    files = [path.read_text(encoding="utf-8") for path in names]
    told = re.findall(r"^\*\*[^*]*(?:[Pp]age\.|頁面。)\*\* (.*)$", page, re.MULTILINE)
    assert len(told) == 14
    labels = {label for one in told for label in re.findall(r"\*([^*]+)\*", one)}
    assert len(labels) > 30
    # A version's name is made of a word and a number.
    unknown = [x for x in labels - {"Version 1"} if not any(_stands_in(x, text) for text in files)]
    assert unknown == []


def _stands_in(label: str, source: str) -> bool:
    """Whether a label is a text of the page: a whole string, or all between two tags."""
    return re.search(rf"[\"'`>]{re.escape(label)}[\"'`<]", source) is not None


def test_the_parts_of_the_request_add_up_to_what_is_sent() -> None:
    parts: dict[str, Any] = {}
    for block in blocks(ENGLISH):
        if block.language == "json":
            parts |= json.loads(block.text)
    (sent,) = re.findall(r"/models/tutorial/train .*?-d '(.*?)'", ENGLISH)
    assert json.loads(sent) == parts
    assert set(parts) >= {"data", "split", "architecture", "loss", "optimizer", "epochs", "seed"}


@NEEDS_CURL
@pytest.mark.e2e
@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_are_those_that_the_snippets_draw(followed: Path, name: str) -> None:
    shown = (DOCS / "images" / f"tutorial-{name}.svg").read_bytes()
    drawn = (followed / "models" / f"tutorial-{name}.svg").read_bytes()
    assert len(shown) <= 60_000
    assert _marks(shown) == _marks(drawn), "draw it anew: python -m tests.docs.redraw"
    if _drawn_by(shown) != _drawn_by(drawn):
        return  # Another matplotlib has other margins; the marks are the same all the same.
    # A hundredth of a pixel: another CPU may round the last bits of a prediction otherwise.
    assert _numbers(shown) == pytest.approx(_numbers(drawn), abs=0.01)


def test_every_picture_is_shown() -> None:
    on_disk = {path.name for path in (DOCS / "images").glob("tutorial-*")}
    assert on_disk == {f"tutorial-{name}.svg" for name in PICTURES}
    assert on_disk == set(re.findall(r"\(images/(tutorial-.*?)\)", ENGLISH))


def _marks(picture: bytes) -> tuple[list[str], int]:
    """The words in a picture, and how many points it has."""
    page = ElementTree.fromstring(picture)
    words = [
        "".join(text.itertext()).strip() for text in page.iter("{http://www.w3.org/2000/svg}text")
    ]
    return words, sum(1 for _ in page.iter("{http://www.w3.org/2000/svg}use"))


def _drawn_by(picture: bytes) -> list[bytes]:
    """The version of matplotlib that drew it."""
    found = re.findall(rb"Matplotlib v[^,<]*", picture)
    assert found
    return found


def _numbers(picture: bytes) -> list[float]:
    return [float(number) for number in re.findall(rb"-?\d+(?:\.\d+)?", picture)]
