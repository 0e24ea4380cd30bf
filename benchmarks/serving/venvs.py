"""A virtual environment for each contestant, made on first use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.serving.contestants import HERE, Contestant

SHOW = """
import importlib.metadata as m, json, sys
print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))
"""


class InstallError(Exception):
    """A contestant cannot be installed here; the message holds pip's reason."""


def bin_folder(contestant: Contestant, venvs: Path) -> Path:
    """Where the contestant's programs are; made on first use.

    Raises:
        InstallError: pip could not.
    """
    if contestant.requirements is None:
        return Path(sys.executable).parent
    requirements = HERE / "requirements" / contestant.requirements
    venv = venvs / requirements.stem
    wanted = requirements.read_text()
    installed = venv / "installed"
    if not installed.exists() or installed.read_text() != wanted:
        print(f"installing {requirements.stem} into {venv}", file=sys.stderr, flush=True)
        _install([sys.executable, "-m", "venv", str(venv)])
        quiet = ["--quiet", "--disable-pip-version-check"]
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", *quiet]
        _install([*pip, "-r", str(requirements)])
        installed.write_text(wanted)
    return venv / "bin"


def _install(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.splitlines() or ["pip said nothing"]
        errors = [line for line in lines if line.startswith("ERROR")]
        raise InstallError((errors or lines)[-1][:300])


def versions(contestant: Contestant, folder: Path) -> dict[str, str]:
    """Versions of the contestant's packages in its environment."""
    command = [str(folder / "python"), "-c", SHOW, *contestant.packages]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    found: dict[str, str] = json.loads(done.stdout)
    return found
