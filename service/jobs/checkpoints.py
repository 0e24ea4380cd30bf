"""The checkpoints of a job at rest, and when the next is due; what is in them is not known here.

A job has a folder of its own, which holds the newest two: should the newest be damaged, the one
before it is still there. A name is a number, and behind it the fence of the attempt that came
further than any before it, as `000000012-3`.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from service.durable import make_folder, sync, write_durably

logger = logging.getLogger(__name__)

KEPT = 2
SHARE = 0.01
"""Of a training's time that is meant for checkpoints: half of the 2 % that are promised, since one
may take twice as long as the last one did."""
EXPECTED_BYTES_PER_SECOND = 100e6
"""A careful guess, for the first one: a slow disk. Those after it go by what the last one took."""

_UNFINISHED = ".unfinished-"
_NAME = re.compile(r"\d{9}(-\d+)?")


class Checkpoints:
    """The checkpoints of one job, in ``folder``; the folder is made by the first one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def exist(self) -> bool:
        """Whether there are any, or the traces of one."""
        return self._folder.is_dir()

    def newest_first(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of each, whole or not; what cannot be read is left out."""
        for name in reversed(self._names()):
            try:
                yield name, (self._folder / name).read_bytes()
            except OSError as error:
                logger.warning("checkpoint %s cannot be read: %s", name, error)

    def advanced_by(self, fence: int) -> bool:
        """Whether that attempt has left one that is further than all before it."""
        try:
            return any(name.endswith(f"-{fence}") for name in self._names())
        except OSError:
            # Deleted this instant, as the job has ended after all.
            return False

    def write(self, content: bytes, fence: int | None = None) -> None:
        """Write the newest, durably, and delete those beyond `KEPT`.

        ``fence`` is that of an attempt that comes further with it than any before. Write, fsync,
        rename, fsync of the folder: what has its name is whole.

        Raises:
            OSError: there is no room; the older ones are still there.
        """
        make_folder(self._folder)
        names = self._names()
        number = int(names[-1].partition("-")[0]) + 1 if names else 1
        name = f"{number:09d}" if fence is None else f"{number:09d}-{fence}"
        unfinished = self._folder / f"{_UNFINISHED}{uuid.uuid4().hex}"
        try:
            write_durably(unfinished, content)
            unfinished.rename(self._folder / name)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
            raise
        sync(self._folder)
        self._tidy()

    def delete(self) -> None:
        """Delete them all, if there are any."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tidy(self) -> None:
        """Delete the older ones, and what a killed process left unfinished."""
        older = self._names()[:-KEPT]
        left = [path.name for path in self._folder.iterdir() if path.name.startswith(_UNFINISHED)]
        for name in [*older, *left]:
            (self._folder / name).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if _NAME.fullmatch(path.name))


class Pace:
    """Says when a checkpoint is due: at most every ``seconds``, and seldom enough that they
    take some `SHARE` of the time."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._began = clock()
        self._next = self._began + seconds
        self._is_first = True

    def is_due(self, size: Callable[[], int]) -> bool:
        """Whether it is time; ``size`` gives about how many bytes it would have."""
        if self._clock() < self._next:
            return False
        if self._is_first:
            self._is_first = False
            self._next = self._began + self._after(size() / EXPECTED_BYTES_PER_SECOND)
        return self._clock() >= self._next

    def spend(self, save: Callable[[], None]) -> float:
        """Call ``save``; the seconds it took, by which the next one is due."""
        began = self._clock()
        try:
            save()
        finally:
            ended = self._clock()
            self._is_first = False
            self._next = ended + self._after(ended - began)
        return ended - began

    def _after(self, cost: float) -> float:
        return max(self._seconds, cost / SHARE)


def sweep(root: Path, is_over: Callable[[str], bool]) -> None:
    """Delete the checkpoints under ``root`` of jobs that have ended or are gone."""
    for folder in root.iterdir() if root.is_dir() else ():
        if is_over(folder.name):
            Checkpoints(folder).delete()
