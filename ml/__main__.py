"""`python -m ml`."""

from __future__ import annotations

import sys

from ml.errors import PluginError


def main() -> None:
    """Run the command line; an installed package that breaks it is told in one line."""
    try:
        from ml.cli import build_app
    except PluginError as error:
        sys.exit(f"Error: {error}")
    build_app()(prog_name="python -m ml")


if __name__ == "__main__":
    main()
