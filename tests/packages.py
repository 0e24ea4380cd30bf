"""Packages that bring an architecture, installed into a folder of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "refit-example-architecture"


def install_example(folder: Path) -> Path:
    """Install the example with pip, offline; the folder for `PYTHONPATH`."""
    # pip builds in the folder of the sources, and would leave its traces there.
    sources = shutil.copytree(EXAMPLE, folder / "sources")
    target = folder / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*command, str(sources)], check=True, capture_output=True, timeout=120)
    return target


def lay_out(
    folder: Path, kind: str, value: str, sources: dict[str, str], name: str = "refit-other"
) -> Path:
    """What pip leaves of a package, without pip: its files, and an entry point among its
    metadata; the folder for `PYTHONPATH`."""
    for path, text in sources.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    info = folder / f"{name.replace('-', '_')}-2.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(f"[refit.architectures]\n{kind} = {value}\n")
    return folder


def run_python(
    *arguments: object, path: Path | None = None, **variables: object
) -> subprocess.CompletedProcess[str]:
    """A fresh Python in the root of the repository, with ``path`` as its `PYTHONPATH`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {name: str(value) for name, value in variables.items()}
    environment |= {"PYTHONWARNINGS": "error", "COLUMNS": "200"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
