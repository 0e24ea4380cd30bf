"""Draw the pictures of the tutorial anew, by its own snippets: `python -m tests.docs.redraw`."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.docs.following import follow
from tests.docs.pages import ROOT

IMAGES = ROOT / "docs" / "images"


def main() -> None:
    """Follow the tutorial, and keep what it draws."""
    page = (ROOT / "docs" / "tutorial.md").read_text()
    with TemporaryDirectory() as folder:
        for picture in (follow(page, Path(folder)) / "models").glob("tutorial-*.svg"):
            shutil.copy(picture, IMAGES)
            print(IMAGES / picture.name)


if __name__ == "__main__":
    main()
