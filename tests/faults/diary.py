"""What a process did to the files of a folder, in order, as strace wrote it down."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePath

RECORDED = (
    "openat,write,pwrite64,ftruncate,lseek,close,rename,mkdir,rmdir,unlink,unlinkat,fsync,"
    "fdatasync,link,symlink,renameat,renameat2,writev,pwritev,fallocate,copy_file_range,sendfile"
)
_UNKNOWN = {"link", "symlink", "renameat", "renameat2", "writev", "pwritev"}
_UNKNOWN |= {"fallocate", "copy_file_range", "sendfile"}

_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
_STRING = r'"((?:\\x[0-9a-f]{2})*)"'
_FD = r"(\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>"


@dataclass(frozen=True)
class Named:
    """A name in a folder that was given to an inode, or taken from it (``inode`` is None)."""

    folder: int
    name: str
    inode: int | None
    moved_from: tuple[int, str] | None = None
    """The name that it lost in the same instant."""


@dataclass(frozen=True)
class Written:
    inode: int
    offset: int
    content: bytes


@dataclass(frozen=True)
class Cut:
    inode: int
    size: int


@dataclass(frozen=True)
class Synced:
    inode: int


@dataclass(frozen=True)
class Said:
    """The process acknowledged something."""


Deed = Named | Written | Cut | Synced | Said


@dataclass
class Tree:
    """Folders and files by inode; 0 is the root."""

    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {0: {}})
    files: dict[int, bytearray] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Tree:
        """A copy of a folder on the disk."""
        tree = cls()
        for path in sorted(folder.rglob("*")):
            parent = tree.find(path.parent.relative_to(folder))
            assert parent is not None
            inode = len(tree.folders) + len(tree.files)
            tree.folders[parent][path.name] = inode
            if path.is_dir():
                tree.folders[inode] = {}
            else:
                tree.files[inode] = bytearray(path.read_bytes())
        return tree

    def find(self, path: PurePath) -> int | None:
        """The inode of a path from the root."""
        inode = 0
        for part in path.parts:
            if part not in self.folders.get(inode, {}):
                return None
            inode = self.folders[inode][part]
        return inode

    def paths(self, inode: int = 0, before: str = "") -> dict[str, bytes | None]:
        """Every path with its content, None for a folder."""
        found: dict[str, bytes | None] = {}
        for name, child in self.folders[inode].items():
            path = f"{before}{name}"
            if child in self.folders:
                found |= {path: None, **self.paths(child, f"{path}/")}
            else:
                found[path] = bytes(self.files[child])
        return found

    def apply(self, deed: Deed) -> None:
        """Do what was done."""
        match deed:
            case Named(folder, name, inode, moved_from):
                if moved_from is not None:
                    self.folders[moved_from[0]].pop(moved_from[1], None)
                if inode is None:
                    self.folders[folder].pop(name, None)
                else:
                    self.folders[folder][name] = inode
            case Written(inode, offset, content):
                file = self.files[inode]
                file.extend(bytes(max(0, offset + len(content) - len(file))))
                file[offset : offset + len(content)] = content
            case Cut(inode, size):
                file = self.files[inode]
                file.extend(bytes(max(0, size - len(file))))
                del file[size:]

    def write_to(self, folder: Path, inode: int = 0) -> None:
        """Lay it out on the disk."""
        folder.mkdir()
        for name, child in self.folders[inode].items():
            if child in self.folders:
                self.write_to(folder / name, child)
            else:
                (folder / name).write_bytes(self.files[child])


class Diary:
    """Reads the lines of strace into deeds on the files under ``root``."""

    def __init__(self, root: Path) -> None:
        self.deeds: list[Deed] = []
        self.inodes: list[tuple[int, bool]] = []
        """Those made meanwhile, and whether each is a folder."""
        self._root = root
        self.tree = Tree.of(root)
        self._next = len(self.tree.folders) + len(self.tree.files)
        self._open: dict[int, tuple[int, int]] = {}

    def read(self, log: Path) -> None:
        """Read all of it."""
        for line in log.read_text().splitlines():
            call = _CALL.match(line)
            if call and int(call[3]) >= 0:
                self._take(call[1], call[2], int(call[3]))

    def _take(self, name: str, arguments: str, result: int) -> None:
        strings = [_bytes(found) for found in re.findall(_STRING, arguments)]
        descriptor = re.match(_FD, arguments)
        fd = int(descriptor[1]) if descriptor and descriptor[1].isdigit() else -1
        if name == "openat":
            self._open_file(self._below(strings[0].decode()), arguments, result)
        elif name == "close":
            self._open.pop(fd, None)
        elif name in ("write", "pwrite64") and descriptor:
            if _bytes(descriptor[2]).startswith(b"pipe:"):
                self.deeds.append(Said())
            elif fd in self._open:
                self._write(fd, name, arguments, strings[0][:result])
        elif name == "lseek" and fd in self._open:
            self._open[fd] = (self._open[fd][0], result)
        elif name == "ftruncate" and fd in self._open:
            self._do(Cut(self._open[fd][0], int(arguments.rpartition(",")[2])))
        elif name in ("fsync", "fdatasync") and fd in self._open:
            self._do(Synced(self._open[fd][0]))
        elif name in ("mkdir", "rmdir", "unlink", "unlinkat"):
            self._change_name(name, self._path(descriptor, strings[0]))
        elif name == "rename":
            self._rename(*(self._below(text.decode()) for text in strings[:2]))
        else:
            about = [self._below(text.decode(errors="replace")) for text in strings]
            assert name not in _UNKNOWN or not any(about), f"cannot replay {name}({arguments})"

    def _path(self, descriptor: re.Match[str] | None, text: bytes) -> PurePath | None:
        folder = Path(_bytes(descriptor[2]).decode()) if descriptor else Path("/")
        return self._below(str(folder / text.decode()))

    def _below(self, text: str) -> PurePath | None:
        path = PurePath(text)
        if not path.is_relative_to(self._root) or path.name.endswith("-shm"):
            # The index of SQLite's log lives in memory and is made anew by whoever opens it.
            return None
        return path.relative_to(self._root)

    def _open_file(self, path: PurePath | None, arguments: str, fd: int) -> None:
        if path is None:
            return
        inode = self.tree.find(path)
        if inode is None:
            assert "O_CREAT" in arguments, arguments
            inode = self._make(path, folder=False)
        elif "O_TRUNC" in arguments:
            self._do(Cut(inode, 0))
        self._open[fd] = (inode, 0)

    def _write(self, fd: int, name: str, arguments: str, content: bytes) -> None:
        inode, place = self._open[fd]
        if name == "pwrite64":
            place = int(arguments.rpartition(",")[2])
        else:
            self._open[fd] = (inode, place + len(content))
        self._do(Written(inode, place, content))

    def _change_name(self, name: str, path: PurePath | None) -> None:
        if path is None:
            return
        if name == "mkdir":
            self._make(path, folder=True)
            return
        self._do(Named(self._parent(path), path.name, None))

    def _rename(self, old: PurePath | None, new: PurePath | None) -> None:
        if old is None and new is None:
            return
        assert old is not None
        assert new is not None
        moved_from = (self._parent(old), old.name)
        self._do(Named(self._parent(new), new.name, self.tree.find(old), moved_from))

    def _make(self, path: PurePath, folder: bool) -> int:
        inode, self._next = self._next, self._next + 1
        self.inodes.append((inode, folder))
        if folder:
            self.tree.folders[inode] = {}
        else:
            self.tree.files[inode] = bytearray()
        self._do(Named(self._parent(path), path.name, inode))
        return inode

    def _parent(self, path: PurePath) -> int:
        inode = self.tree.find(path.parent)
        assert inode is not None, path
        return inode

    def _do(self, deed: Deed) -> None:
        self.tree.apply(deed)
        self.deeds.append(deed)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
