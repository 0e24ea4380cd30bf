"""A file that tells of every write and flush: what a drive sees, by the kernel's FUSE protocol.

The file system is one regular file. A loop device on it is a drive with a volatile cache: each
write of the file system above comes here as FUSE_WRITE, each flush of the drive as FUSE_FSYNC.
The messages are those of linux/fuse.h, spoken on /dev/fuse: no library stands between.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO

DEVICE = Path("/dev/fuse")

_GETATTR, _OPEN, _READ, _WRITE, _RELEASE, _FSYNC = 3, 14, 15, 16, 18, 20
_FLUSH, _INIT, _DESTROY = 25, 26, 38
_FORGET, _INTERRUPT, _BATCH_FORGET = 2, 36, 42
_ANSWERED_WITH_NOTHING = (_RELEASE, _FSYNC, _FLUSH, _DESTROY)
_NOT_ANSWERED = (_FORGET, _INTERRUPT, _BATCH_FORGET)

_HEADER = struct.Struct("<IIQQIIIHH")
"""Length, opcode, unique, nodeid, uid, gid, pid, and two that are not used."""
_ANSWER = struct.Struct("<IiQ")
"""Length, minus errno, unique."""
_INIT_OUT = struct.Struct("<IIIIHHIIHHII24x")
"""Major, minor, readahead, flags, background, congestion, most bytes of a write, granularity of
times, most pages of a write, and three that are not used; 64 bytes."""
_ATTR_OUT = struct.Struct("<QIIQQQQQQIIIIIIIIII")
"""How long it holds (8, 4), -, inode, size, blocks, times (3 x 8, 3 x 4), mode, links, uid, gid,
rdev, size of a block, -."""
_READ_OR_WRITE = struct.Struct("<QQIIQII")
"""Handle, offset, size, and four that are not used."""

_MOST = 2**20
"""Bytes of a write."""
_ASYNC_READ, _BIG_WRITES, _MAX_PAGES = 1, 1 << 5, 1 << 22
_DIRECT_IO = 1
"""Of an open file: no page cache between its reader and us."""

_MODE = stat.S_IFREG | 0o600
_MS_NOSUID, _MS_NODEV = 2, 4

_RECORD = struct.Struct("<QqI")
"""Of the log: nanoseconds, offset (-1: a flush), bytes that follow."""


@dataclass(frozen=True)
class Write:
    """Bytes that the drive has in its cache. ``at_ns`` is CLOCK_MONOTONIC, before the answer."""

    at_ns: int
    offset: int
    content: bytes


@dataclass(frozen=True)
class Flush:
    """What was written before is on the disk."""

    at_ns: int


def serve(ready: Connection, at: Path, image: Path, log: Path) -> None:
    """Mount a file with the content of ``image`` over the file ``at``, and answer until it is
    unmounted; ``image`` itself stays as it is. Every write and flush goes into ``log``. Sends
    once what stood in the way of mounting, "" where nothing did."""
    # Who stops the tests by hand must not take the drive from under a file system.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        device = os.open(DEVICE, os.O_RDWR)
        _mount(device, at)
    except OSError as error:
        ready.send(str(error))
        return
    ready.send("")
    with log.open("wb") as file:
        drive = _Drive(bytearray(image.read_bytes()), file)
        while True:
            try:
                message = os.read(device, _MOST + 8192)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    # Nobody has it mounted any more.
                    return
                if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                    continue
                raise
            answer = drive.answer(message)
            if answer is not None:
                os.write(device, answer)


def read(log: Path) -> Iterator[Write | Flush]:
    """All that came to the drive, in order."""
    content = memoryview(log.read_bytes())
    place = 0
    while place < len(content):
        at_ns, offset, size = _RECORD.unpack_from(content, place)
        place += _RECORD.size
        if offset < 0:
            yield Flush(at_ns)
        else:
            yield Write(at_ns, offset, bytes(content[place : place + size]))
        place += size


def _mount(device: int, at: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode={_MODE:o},user_id={os.getuid()},group_id={os.getgid()}"
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV)
    if libc.mount(b"refit-drive", os.fsencode(at), b"fuse", flags, options.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(at))


class _Drive:
    def __init__(self, content: bytearray, log: BinaryIO) -> None:
        self._content, self._log = content, log

    def answer(self, message: bytes) -> bytes | None:
        """What to say to a message of the kernel; None where it waits for nothing."""
        _, opcode, unique, *_ = _HEADER.unpack_from(message)
        if opcode in _NOT_ANSWERED:
            return None
        said = self._body(opcode, memoryview(message)[_HEADER.size :])
        failed = said is None
        body = said or b""
        error = -errno.ENOSYS if failed else 0
        return _ANSWER.pack(_ANSWER.size + len(body), error, unique) + body

    def _body(self, opcode: int, asked: memoryview) -> bytes | None:
        if opcode == _INIT:
            flags = _ASYNC_READ | _BIG_WRITES | _MAX_PAGES
            pages = _MOST // os.sysconf("SC_PAGE_SIZE")
            return _INIT_OUT.pack(7, 31, _MOST, flags, 16, 12, _MOST, 1, pages, 0, 0, 0)
        if opcode == _GETATTR:
            size = len(self._content)
            times = (0,) * 6
            return _ATTR_OUT.pack(
                60, 0, 0, 1, size, size // 512, *times, _MODE, 1, 0, 0, 0, 4096, 0
            )
        if opcode == _OPEN:
            return struct.pack("<QIi", 0, _DIRECT_IO, 0)
        if opcode == _READ:
            _, offset, size, *_ = _READ_OR_WRITE.unpack_from(asked)
            return bytes(self._content[offset : offset + size])
        if opcode == _WRITE:
            _, offset, size, *_ = _READ_OR_WRITE.unpack_from(asked)
            self._write(offset, bytes(asked[_READ_OR_WRITE.size :][:size]))
            return struct.pack("<II", size, 0)
        if opcode == _FSYNC:
            self._log.write(_RECORD.pack(time.monotonic_ns(), -1, 0))
        return b"" if opcode in _ANSWERED_WITH_NOTHING else None

    def _write(self, offset: int, content: bytes) -> None:
        assert offset + len(content) <= len(self._content), "beyond the end of the drive"
        self._content[offset : offset + len(content)] = content
        self._log.write(_RECORD.pack(time.monotonic_ns(), offset, len(content)))
        self._log.write(content)
