"""Who has a data folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.processes.folder import FolderTakenError, hold_folder

URL = "http://127.0.0.1:1"


@contextmanager
def held(folder: Path, alone: bool, url: str = URL) -> Iterator[None]:
    lock = hold_folder(folder, alone, url, wait_seconds=0)
    try:
        yield
    finally:
        os.close(lock)


def test_services_share_a_folder(tmp_path: Path) -> None:
    with held(tmp_path, alone=False), held(tmp_path, alone=False):
        pass


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_who_wants_it_alone_shares_it_with_nobody(
    tmp_path: Path, first: bool, second: bool
) -> None:
    with (
        held(tmp_path, alone=first),
        pytest.raises(FolderTakenError, match=f"{tmp_path}: speak to it by --url {URL},"),
        held(tmp_path, alone=second, url="http://another"),
    ):
        pass
    with held(tmp_path, alone=second):
        pass


def test_it_is_held_until_the_last_child_has_ended(tmp_path: Path) -> None:
    program = f"""
import os, sys, time
from pathlib import Path
from service.processes.folder import hold_folder
hold_folder(Path({str(tmp_path)!r}), True, "", wait_seconds=0)
if os.fork():
    os._exit(0)
print("held", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        assert process.wait(30) == 0
        with pytest.raises(FolderTakenError, match="another service has the folder"):
            hold_folder(tmp_path, True, URL, wait_seconds=0)
        process.stdin.close()
        # It is waited for.
        os.close(hold_folder(tmp_path, True, URL, wait_seconds=30))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        hold_folder(tmp_path / "nowhere", True, URL)
