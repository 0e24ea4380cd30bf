"""`python -m ml`."""

from __future__ import annotations

from ml.cli import build_app

if __name__ == "__main__":
    build_app()(prog_name="python -m ml")
