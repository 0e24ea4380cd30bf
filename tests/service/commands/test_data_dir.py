"""Commands on a data folder: a private service for as long as they take."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from service.client import Client
from tests.e2e.running import alive, descendants, running
from tests.service.commands.conftest import Refit
from tests.waiting import until

pytestmark = pytest.mark.e2e


def test_a_folder_is_trained_predicted_and_served(
    nobody: Refit, tmp_path: Path, flats: Path
) -> None:
    here = ("--data-dir", tmp_path / "data")
    options = ("--target", "rent", "--missing", "drop")
    job = nobody.json("train", flats, *options, *here)
    assert (job["state"], job["version"]) == ("succeeded", 1)
    row = '{"size_m2": 58, "rooms": 2, "floor": 3, "balcony": true}'
    y = nobody.json("predict", "--rows", row, *here)["y"]
    assert nobody.json("versions", *here)[0]["active"]
    # Nothing was trained that nobody asked for.
    assert [job["origin"] for job in nobody.json("jobs", *here)] == ["api"]
    with running(tmp_path / "data") as service, Client(service.url) as client:
        assert client.predict({"size_m2": 58, "rooms": 2, "floor": 3, "balcony": True}).y == y[0]


def test_a_folder_that_a_service_has_is_refused_with_its_address(
    nobody: Refit, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    with running(folder, workers=1, bootstrap=False) as service:
        told = nobody.error("jobs", "--data-dir", folder, code=3)
        assert told.startswith(f"another service has the folder {folder}")
        assert service.url in told
        assert nobody.json("jobs", "--url", service.url) == []
        assert service.stop() == 0
    assert nobody.json("jobs", "--data-dir", folder) == []


def test_a_file_in_the_place_of_the_folder_is_told(nobody: Refit, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert nobody.error("jobs", "--data-dir", file, code=2)
    assert nobody.error("train", "--data-dir", file / "data", code=3)


def _tells(out: Path, words: str) -> bool:
    return words in out.read_text()


def _all_ended(pids: list[int]) -> bool:
    return not any(map(alive, pids))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_the_service_ends_with_the_command_however_that_ends(
    nobody: Refit, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder, out = tmp_path / "data", tmp_path / "out"
    words = ("train", "--epochs", 1_000_000, "--data-dir", folder)
    with out.open("wb") as file:
        process = subprocess.Popen(
            nobody.command(*words, "--spec", '{"evaluate_every": 100, "batch_size": 4}'),
            env=nobody.environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: "epoch 100 " in out.read_text(), "the first points", 120)
        tree = descendants(process.pid)
        assert len(tree) >= 3
        process.send_signal(number)
        assert process.wait(60) == code
        until(lambda: not any(map(alive, tree)), "the end of the service", 30)
    finally:
        process.kill()
        process.wait()
    assert ("is kept in the data folder" in out.read_text()) == (number is signal.SIGINT)
    # The job is still there, and goes on when a service has the folder.
    (job,) = nobody.json("jobs", "--data-dir", folder)
    assert job["state"] in ("queued", "running")
    nobody.run("jobs", job["id"], "--cancel", "--data-dir", folder)


def test_no_process_is_left(nobody: Refit, tmp_path: Path) -> None:
    nobody.run("train", "--epochs", 1, "--data-dir", tmp_path / "data")
    mine = str(tmp_path)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            assert not re.search(rf"REFIT_DATA_DIR={mine}/data\0", environment)
