"""The files of the page: small, safe, whole, and all from here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from service.dashboard.files import FOLDER, MEDIA, PageFiles, load_page
from tests.service.api.driving import Client, check_problem

MAX_BYTES = 300_000
"""What everything that the page loads may have together, uncompressed."""
MAX_LINES = 330

ROOT = Path(__file__).parents[3]
OURS = sorted(path for path in FOLDER.iterdir() if not path.name.startswith("uPlot"))
SCRIPTS = [path for path in OURS if path.suffix == ".js"]
HTML = {"Accept": "text/html"}

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


@pytest.fixture(scope="module")
def page() -> PageFiles:
    return load_page()


def test_the_page_and_its_files_say_what_may_run(client: Client, page: PageFiles) -> None:
    paths = [f"/page/{page.digest}/{name}" for name in page.files]
    assert len(paths) > 20
    for path in ["/", *paths]:
        answer = client.get(path, headers=HTML)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"].split("; ")
        assert dict(rule.split(" ", 1) for rule in policy) == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        suffix = Path(path).suffix or ".html"
        assert answer.headers["content-type"] == MEDIA[suffix]


def test_a_file_may_be_kept_for_ever_and_the_page_is_asked_for_again(
    client: Client, page: PageFiles
) -> None:
    file = client.get(f"/page/{page.digest}/app.js")
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    index = client.get("/", headers=HTML)
    assert index.headers["cache-control"] == "no-cache"
    etag = index.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        again = client.get("/", headers={**HTML, "If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    assert client.get("/", headers={**HTML, "If-None-Match": '"other"'}).status_code == 200


def test_another_content_has_another_address(tmp_path: Path, page: PageFiles) -> None:
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert load_page(tmp_path) == page
    (tmp_path / "page.css").write_text("body { color: red; }")
    changed = load_page(tmp_path)
    assert changed.digest != page.digest
    assert changed.digest.encode() in changed.index


@pytest.mark.parametrize(
    "path",
    [
        "/page/{digest}/index.html",
        "/page/{digest}/nothing.js",
        "/page/{digest}/..%2Froutes.py",
        "/page/{digest}/../routes.py",
        "/page/0000000000000000/app.js",
        "/page/app.js",
        "/page/",
    ],
)
def test_there_are_no_other_files(client: Client, page: PageFiles, path: str) -> None:
    check_problem(client.get(path.format(digest=page.digest)), 404, "not_found")


def test_everything_together_is_small(page: PageFiles) -> None:
    loaded = sum(len(content) for name, content in page.files.items() if "LICENSE" not in name)
    assert len(page.index) + loaded <= MAX_BYTES


def test_files_of_scripts_stay_small() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in SCRIPTS}
    assert len(lines) > 15
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_every_file_is_loaded_and_every_file_that_is_loaded_is_there(page: PageFiles) -> None:
    named = set(re.findall(rf"page/{page.digest}/([\w.-]+)", page.index.decode()))
    waiting = [name for name in named if name.endswith(".js")]
    while waiting:
        text = page.files[waiting.pop()].decode()
        found = set(re.findall(r'^(?:import|export) .*from "\./([\w.-]+)";$', text, re.MULTILINE))
        waiting += found - named
        named |= found
    assert named == page.files.keys() - {"uPlot.LICENSE.txt"}


def test_nothing_comes_from_elsewhere() -> None:
    for path in OURS:
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", path.read_text()))
        # The name of a language, which nobody fetches.
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name


def test_nothing_makes_markup_or_code_from_text(page: PageFiles) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    for path in SCRIPTS:
        assert not re.search(forbidden, path.read_text()), path.name
    index = page.index.decode()
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", index)
    assert not re.findall(r"<script(?![^>]*\ssrc=)[^>]*>", index)


def test_every_address_is_relative_so_that_a_prefix_does_no_harm(page: PageFiles) -> None:
    assert re.findall(r'(?:src|href)="(/[^"]*)"', page.index.decode()) == []
    for path in SCRIPTS:
        text = path.read_text()
        assert not re.search(r"(?:get|post|remove|fetch|EventSource)\(\s*[\"'`]/", text), path.name


def test_the_chart_library_comes_with_its_licence_and_is_the_one_that_is_told() -> None:
    assert "MIT License" in (FOLDER / "uPlot.LICENSE.txt").read_text()
    version = re.search(r"\(v([\d.]+)\)", (FOLDER / "uPlot.iife.min.js").read_text()[:200])
    assert version is not None
    told = (ROOT / "docs" / "dependencies.md").read_text()
    assert f"uPlot {version[1]}" in told
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "service/dashboard/static/uPlot.LICENSE.txt" in project["project"]["license-files"]
    assert project["tool"]["setuptools"]["package-data"]["service.dashboard"] == ["static/*"]
