"""The files of the page, with one digest over all of them.

The digest is part of every address, so a browser may keep a file for ever and never mixes the files
of two releases.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
INDEX = "index.html"
PLACEHOLDER = "{digest}"
"""Stands in the addresses of index.html."""

DIGEST_LETTERS = 16

MEDIA = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class PageFiles:
    """Every file by its name, in memory: some 200 kB."""

    index: bytes
    files: dict[str, bytes]
    digest: str

    def media(self, name: str) -> str:
        """The media type of a file."""
        return MEDIA[Path(name).suffix]


def load_page(folder: Path = FOLDER) -> PageFiles:
    """Read the page from disk."""
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    whole = hashlib.sha256()
    for name, content in found.items():
        whole.update(f"{name}\0{len(content)}\0".encode() + content)
    digest = whole.hexdigest()[:DIGEST_LETTERS]
    index = found.pop(INDEX).decode().replace(PLACEHOLDER, digest).encode()
    return PageFiles(index, found, digest)
