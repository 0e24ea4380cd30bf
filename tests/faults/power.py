"""What a disk may hold after a power cut, given the diary of what was done to it.

Whatever was followed by an fsync of its file (of its folder, for names) is there. Of the rest each
write is there, is not, or is torn between sectors. Names come in order: of the whole disk, as in a
journal, or of each folder by itself, which no common file system does and POSIX allows.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.counting import SEED, Count
from tests.faults.diary import RECORDED, Cut, Deed, Diary, Named, Said, Synced, Tree, Written
from tests.faults.laying import lay_copy
from tests.faults.tracing import Work, recorded_into, traced

SECTOR = 512

MODES = ("none", "all", "some", "torn", "nicked")
"""What becomes of writes that nobody waited for: each is lost, is there, is one or the other, has
half of its sectors, or nearly all of them."""

REPEATS = 0.2
"""In so many states it is also tried whether more can be published."""


def cut_the_power(
    work: Work,
    start: Path,
    room: Path,
    cut: Count,
    times: int,
    complaints: Callable[[Path, int, bool], list[str]],
    modes: Sequence[str] = MODES,
) -> None:
    """Draw states after power cuts at random places of ``work``, the last place first."""
    chance = random.Random(SEED)
    data, log, after = lay_copy(start, room / "data"), room / "log", room / "after"
    ending = traced(work, data, options=recorded_into(log, RECORDED))
    assert ending.exit_code == 0, ending
    assert not ending.refused, ending
    really = Tree.of(data).paths()
    # The diary is of what was done to a copy of the start.
    diary = Diary(lay_copy(start, data))
    diary.read(log)
    assert diary.tree.paths() == really, "the diary leaves something out"
    cuts = Cuts(start, diary, chance, modes)
    stride = max(1, cuts.places // times)
    for trial in range(times):
        place = cuts.places - 1 - trial * stride % cuts.places
        said = cuts.lay(place, after)
        wrong = complaints(after, said, chance.random() < REPEATS)
        cut.add(f"cut {trial} after {place} of {cuts.places - 1}", wrong)
        shutil.rmtree(after)


class Cuts:
    """Draws states from the diary of a process that worked on a copy of ``base``."""

    def __init__(
        self, base: Path, diary: Diary, chance: random.Random, modes: Sequence[str] = MODES
    ) -> None:
        self._base, self._diary, self._chance, self._modes = base, diary, chance, modes
        self.places = len(diary.deeds) + 1

    def lay(self, place: int, at: Path) -> int:
        """Lay out a state of the disk after so many deeds; how much was acknowledged by then."""
        done = self._diary.deeds[:place]
        tree = Tree.of(self._base)
        for inode, is_folder in self._diary.inodes:
            if is_folder:
                tree.folders[inode] = {}
            else:
                tree.files[inode] = bytearray()
        for deed in self._survivors(done):
            tree.apply(deed)
        tree.write_to(at)
        return sum(isinstance(deed, Said) for deed in done)

    def _survivors(self, done: Sequence[Deed]) -> list[Deed]:
        synced = _synced_later(done)
        last_name = self._last_names(done, synced)
        fate = self._fates()
        kept: list[Deed] = []
        for index, deed in enumerate(done):
            if isinstance(deed, Named):
                if index < last_name(deed.folder):
                    kept.append(deed)
            elif synced[index]:
                kept.append(deed)
            elif isinstance(deed, Written | Cut):
                kept += fate(deed)
        return kept

    def _last_names(self, done: Sequence[Deed], synced: list[bool]) -> Callable[[int], int]:
        """Up to which deed the names in a folder are there."""
        names = [index for index, deed in enumerate(done) if isinstance(deed, Named)]
        ends = [0, *(index + 1 for index in names)]
        if self._chance.random() < 0.5:
            least = max((index + 1 for index in names if synced[index]), default=0)
            end = self._chance.choice([one for one in ends if one >= least])
            return lambda folder: end
        by_folder: dict[int, int] = {}
        for folder in {deed.folder for deed in done if isinstance(deed, Named)}:
            own = [index + 1 for index in names if _folder(done[index]) == folder]
            least = max((end for end in own if synced[end - 1]), default=0)
            by_folder[folder] = self._chance.choice([e for e in (0, *own) if e >= least])
        return lambda folder: by_folder[folder]

    def _fates(self) -> Callable[[Written | Cut], list[Deed]]:
        """What becomes of the writes that nobody waited for."""
        mode = self._chance.choice(self._modes)
        # Of the sectors of a write.
        kept = 0.99 if mode == "nicked" else 0.5

        def fate(deed: Written | Cut) -> list[Deed]:
            if mode in ("none", "all"):
                return [deed] if mode == "all" else []
            if self._chance.random() < 0.5:
                return []
            if mode in ("torn", "nicked") and isinstance(deed, Written):
                return [part for part in _sectors(deed) if self._chance.random() < kept]
            return [deed]

        return fate


def _folder(deed: Deed) -> int | None:
    return deed.folder if isinstance(deed, Named) else None


def _synced_later(done: Sequence[Deed]) -> list[bool]:
    """Of each deed whether somebody waited for it."""
    seen: set[int] = set()
    answers = []
    for deed in reversed(done):
        if isinstance(deed, Synced):
            seen.add(deed.inode)
        about = deed.folder if isinstance(deed, Named) else getattr(deed, "inode", None)
        answers.append(about in seen)
    return answers[::-1]


def _sectors(deed: Written) -> list[Deed]:
    """A write in pieces, as the disk takes it."""
    parts: list[Deed] = []
    begin, end = deed.offset, deed.offset + len(deed.content)
    while begin < end:
        stop = min(end, (begin // SECTOR + 1) * SECTOR)
        parts.append(
            Written(deed.inode, begin, deed.content[begin - deed.offset : stop - deed.offset])
        )
        begin = stop
    return parts
