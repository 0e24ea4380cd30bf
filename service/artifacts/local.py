"""Artifacts in a local folder: one folder each, named by the sha256 of its manifest."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

from ml.artifact import Bundle, artifact_id, decode, encode, is_intact
from ml.errors import CorruptArtifactError, MissingArtifactError
from service.durable import make_folder, sync, write_durably

_UNFINISHED = ".unfinished-"


class LocalArtifacts:
    """Artifacts under ``root``. What `publish` has returned survives a power cut."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # A version that is made active is shown to load, then loaded; what comes back is still
        # there. All of its bytes are verified each time, but read into tensors once.
        self._known: WeakValueDictionary[str, Bundle] = WeakValueDictionary()
        self._latest: Bundle | None = None

    def publish(self, bundle: Bundle) -> str:
        """Write the artifact and return its id; the same bundle again changes nothing.

        Write, fsync, rename, fsync of the folder: a reader sees all of it or none.
        """
        files = encode(bundle)
        name = artifact_id(files)
        final = self._root / name
        if self._is_whole(final, name):
            # Young again: a sweep between here and the row must not take it for an orphan.
            os.utime(final)
            # Whoever wrote it may have died before this.
            sync(self._root)
            return name
        make_folder(self._root)
        unfinished = self._root / f"{_UNFINISHED}{uuid.uuid4().hex}"
        unfinished.mkdir()
        try:
            for file_name, content in files.items():
                write_durably(unfinished / file_name, content)
            sync(unfinished)
            self._put_in_place(unfinished, final)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        sync(self._root)
        return name

    def load(self, name: str) -> Bundle:
        """Read and verify an artifact.

        Raises:
            MissingArtifactError: it is not there.
            CorruptArtifactError: any of its bytes is not what its name vouches for.
        """
        folder = self._root / name
        if not folder.is_dir():
            raise MissingArtifactError(f"there is no artifact {name}")
        try:
            files = {path.name: path.read_bytes() for path in folder.iterdir()}
        except OSError as error:
            raise CorruptArtifactError(f"artifact {name} cannot be read: {error}") from error
        bundle = self._known.get(name)
        if bundle is None or not is_intact(files, name):
            bundle = decode(files, expected_id=name)
        self._known[name] = self._latest = bundle
        return bundle

    def older_than(self, seconds: float) -> list[str]:
        """Names of artifacts, and of what a crash left unfinished, last published so long ago."""
        if not self._root.is_dir():
            return []
        newest = time.time() - seconds
        names = []
        for path in self._root.iterdir():
            # Gone since it was listed: a publication renames what it has finished.
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < newest:
                    names.append(path.name)
        return names

    def delete(self, name: str) -> None:
        """Delete an artifact, if it is there."""
        shutil.rmtree(self._root / name, ignore_errors=True)

    def _put_in_place(self, unfinished: Path, final: Path) -> None:
        if final.exists() and not self._is_whole(final, final.name):
            final.rename(self._root / f"{_UNFINISHED}{uuid.uuid4().hex}")
        try:
            unfinished.rename(final)
        except OSError:
            # No folder takes the place of one that holds files: another process was quicker.
            if not self._is_whole(final, final.name):
                raise

    def _is_whole(self, folder: Path, name: str) -> bool:
        if not folder.is_dir():
            return False
        try:
            self.load(name)
        except (MissingArtifactError, CorruptArtifactError):
            return False
        return True
