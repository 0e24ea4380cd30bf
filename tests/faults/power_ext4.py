"""What a drive with a volatile cache may hold after a power cut, and what ext4 makes of it.

What the drive was told to flush is there. Of the writes since then each is there, is not, or is
torn between sectors, whatever else is there: a cache is written out in any order.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

from tests.faults.counting import SEED, Count
from tests.faults.drives import (
    BLOCK,
    MANNERS,
    SUPERBLOCK_COPY,
    Event,
    Recording,
    in_words,
    lay_image,
    mounted,
    record,
)
from tests.faults.fuse import Flush, Write
from tests.faults.power import REPEATS, SECTOR
from tests.faults.tracing import Work

MODES = ("none", "all", "first", "some", "torn", "nicked")
"""What becomes of the writes since the last flush: each is lost; is there; those up to some place
are there; each is there or is not; has half of its sectors, or nearly all of them."""

CUTS_OF_A_RUN = 10
"""Then the process runs anew, in the next manner."""


def cut_the_power(
    work: Work,
    start: Path,
    room: Path,
    cut: Count,
    times: int,
    complaints: Callable[[Path, int, bool], list[str]],
) -> None:
    """Run ``work`` on an ext4 that holds a copy of ``start``, draw what its drive holds after
    power cuts at random places, let the kernel mend it, and ask ``complaints`` about each.

    Raises:
        NoDriveError: nothing of this can be done here.
    """
    chance = random.Random(SEED)
    image, after = lay_image(start, room), room / "after.ext4"
    manners, done = cycle(MANNERS), 0
    while done < times:
        manner = next(manners)
        drives = Drives(image, record(work, image, room, manner), chance)
        share = min(CUTS_OF_A_RUN, times - done)
        for trial in range(share):
            # One in each part of the run, so that a few cuts see all of it.
            place = int((trial + chance.random()) / share * drives.places)
            mode, said = drives.lay(place, after)
            repeat = chance.random() < REPEATS
            wrong = start_anew(after, chance.random() < 0.5)
            if not wrong:
                with mounted(after, room / "after-disk") as disk:
                    wrong = complaints(disk / "data", said, repeat)
            about = f"cut {done + trial} ({manner}; {mode}) after {place} of {drives.places - 1}"
            cut.add(about, wrong)
        done += share


class Drives:
    """Draws what a drive with the content of ``image`` holds after power cuts."""

    def __init__(self, image: Path, recording: Recording, chance: random.Random) -> None:
        self._image, self._recording, self._chance = image.read_bytes(), recording, chance
        self.places = len(recording.events) + 1

    def lay(self, place: int, at: Path) -> tuple[str, int]:
        """Lay out a drive after so many events: what became of the writes that were not flushed,
        and how much had been acknowledged."""
        done = self._recording.events[:place]
        flushes = [index for index, event in enumerate(done) if isinstance(event, Flush)]
        safe = flushes[-1] if flushes else 0
        content = bytearray(self._image)
        for write in _writes(done[:safe]):
            content[write.offset : write.offset + len(write.content)] = write.content
        mode = self._chance.choice(MODES)
        for offset, part in self._survivors(_writes(done[safe:]), mode):
            content[offset : offset + len(part)] = part
        at.write_bytes(content)
        return mode, self._recording.said_before(place)

    def _survivors(self, cached: list[Write], mode: str) -> Iterator[tuple[int, bytes]]:
        """The parts of writes that the drive wrote out before the power went."""
        if mode == "first":
            cached = cached[: self._chance.randint(0, len(cached))]
        # Of the writes, and of the sectors of each.
        there = {"none": 0.0, "all": 1.0, "first": 1.0}.get(mode, 0.5)
        kept = {"torn": 0.5, "nicked": 0.99}.get(mode, 1.0)
        for write in cached:
            if self._chance.random() >= there:
                continue
            for begin in range(0, len(write.content), SECTOR):
                if self._chance.random() < kept:
                    yield write.offset + begin, write.content[begin : begin + SECTOR]


def _writes(events: Sequence[Event]) -> list[Write]:
    return [event for event in events if isinstance(event, Write)]


def start_anew(image: Path, by_kernel: bool) -> list[str]:
    """What a machine does that has its power back, so that ``image`` can be mounted: the kernel
    replays the journal, or e2fsck does before. In words why it cannot be mounted all the same.

    ext4's superblock is two sectors long. Where it is torn both refuse, and an operator has e2fsck
    go by a copy of it; that is done for no other reason.
    """
    code = 0 if by_kernel else _check(image, "-fp")
    # 1: errors were corrected. 8: there is no superblock to begin with.
    wrong = _refused(image) if code <= 1 else [f"e2fsck says {code}"]
    if wrong and _check(image, "-n") == 8:
        code = _check(image, "-fy", "-b", str(SUPERBLOCK_COPY), "-B", str(BLOCK))
        wrong = _refused(image) if code <= 1 else [f"e2fsck by another superblock says {code}"]
    return wrong


def _check(image: Path, *options: str) -> int:
    return subprocess.run(["e2fsck", *options, image], capture_output=True, check=False).returncode


def _refused(image: Path) -> list[str]:
    """In words why it cannot be mounted; empty where it can."""
    try:
        with mounted(image, image.parent / "after-disk"):
            return []
    except subprocess.CalledProcessError as error:
        return [f"it cannot be mounted: {in_words(error)}"]
