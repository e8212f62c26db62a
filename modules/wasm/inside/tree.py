"""The file tree that a program sees: kept by us, not by the host, so that nothing of the host shows or can be reached.

``/inputs`` mirrors a read-only folder, ``/outputs`` starts empty. Names live here only; the bytes of an output file lie
in a host file that is called by a number. Listings are sorted, inodes are numbered by the order of their making,
times are zero: the same program sees the same tree on every machine.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from modules.wasm.inside.wasi_types import Errno, WasiError

MAX_PATH_BYTES: Final = 4096
MAX_NAME_BYTES: Final = 255
MAX_DEPTH: Final = 48
"""Below what the house accepts in a result, so that all that can be written can be handed over."""


class TooMuch(Exception):
    """The program writes more than it may; ends the run."""


class Quota:
    """Bytes and entries that a program may still take."""

    def __init__(self, disk_bytes: int, entries: int) -> None:
        self._bytes = disk_bytes
        self._entries = entries

    @property
    def bytes_left(self) -> int:
        return self._bytes

    def take_bytes(self, count: int) -> None:
        """Take ``count`` bytes, or give them back if negative. Raises `TooMuch`."""
        if count > self._bytes:
            raise TooMuch("its files and streams exceed its disk space")
        self._bytes -= count

    def take_entries(self, count: int) -> None:
        if count > self._entries:
            raise TooMuch("it makes too many files and directories")
        self._entries -= count


class InputFile:
    """A file of the job; its host file is opened when it is first read."""

    def __init__(self, inode: int, path: Path, size: int) -> None:
        self.inode = inode
        self.size = size
        self._path = path

    def open(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


class OutputFile:
    """A file that the program made."""

    def __init__(self, inode: int, store: Path) -> None:
        self.inode = inode
        self.size = 0
        self.path = store / str(inode)
        self.users = 0
        """Open descriptors: the bytes of a file without a name go with its last one."""
        self.named = True

    def open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


class Directory:
    """Names and what they stand for."""

    def __init__(self, inode: int, parent: Directory | None, *, writable: bool, source: Path | None = None) -> None:
        self.inode = inode
        self.parent = parent
        self.writable = writable
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.source = source
        """The host folder that it mirrors and that has not been looked at yet."""
        self.children: dict[str, Node] = {}


Node = Directory | InputFile | OutputFile


class Tree:
    """The whole tree of one run."""

    def __init__(self, inputs: Path | None, store: Path, quota: Quota) -> None:
        self._inodes = 0
        self._store = store
        self._quota = quota
        self.root = Directory(self._inode(), None, writable=False)
        self.inputs = Directory(self._inode(), self.root, writable=False, source=inputs)
        self.outputs = Directory(self._inode(), self.root, writable=True)
        self.root.children = {"inputs": self.inputs, "outputs": self.outputs}

    def _inode(self) -> int:
        self._inodes += 1
        return self._inodes

    def children(self, directory: Directory) -> dict[str, Node]:
        """What is in ``directory``, in the order of the names' bytes where it is an input."""
        if directory.source is not None:
            with os.scandir(directory.source) as entries:
                found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
            for entry in found:
                status = entry.stat(follow_symlinks=False)
                path = directory.source / entry.name
                if stat.S_ISDIR(status.st_mode):
                    directory.children[entry.name] = Directory(self._inode(), directory, writable=False, source=path)
                elif stat.S_ISREG(status.st_mode):
                    directory.children[entry.name] = InputFile(self._inode(), path, status.st_size)
            directory.source = None
        return directory.children

    def find(self, base: Directory, path: str) -> Node:
        """What ``path`` stands for, seen from ``base``. Raises `WasiError`."""
        parent, name = self.place(base, path)
        if name == "":
            return parent
        node = self.children(parent).get(name)
        if node is None:
            raise WasiError(Errno.NOENT)
        if path.endswith("/") and not isinstance(node, Directory):
            raise WasiError(Errno.NOTDIR)
        return node

    def place(self, base: Directory, path: str) -> tuple[Directory, str]:
        """The directory that ``path`` leads to and the last name in it; no name where it ends in ``.`` or ``..``.

        A path never leads above ``base``: that is what having a descriptor of a directory means in WASI.
        """
        if not path:
            raise WasiError(Errno.NOENT)
        if path.startswith("/"):
            raise WasiError(Errno.NOTCAPABLE)
        at, below, name = base, 0, ""
        for part in path.split("/"):
            if part in ("", "."):
                continue
            if name:
                node = self.children(at).get(name)
                if node is None:
                    raise WasiError(Errno.NOENT)
                if not isinstance(node, Directory):
                    raise WasiError(Errno.NOTDIR)
                at, below, name = node, below + 1, ""
            if part == "..":
                if below == 0 or at.parent is None:
                    raise WasiError(Errno.NOTCAPABLE)
                at, below = at.parent, below - 1
            else:
                if len(part.encode()) > MAX_NAME_BYTES:
                    raise WasiError(Errno.NAMETOOLONG)
                name = part
        return at, name

    def make_directory(self, base: Directory, path: str) -> None:
        parent, name = self._free_place(base, path)
        if parent.depth >= MAX_DEPTH:
            raise WasiError(Errno.NAMETOOLONG)
        self._quota.take_entries(1)
        parent.children[name] = Directory(self._inode(), parent, writable=True)

    def make_file(self, base: Directory, path: str) -> OutputFile:
        if path.endswith("/"):
            raise WasiError(Errno.ISDIR)
        parent, name = self._free_place(base, path)
        self._quota.take_entries(1)
        file = OutputFile(self._inode(), self._store)
        os.close(file.open())
        parent.children[name] = file
        return file

    def remove_directory(self, base: Directory, path: str) -> None:
        parent, name = self.place(base, path)
        node = self.find(base, path)
        if not isinstance(node, Directory):
            raise WasiError(Errno.NOTDIR)
        if not name or not parent.writable:
            raise WasiError(Errno.ROFS if name else Errno.INVAL)
        if node.children:
            raise WasiError(Errno.NOTEMPTY)
        self._unname(parent, name)

    def remove_file(self, base: Directory, path: str) -> None:
        parent, name = self.place(base, path)
        if isinstance(self.find(base, path), Directory):
            raise WasiError(Errno.ISDIR)
        if not parent.writable:
            raise WasiError(Errno.ROFS)
        self._unname(parent, name)

    def rename(self, base: Directory, path: str, new_base: Directory, new_path: str) -> None:
        parent, name = self.place(base, path)
        node = self.find(base, path)
        new_parent, new_name = self.place(new_base, new_path)
        if not name or not new_name:
            raise WasiError(Errno.INVAL)
        if not parent.writable or not new_parent.writable:
            raise WasiError(Errno.ROFS)
        old = new_parent.children.get(new_name)
        if old is node:
            return
        if isinstance(node, Directory):
            self._check_directory_move(node, new_parent, old)
        elif isinstance(old, Directory):
            raise WasiError(Errno.ISDIR)
        elif new_path.endswith("/"):
            raise WasiError(Errno.NOTDIR)
        if old is not None:
            self._unname(new_parent, new_name)
        del parent.children[name]
        new_parent.children[new_name] = node
        if isinstance(node, Directory):
            node.parent = new_parent
            _set_depth(node, new_parent.depth + 1)

    def _check_directory_move(self, node: Directory, new_parent: Directory, old: Node | None) -> None:
        if old is not None and not isinstance(old, Directory):
            raise WasiError(Errno.NOTDIR)
        if old is not None and old.children:
            raise WasiError(Errno.NOTEMPTY)
        above: Directory | None = new_parent
        while above is not None:
            if above is node:
                raise WasiError(Errno.INVAL)
            above = above.parent
        if new_parent.depth + 1 + _height(node) > MAX_DEPTH:
            raise WasiError(Errno.NAMETOOLONG)

    def resize(self, file: OutputFile, size: int) -> None:
        """Account for a new size; the caller changes the host file. Raises `TooMuch`."""
        self._quota.take_bytes(size - file.size)
        file.size = size

    def release(self, file: OutputFile) -> None:
        """Forget the bytes of a file that has neither a name nor a user."""
        if file.users == 0 and not file.named:
            self.resize(file, 0)
            file.path.unlink(missing_ok=True)

    def lay_out(self, folder: Path) -> None:
        """Move the output files to their names below ``folder``, which must exist and be empty."""
        waiting = [(self.outputs, folder)]
        while waiting:
            directory, at = waiting.pop()
            for name, node in directory.children.items():
                if isinstance(node, Directory):
                    (at / name).mkdir()
                    waiting.append((node, at / name))
                elif isinstance(node, OutputFile):
                    os.rename(node.path, at / name)

    def _free_place(self, base: Directory, path: str) -> tuple[Directory, str]:
        parent, name = self.place(base, path)
        if not name or name in self.children(parent):
            raise WasiError(Errno.EXIST)
        if not parent.writable:
            raise WasiError(Errno.ROFS)
        if _removed(parent):
            raise WasiError(Errno.NOENT)
        return parent, name

    def _unname(self, parent: Directory, name: str) -> None:
        node = parent.children.pop(name)
        self._quota.take_entries(-1)
        match node:
            case OutputFile():
                node.named = False
                self.release(node)
            case Directory():
                # A descriptor may still hold it; nothing can be made in it any more.
                node.writable = False
                node.parent = None
            case InputFile():
                pass


def _removed(directory: Directory) -> bool:
    return directory.parent is None


def _height(directory: Directory) -> int:
    """Levels of directories below; bounded, since no directory is made deeper than `MAX_DEPTH`."""
    return max((1 + _height(child) for child in directory.children.values() if isinstance(child, Directory)), default=0)


def _set_depth(directory: Directory, depth: int) -> None:
    directory.depth = depth
    for child in directory.children.values():
        if isinstance(child, Directory):
            _set_depth(child, depth + 1)
