"""Data folders to hurt, and what must be true of them afterwards: the oracle."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from ml.artifact import Bundle, artifact_id, encode
from ml.errors import MLError
from service.artifacts.local import LocalArtifacts
from service.datasets.folders import is_sealed
from service.entities import NewVersion
from service.errors import ServiceError
from service.settings import Settings
from service.store.database import Database
from service.store.migrate import migrate
from tests.service.making import line, new_version

OLD, NEW, NEXT = line(0.5), line(0.71), line(0.92)
"""What is there before the fault, what is published under it, and what after it."""

KNOWN = {artifact_id(encode(bundle)): encode(bundle) for bundle in (OLD, NEW, NEXT)}
"""Every artifact that may ever be loadable, bit by bit."""


def settings_of(data: Path) -> Settings:
    return Settings(data_dir=data, device="cpu")


def lay_base(data: Path) -> Path:
    """A data folder with one version, at rest."""
    lay_empty(data)
    publish_and_register(data, OLD)
    return data


def lay_empty(data: Path) -> Path:
    """A data folder with a schema and nothing else, at rest."""
    data.mkdir(parents=True)
    migrate(settings_of(data).sqlalchemy_url)
    return data


def lay_copy(source: Path, data: Path) -> Path:
    """A data folder like ``source``, in place of what is at ``data``."""
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(source, data)
    return data


def publish_and_register(
    data: Path, *bundles: Bundle, say: Callable[[int], None] = lambda number: None
) -> None:
    """What trainings do at their end: artifact, version, deployment, on one connection. Each
    version's number is said as soon as its transaction has ended."""
    settings = settings_of(data)
    artifacts = LocalArtifacts(settings.artifacts_dir)
    database = Database(settings.sqlalchemy_url)
    try:
        for bundle in bundles:
            artifact = artifacts.publish(bundle)
            new = NewVersion(**{**vars(new_version()), "artifact": artifact})
            now = datetime.now(UTC)
            with database.write() as stores:
                number = stores.versions.add(new, "api", now).number
                stores.deployments.move("default", number, "promoted", now)
            say(number)
    finally:
        database.close()


def complaints_about(data: Path, acknowledged: Iterable[int], repeat: bool = True) -> list[str]:
    """What is wrong with a data folder that was opened again; empty where all is well.

    ``acknowledged`` are the numbers of the versions that somebody was told of. With ``repeat``, two
    more are published, which must succeed.
    """
    said = [*about_the_file(data / "refit.db"), *_about_artifacts(data)]
    if said:
        return said
    try:
        said += _about_versions(data, set(acknowledged))
        if repeat:
            more: list[int] = []
            publish_and_register(data, NEW, NEXT, say=more.append)
            said += [*_about_artifacts(data), *_about_versions(data, {*acknowledged, *more})]
    except (ServiceError, MLError, OSError) as error:
        said.append(f"does not work any more: {type(error).__name__}: {error}")
    return said


def complaints_about_datasets(data: Path, acknowledged: Iterable[str]) -> list[str]:
    """What is wrong with the datasets of a folder that was opened again."""
    said = about_the_file(data / "refit.db")
    if said:
        return said
    settings = settings_of(data)
    database = Database(settings.sqlalchemy_url)
    with database.read() as stores:
        ids = stores.datasets.ids()
    database.close()
    said += [f"dataset {one} was acknowledged and is lost" for one in set(acknowledged) - ids]
    folders = settings.datasets_dir
    said += [f"dataset {one} is not whole" for one in ids if not is_sealed(folders / one)]
    return said


def about_the_file(file: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(file)) as connection:
            answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as error:
        return [f"the database does not open: {error}"]
    return [] if answer == "ok" else [f"the database is damaged: {answer}"]


def _about_artifacts(data: Path) -> list[str]:
    root = settings_of(data).artifacts_dir
    artifacts = LocalArtifacts(root)
    said = []
    for folder in root.iterdir() if root.is_dir() else ():
        try:
            loaded = encode(artifacts.load(folder.name))
        except MLError:
            continue
        if loaded != KNOWN.get(folder.name):
            said.append(f"{folder.name} is loaded and is not what was published")
    return said


def _about_versions(data: Path, acknowledged: set[int]) -> list[str]:
    settings = settings_of(data)
    artifacts = LocalArtifacts(settings.artifacts_dir)
    database = Database(settings.sqlalchemy_url)
    said = []
    try:
        with database.read() as stores:
            some = bool(stores.versions.count_models())
            versions = stores.versions.list_newest("default", 1000, None) if some else []
            deployment = stores.deployments.get("default")
    finally:
        database.close()
    numbers = [version.number for version in versions]
    said += [f"version {one} was acknowledged and is lost" for one in acknowledged - {*numbers}]
    if len(numbers) != len(set(numbers)):
        said.append(f"a number was given out twice: {numbers}")
    if numbers and (deployment is None or deployment.version != max(numbers)):
        said.append(f"versions {numbers}, and active is {deployment}")
    for version in versions:
        try:
            if encode(artifacts.load(version.artifact)) != KNOWN[version.artifact]:
                said.append(f"version {version.number} has other bits")
        except MLError as error:
            said.append(f"version {version.number} does not load: {error}")
    return said
