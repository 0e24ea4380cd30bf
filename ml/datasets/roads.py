"""Blocks of lines of JSON become frames, each by the swiftest of three readers that takes it.

What one does not take as what the first objects were, the next reads anew; the last says what is
wrong, or that nothing is. Whichever reads a block, the rows are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING

import polars as pl

from ml.datasets.objects import Block, ObjectReader, read_objects
from ml.datasets.options import ReadOptions
from ml.datasets.profile import ColumnType
from ml.datasets.records import MAX_LINE_BYTES, Lines
from ml.datasets.uniform import UniformReader
from ml.errors import BadFileError

if TYPE_CHECKING:
    from ml.datasets.structs import StructReader


class Roads:
    """The three readers of one file."""

    def __init__(
        self, names: dict[str, str], types: dict[str, ColumnType], options: ReadOptions
    ) -> None:
        self._names = names
        self._types = types
        self._patient = ObjectReader(names, types, options)
        self._uniform = UniformReader.of(names, types)

    @property
    def is_uniform(self) -> bool:
        """Whether the swiftest road may be open: it likes longer blocks."""
        return self._uniform is not None

    def patiently(self, objects: Block) -> pl.DataFrame:
        """The objects as a frame.

        Raises:
            BadFileError: one cannot be used; of several, the first.
        """
        try:
            return self._patient.frame(objects)
        except BadFileError:
            # A frame is looked at by column.
            for line, found in zip(objects.lines, objects.objects, strict=True):
                self._patient.frame(Block([line], [found]))
            raise

    def frames(self, blocks: Iterable[bytes], line: int) -> Iterator[pl.DataFrame]:
        """The rows of the blocks in order, where ``line`` lines of the file come before them.

        Raises:
            BadFileError: a line cannot be used.
        """
        for block, found in self._swiftest(blocks):
            frame = found
            # A longer one may hold a line that is too long.
            if frame is None and self._struct and len(block) <= MAX_LINE_BYTES:
                frame = self._struct.frame(block)
            if frame is not None:
                line += frame.height
                yield frame
            else:
                lines = Lines(BytesIO(block), line)
                yield self.patiently(self._objects(lines, block))
                line = lines.number

    def _objects(self, lines: Lines, block: bytes) -> Block:
        line = lines.number
        try:
            return read_objects(lines, len(block), len(block))
        except BadFileError:
            # A line before it may be JSON, and not what it has to be.
            lines = Lines(BytesIO(block), line)
            while (objects := read_objects(lines, 1, 1)).lines:
                self._patient.frame(objects)
            raise

    def _swiftest(self, blocks: Iterable[bytes]) -> Iterator[tuple[bytes, pl.DataFrame | None]]:
        """Each block, and its frame where the swiftest road is open to it."""
        if self._uniform is None:
            yield from ((block, None) for block in blocks)
            return
        # polars has two for a core, since some wait for the disk; these do not.
        most = max(1, pl.thread_pool_size() // 2)
        pending: deque[tuple[bytes, Future[pl.DataFrame | None]]] = deque()
        with ThreadPoolExecutor(most) as threads:
            for block in blocks:
                pending.append((block, threads.submit(self._uniform.frame, block)))
                if len(pending) > most:
                    first, frame = pending.popleft()
                    yield first, frame.result()
            for last, frame in pending:
                yield last, frame.result()

    @cached_property
    def _struct(self) -> StructReader | None:
        # Imported here: it needs numpy and more, which take a tenth of a second to load.
        from ml.datasets.structs import StructReader

        return StructReader.of(self._names, self._types)
