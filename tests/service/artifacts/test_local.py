"""Artifacts at rest: all of one or none, durable, and damage is noticed."""

from __future__ import annotations

import os
import shutil
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import service.artifacts.local
from ml.artifact import WEIGHTS, Bundle
from ml.data.scaling import Scaling
from ml.errors import CorruptArtifactError, MissingArtifactError
from ml.manifest import MANIFEST
from service.artifacts.local import LocalArtifacts
from tests.service.making import PowerCutError, at_once, line, mlp


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def artifacts(root: Path) -> LocalArtifacts:
    return LocalArtifacts(root)


def scaled() -> Bundle:
    numbers = torch.tensor([0.1, 1 / 3], dtype=torch.float64)
    one = torch.tensor([2.5], dtype=torch.float64)
    return line([1.5, -2.0], scaling=Scaling(numbers, numbers + 1, one, one))


def same(one: Bundle, other: Bundle) -> bool:
    """Whether two bundles are equal bit by bit."""
    if one.scaling is None or other.scaling is None:
        equal = one.scaling is other.scaling
    else:
        pairs = zip(one.scaling.tensors().values(), other.scaling.tensors().values(), strict=True)
        equal = all(torch.equal(a, b) for a, b in pairs)
    return (
        equal
        and one.architecture == other.architecture
        and (one.feature_names, one.target_names) == (other.feature_names, other.target_names)
        and one.state.keys() == other.state.keys()
        and all(torch.equal(values, other.state[key]) for key, values in one.state.items())
    )


@pytest.mark.parametrize("make", [line, mlp, scaled])
def test_what_was_published_is_loaded_bit_by_bit(
    artifacts: LocalArtifacts, make: Callable[[], Bundle]
) -> None:
    bundle = make()
    loaded = artifacts.load(artifacts.publish(bundle))
    assert same(loaded, bundle)
    assert list(loaded.state) == list(bundle.state)


def test_the_same_bundle_has_the_same_id_and_another_has_another(
    artifacts: LocalArtifacts, root: Path
) -> None:
    first = artifacts.publish(line(0.7))
    assert artifacts.publish(line(0.7)) == first
    assert artifacts.publish(line(0.71)) != first
    assert artifacts.publish(line(0.7, features=("area",))) != first
    assert len(list(root.iterdir())) == 3


def test_the_same_bundle_published_by_many_at_once_is_one_artifact(
    artifacts: LocalArtifacts, root: Path
) -> None:
    names = at_once(8, lambda _: artifacts.publish(line()))
    assert [path.name for path in root.iterdir()] == [names[0]]
    assert set(names) == {names[0]}
    assert same(artifacts.load(names[0]), line())


def test_what_is_not_there_is_missing(artifacts: LocalArtifacts, root: Path) -> None:
    with pytest.raises(MissingArtifactError, match="there is no artifact abc"):
        artifacts.load("abc")
    name = artifacts.publish(line())
    (root / name / WEIGHTS).unlink()
    with pytest.raises(MissingArtifactError, match=WEIGHTS):
        artifacts.load(name)


@pytest.mark.parametrize("file_name", [MANIFEST, WEIGHTS])
def test_every_flipped_bit_is_noticed(
    artifacts: LocalArtifacts, root: Path, file_name: str
) -> None:
    name = artifacts.publish(line())
    file = root / name / file_name
    content = file.read_bytes()
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        file.write_bytes(damaged)
        with pytest.raises(CorruptArtifactError):
            artifacts.load(name)
    file.write_bytes(content)
    assert same(artifacts.load(name), line())


@pytest.mark.parametrize("file_name", [MANIFEST, WEIGHTS])
def test_every_flipped_bit_of_an_artifact_that_is_in_memory_is_noticed(
    artifacts: LocalArtifacts, root: Path, file_name: str
) -> None:
    name = artifacts.publish(line())
    in_memory = artifacts.load(name)
    file = root / name / file_name
    content = file.read_bytes()
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        file.write_bytes(damaged)
        with pytest.raises(CorruptArtifactError):
            artifacts.load(name)
    file.unlink()
    with pytest.raises(MissingArtifactError, match=file_name):
        artifacts.load(name)
    file.write_bytes(content)
    assert artifacts.load(name) is in_memory


def test_what_is_in_memory_is_not_made_again_and_what_is_not_used_is_let_go(
    artifacts: LocalArtifacts,
) -> None:
    first, second = (artifacts.publish(line(weight)) for weight in (1.0, 2.0))
    bundle = artifacts.load(first)
    artifacts.load(second)
    assert artifacts.load(first) is bundle
    left = weakref.ref(bundle)
    del bundle
    artifacts.load(second)
    assert left() is None
    assert same(artifacts.load(first), line(1.0))


def test_a_folder_that_cannot_be_read_is_corrupt(artifacts: LocalArtifacts, root: Path) -> None:
    name = artifacts.publish(line())
    (root / name / "folder").mkdir()
    with pytest.raises(CorruptArtifactError, match="cannot be read"):
        artifacts.load(name)


def test_an_artifact_under_another_name_is_refused(artifacts: LocalArtifacts, root: Path) -> None:
    name = artifacts.publish(line())
    (root / name).rename(root / ("0" * 64))
    with pytest.raises(CorruptArtifactError, match="sha256"):
        artifacts.load("0" * 64)


def test_a_damaged_artifact_is_made_whole_by_publishing_it_again(
    artifacts: LocalArtifacts, root: Path
) -> None:
    name = artifacts.publish(line())
    (root / name / WEIGHTS).write_bytes(b"")
    assert artifacts.publish(line()) == name
    assert same(artifacts.load(name), line())
    # What was damaged is put aside for the sweep, under a name that is no artifact's.
    aside = [path.name for path in root.iterdir() if path.name != name]
    assert len(aside) == 1
    assert aside[0].startswith(".unfinished-")


# ---- power cuts ----


def cut_after(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, calls: int, done: bool
) -> None:
    """Let the power fail at that call of ``owner.name``, before or after it is done."""
    original = getattr(owner, name)
    count = 0

    def call(*args: object) -> object:
        nonlocal count
        count += 1
        if count == calls and not done:
            raise PowerCutError
        result = original(*args)
        if count == calls:
            raise PowerCutError
        return result

    monkeypatch.setattr(owner, name, call)


STEPS = [
    (service.artifacts.local, "write_durably", 1, False),
    (service.artifacts.local, "write_durably", 1, True),
    (service.artifacts.local, "write_durably", 2, False),
    (service.artifacts.local, "sync", 1, False),
    (Path, "rename", 1, False),
]


@pytest.mark.parametrize(("owner", "name", "calls", "done"), STEPS)
def test_a_power_cut_before_the_rename_leaves_no_artifact(
    artifacts: LocalArtifacts,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    calls: int,
    done: bool,
) -> None:
    # A real power cut would not tidy up either.
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    cut_after(monkeypatch, owner, name, calls, done)
    with pytest.raises(PowerCutError):
        artifacts.publish(line())
    left = [path.name for path in root.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".unfinished-")
    monkeypatch.undo()
    assert same(artifacts.load(artifacts.publish(line())), line())


def test_a_power_cut_after_the_rename_leaves_the_whole_artifact(
    artifacts: LocalArtifacts, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_after(monkeypatch, Path, "rename", 1, True)
    with pytest.raises(PowerCutError):
        artifacts.publish(line())
    (name,) = (path.name for path in root.iterdir())
    assert same(artifacts.load(name), line())


def test_a_failed_write_leaves_nothing_behind(
    artifacts: LocalArtifacts, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(service.artifacts.local, "write_durably", no_space)
    with pytest.raises(OSError, match="No space left"):
        artifacts.publish(line())
    assert list(root.iterdir()) == []


# ---- durability ----


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced and renamed, in order, by the names that it had then."""
    seen: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def spy_on_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        # The size tells that the content was flushed before.
        seen.append(f"sync {path.name} {path.stat().st_size if path.is_file() else 'folder'}")
        fsync(descriptor)

    def spy_on_rename(path: Path, target: Path) -> Path:
        seen.append(f"rename {path.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", spy_on_fsync)
    monkeypatch.setattr(Path, "rename", spy_on_rename)
    return seen


def test_files_then_their_folder_are_synced_then_renamed_then_the_root_is_synced(
    artifacts: LocalArtifacts, root: Path, synced: list[str]
) -> None:
    name = artifacts.publish(line())
    # The root was made: its own name is on the disk before anything in it.
    assert synced.pop(0) == f"sync {root.parent.name} folder"
    sizes = {file: (root / name / file).stat().st_size for file in (WEIGHTS, MANIFEST)}
    unfinished = synced[2].split()[1]
    assert unfinished.startswith(".unfinished-")
    assert sorted(synced[:2]) == sorted(f"sync {file} {size}" for file, size in sizes.items())
    assert synced[2:] == [
        f"sync {unfinished} folder",
        f"rename {unfinished}",
        "sync artifacts folder",
    ]


def test_an_artifact_that_is_there_already_is_made_durable_all_the_same(
    artifacts: LocalArtifacts, synced: list[str]
) -> None:
    # Who wrote it may have died between the rename and the sync of the root.
    artifacts.publish(line())
    synced.clear()
    artifacts.publish(line())
    assert synced == ["sync artifacts folder"]


# ---- age ----


def test_artifacts_and_unfinished_folders_are_listed_by_age(
    artifacts: LocalArtifacts, root: Path
) -> None:
    assert artifacts.older_than(0) == []
    old, young = artifacts.publish(line(1)), artifacts.publish(line(2))
    (root / ".unfinished-1").mkdir()
    hours_ago = time.time() - 7200
    for name in (old, ".unfinished-1"):
        os.utime(root / name, (hours_ago, hours_ago))
    assert sorted(artifacts.older_than(3600)) == sorted([old, ".unfinished-1"])
    assert young in artifacts.older_than(-1)


def test_publishing_again_makes_an_artifact_young(artifacts: LocalArtifacts, root: Path) -> None:
    name = artifacts.publish(line())
    hours_ago = time.time() - 7200
    os.utime(root / name, (hours_ago, hours_ago))
    artifacts.publish(line())
    assert artifacts.older_than(3600) == []


def test_what_vanishes_while_it_is_listed_is_no_error(
    artifacts: LocalArtifacts, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A publication renames its unfinished folder between the listing and the look at its age.
    name = artifacts.publish(line())
    (root / ".unfinished-1").symlink_to(root / "renamed meanwhile")
    assert artifacts.older_than(-1) == [name]


def test_a_deleted_artifact_is_gone_and_deleting_again_is_no_error(
    artifacts: LocalArtifacts, root: Path
) -> None:
    name = artifacts.publish(line())
    artifacts.delete(name)
    artifacts.delete(name)
    assert list(root.iterdir()) == []
