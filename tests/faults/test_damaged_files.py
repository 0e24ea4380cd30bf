"""Artifacts whose bytes changed at rest: refused by name, and the old version keeps serving."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from ml.artifact import WEIGHTS, artifact_id, encode
from ml.errors import ArtifactError
from ml.manifest import MANIFEST
from service.artifacts.local import LocalArtifacts
from service.serving.pool import Pool
from service.serving.rollout import RETRY_SECONDS, Rollout
from service.store.database import Database
from tests.e2e.running import running
from tests.faults.counting import Count
from tests.faults.laying import NEW, NEXT, OLD, lay_copy, publish_and_register, settings_of
from tests.service.making import CPU, predicted

pytestmark = pytest.mark.faults

NAME = artifact_id(encode(NEW))
FILES = (MANIFEST, WEIGHTS)


class Server:
    """A web process's rollout, which serves the old version while the new one is damaged."""

    def __init__(self, data: Path) -> None:
        settings = settings_of(data)
        self.artifacts = LocalArtifacts(settings.artifacts_dir)
        self.folder = settings.artifacts_dir / NAME
        self.database = Database(settings.sqlalchemy_url)
        self.pool = Pool(4)
        self._rollout = Rollout(self.database, self.artifacts, self.pool, CPU, "node", 0, 1)
        self._now = 0.0
        self.turn()
        publish_and_register(data, NEW)

    def turn(self) -> None:
        """Let the rollout look, and try again what failed."""
        self._now += RETRY_SECONDS
        self._rollout.step(self._now)

    def complaints(self) -> list[str]:
        """What is wrong while the new version is damaged."""
        said = []
        try:
            self.artifacts.load(NAME)
            said.append("is loaded")
        except ArtifactError as error:
            if not any(word in str(error) for word in (*FILES, NAME)):
                said.append(f"is refused without a name: {error}")
        self.turn()
        return said + self.complaints_unless_serving(1)

    def complaints_unless_serving(self, version: int) -> list[str]:
        """Empty where that version answers, with the right bits."""
        served = self.pool.active("default")
        if served is None or served.version != version:
            return [f"serves {served}, not version {version}"]
        y = served.predictor.predict(torch.tensor([[3.0]]))[:, 0].tolist()
        wanted = predicted({1: OLD, 2: NEW}[version], [3.0])
        return [] if y == wanted else [f"answers {y} instead of {wanted}"]


@pytest.fixture
def server(base: Path, fast_path: Path) -> Iterator[Server]:
    made = Server(lay_copy(base, fast_path / "data"))
    yield made
    # All is mended: the version comes in by itself.
    made.turn()
    assert made.complaints_unless_serving(2) == []
    made.database.close()


@pytest.mark.parametrize("file_name", FILES)
def test_every_flipped_byte_is_refused(
    server: Server, file_name: str, count: Callable[..., Count]
) -> None:
    flipped = count(f"a byte of {file_name} flipped, each in turn", exhaustive=True)
    file = server.folder / file_name
    content = file.read_bytes()
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        flipped.add(place, server.complaints())
    file.write_bytes(content)
    flipped.require_none(len(content))


@pytest.mark.parametrize("file_name", FILES)
def test_every_truncated_length_is_refused(
    server: Server, file_name: str, count: Callable[..., Count]
) -> None:
    cut = count(f"{file_name} cut off at every length", exhaustive=True)
    file = server.folder / file_name
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        cut.add(length, server.complaints())
    file.write_bytes(content)
    cut.require_none(len(content))


def test_files_of_another_artifact_are_refused(server: Server, count: Callable[..., Count]) -> None:
    exchanged = count("files exchanged between artifacts, lost, or made folders")
    others = [encode(OLD), encode(NEXT)]
    own = encode(NEW)
    for other in others:
        for names in ((MANIFEST,), (WEIGHTS,), FILES):
            for name in names:
                (server.folder / name).write_bytes(other[name])
            exchanged.add(names, server.complaints())
            for name in names:
                (server.folder / name).write_bytes(own[name])
    for name in FILES:
        (server.folder / name).unlink()
        exchanged.add(f"{name} lost", server.complaints())
        (server.folder / name).mkdir()
        exchanged.add(f"{name} a folder", server.complaints())
        (server.folder / name).rmdir()
        (server.folder / name).write_bytes(own[name])
    away = server.folder.with_name("away")
    server.folder.rename(away)
    exchanged.add("folder lost", server.complaints())
    server.folder.write_bytes(b"")
    exchanged.add("folder a file", server.complaints())
    server.folder.unlink()
    away.rename(server.folder)
    exchanged.require_none(10)


def test_a_real_service_keeps_the_old_version(
    base: Path, tmp_path: Path, count: Callable[..., Count]
) -> None:
    damaged = count("a damaged version activated in a real service")
    data = lay_copy(base, tmp_path / "data")
    with running(data, workers=1) as service:
        before = service.client.post("/predict", json={"x": 3.0}).json()
        for turn, hurt in enumerate((_flip, _cut, _delete)):
            job = service.train(promote="never", seed=turn, early_stopping=None)
            number = job["version"]
            listed = service.client.get(f"/models/default/versions/{number}").json()
            folders = sorted((data / "artifacts").iterdir(), key=lambda path: path.stat().st_mtime)
            hurt(folders[-1])
            answer = service.client.post(f"/models/default/versions/{number}/activate")
            said = []
            if (answer.status_code, answer.json().get("code")) != (409, "version_unloadable"):
                said.append(f"version {listed['version']} is answered {answer.text}")
            if service.client.post("/predict", json={"x": 3.0}).json() != before:
                said.append("another version serves")
            damaged.add(hurt.__name__, said)
    damaged.require_none(3)


def _flip(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def _delete(folder: Path) -> None:
    shutil.rmtree(folder)


def _cut(folder: Path) -> None:
    (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes()[:-1])


# ---- the oracle is no yes-man ----


def test_the_oracle_notices_a_load_that_believes_its_bytes(
    base: Path, fast_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(lay_copy(base, fast_path / "data"))
    monkeypatch.setattr("service.artifacts.local.decode", lambda files, expected_id: NEW)
    (server.folder / WEIGHTS).write_bytes(b"")
    complaints = server.complaints()
    server.database.close()
    assert "is loaded" in complaints
    assert len(complaints) == 2, "and it does not serve the old version any more"
