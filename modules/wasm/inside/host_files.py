"""Host calls on descriptors: read, write, seek, list, and what a descriptor is."""

from __future__ import annotations

import os
from typing import Final

from modules.wasm.inside.descriptors import ROOT, Empty, Open, OpenDirectory, OpenFile, Stream
from modules.wasm.inside.guest import Guest
from modules.wasm.inside.host_table import HostTable
from modules.wasm.inside.run_state import RunState
from modules.wasm.inside.tree import Directory, Node, OutputFile, TooMuch
from modules.wasm.inside.wasi_types import (
    ALL_RIGHTS,
    DIRENT,
    FDSTAT,
    FILESTAT,
    FLAG_APPEND,
    KNOWN_FLAGS,
    PRESTAT,
    RIGHT_READ,
    RIGHT_SEEK,
    RIGHT_TELL,
    RIGHT_WRITE,
    Errno,
    FileType,
    WasiError,
)

HOST: Final = HostTable()

_CHUNK: Final = 1024 * 1024
_MAX_OFFSET: Final = 2**62


def file_type(node: Node) -> FileType:
    return FileType.DIRECTORY if isinstance(node, Directory) else FileType.REGULAR_FILE


def filestat(node: Node) -> bytes:
    """The 64 bytes that describe a node; device 1, one link, all times zero."""
    size = 0 if isinstance(node, Directory) else node.size
    return FILESTAT.pack(1, node.inode, file_type(node), 1, size, 0, 0, 0)


def resize(run: RunState, opened: OpenFile, size: int) -> None:
    """Give a file a new size, filled with zeros. Raises `TooMuch` over the quota."""
    if not opened.writable or not isinstance(opened.file, OutputFile):
        raise WasiError(Errno.BADF)
    run.tree.resize(opened.file, size)
    os.ftruncate(opened.host, size)


def _read(run: RunState, guest: Guest, opened: Open, buffers: list[tuple[int, int]], position: int) -> int:
    """Fill ``buffers`` from ``position``; return how many bytes there were."""
    if isinstance(opened, Empty):
        return 0
    if isinstance(opened, OpenDirectory):
        raise WasiError(Errno.ISDIR)
    if isinstance(opened, Stream) or not opened.readable:
        raise WasiError(Errno.BADF)
    total = 0
    for at, size in buffers:
        while size and position + total < opened.file.size:
            wanted = min(size, _CHUNK, opened.file.size - position - total)
            guest.pay(wanted)
            data = os.pread(opened.host, wanted, position + total)
            if not data:
                return total
            guest.write(at, data)
            at, size, total = at + len(data), size - len(data), total + len(data)
    return total


def _write(run: RunState, guest: Guest, opened: OpenFile, buffers: list[tuple[int, int]], position: int) -> int:
    """Write ``buffers`` at ``position``; return the number of bytes, which is all of them."""
    if not opened.writable or not isinstance(opened.file, OutputFile):
        raise WasiError(Errno.BADF)
    size = sum(size for _, size in buffers)
    guest.pay(size)
    if position + size > opened.file.size and size:
        run.tree.resize(opened.file, position + size)
    at = position
    for pointer, left in buffers:
        while left:
            data = guest.read(pointer, min(left, _CHUNK))
            _write_all(opened.host, data, at)
            pointer, left, at = pointer + len(data), left - len(data), at + len(data)
    return size


def _write_all(host: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        try:
            written = os.pwrite(host, view, at)
        except OSError:
            # The host's disk is full, or smaller than what the job asked for: not something a program may see.
            raise TooMuch("the machine has no room for its files") from None
        view, at = view[written:], at + written


@HOST.call("fd_read", "iiii")
def fd_read(run: RunState, guest: Guest, fd: int, vectors: int, count: int, read_at: int) -> None:
    opened = run.descriptors.get(fd)
    position = opened.position if isinstance(opened, OpenFile) else 0
    size = _read(run, guest, opened, guest.buffers(vectors, count), position)
    if isinstance(opened, OpenFile):
        opened.position += size
    guest.write_u32(read_at, size)


@HOST.call("fd_pread", "iiiIi")
def fd_pread(run: RunState, guest: Guest, fd: int, vectors: int, count: int, offset: int, read_at: int) -> None:
    opened = run.descriptors.file(fd)
    guest.write_u32(read_at, _read(run, guest, opened, guest.buffers(vectors, count), offset))


@HOST.call("fd_write", "iiii")
def fd_write(run: RunState, guest: Guest, fd: int, vectors: int, count: int, written_at: int) -> None:
    opened = run.descriptors.get(fd)
    guest.check(written_at, 4)
    buffers = guest.buffers(vectors, count)
    match opened:
        case Stream():
            size = 0
            for at, length in buffers:
                guest.pay(length)
                while length:
                    written = opened.write(guest.read(at, min(length, _CHUNK)))
                    at, length, size = at + written, length - written, size + written
        case OpenFile():
            position = opened.file.size if opened.flags & FLAG_APPEND else opened.position
            size = _write(run, guest, opened, buffers, position)
            opened.position = position + size
        case OpenDirectory() | Empty():
            raise WasiError(Errno.BADF)
    guest.write_u32(written_at, size)


@HOST.call("fd_pwrite", "iiiIi")
def fd_pwrite(run: RunState, guest: Guest, fd: int, vectors: int, count: int, offset: int, written_at: int) -> None:
    opened = run.descriptors.file(fd)
    guest.check(written_at, 4)
    guest.write_u32(written_at, _write(run, guest, opened, guest.buffers(vectors, count), offset))


@HOST.call("fd_seek", "iIii")
def fd_seek(run: RunState, guest: Guest, fd: int, offset: int, whence: int, position_at: int) -> None:
    opened = run.descriptors.file(fd)
    signed = offset - 2**64 if offset >= 2**63 else offset
    if whence > 2:
        raise WasiError(Errno.INVAL)
    position = (0, opened.position, opened.file.size)[whence] + signed
    if not 0 <= position <= _MAX_OFFSET:
        raise WasiError(Errno.INVAL)
    opened.position = position
    guest.write_u64(position_at, position)


@HOST.call("fd_tell", "ii")
def fd_tell(run: RunState, guest: Guest, fd: int, position_at: int) -> None:
    guest.write_u64(position_at, run.descriptors.file(fd).position)


@HOST.call("fd_close", "i")
def fd_close(run: RunState, guest: Guest, fd: int) -> None:
    run.descriptors.close(fd)


@HOST.call("fd_renumber", "ii")
def fd_renumber(run: RunState, guest: Guest, fd: int, to: int) -> None:
    run.descriptors.move(fd, to)


@HOST.call("fd_sync", "i")
def fd_sync(run: RunState, guest: Guest, fd: int) -> None:
    run.descriptors.get(fd)


@HOST.call("fd_datasync", "i")
def fd_datasync(run: RunState, guest: Guest, fd: int) -> None:
    run.descriptors.get(fd)


@HOST.call("fd_advise", "iIIi")
def fd_advise(run: RunState, guest: Guest, fd: int, offset: int, length: int, advice: int) -> None:
    run.descriptors.get(fd)


@HOST.call("fd_allocate", "iII")
def fd_allocate(run: RunState, guest: Guest, fd: int, offset: int, length: int) -> None:
    opened = run.descriptors.file(fd)
    if offset + length > opened.file.size:
        resize(run, opened, offset + length)


@HOST.call("fd_filestat_set_size", "iI")
def fd_filestat_set_size(run: RunState, guest: Guest, fd: int, size: int) -> None:
    resize(run, run.descriptors.file(fd), size)


@HOST.call("fd_filestat_set_times", "iIIi")
def fd_filestat_set_times(run: RunState, guest: Guest, fd: int, accessed: int, modified: int, flags: int) -> None:
    """Accepted and forgotten: a result's CID holds no times either."""
    run.descriptors.get(fd)


@HOST.call("fd_filestat_get", "ii")
def fd_filestat_get(run: RunState, guest: Guest, fd: int, at: int) -> None:
    match run.descriptors.get(fd):
        case OpenFile(file=node) | OpenDirectory(directory=node):
            guest.write(at, filestat(node))
        case Stream() | Empty():
            guest.write(at, FILESTAT.pack(1, 0, FileType.UNKNOWN, 1, 0, 0, 0, 0))


@HOST.call("fd_fdstat_get", "ii")
def fd_fdstat_get(run: RunState, guest: Guest, fd: int, at: int) -> None:
    match run.descriptors.get(fd):
        case OpenFile(flags=flags, readable=readable, writable=writable):
            rights = ALL_RIGHTS & ~(0 if readable else RIGHT_READ) & ~(0 if writable else RIGHT_WRITE)
            guest.write(at, FDSTAT.pack(FileType.REGULAR_FILE, flags, rights, 0))
        case OpenDirectory():
            guest.write(at, FDSTAT.pack(FileType.DIRECTORY, 0, ALL_RIGHTS, ALL_RIGHTS))
        case Stream():
            rights = ALL_RIGHTS & ~(RIGHT_READ | RIGHT_SEEK | RIGHT_TELL)
            guest.write(at, FDSTAT.pack(FileType.UNKNOWN, FLAG_APPEND, rights, 0))
        case Empty():
            guest.write(at, FDSTAT.pack(FileType.UNKNOWN, 0, RIGHT_READ, 0))


@HOST.call("fd_fdstat_set_flags", "ii")
def fd_fdstat_set_flags(run: RunState, guest: Guest, fd: int, flags: int) -> None:
    if flags & ~KNOWN_FLAGS:
        raise WasiError(Errno.INVAL)
    opened = run.descriptors.get(fd)
    if isinstance(opened, OpenFile):
        opened.flags = flags


@HOST.call("fd_fdstat_set_rights", "iII")
def fd_fdstat_set_rights(run: RunState, guest: Guest, fd: int, base: int, inheriting: int) -> None:
    """Rights can only shrink in WASI; a program that gives some up loses nothing here by keeping them."""
    run.descriptors.get(fd)


@HOST.call("fd_prestat_get", "ii")
def fd_prestat_get(run: RunState, guest: Guest, fd: int, at: int) -> None:
    _check_root(run, fd)
    guest.write(at, PRESTAT.pack(0, 1))


@HOST.call("fd_prestat_dir_name", "iii")
def fd_prestat_dir_name(run: RunState, guest: Guest, fd: int, at: int, size: int) -> None:
    _check_root(run, fd)
    if size < 1:
        raise WasiError(Errno.NAMETOOLONG)
    guest.write(at, b"/")


def _check_root(run: RunState, fd: int) -> None:
    opened = run.descriptors.get(fd)
    if fd != ROOT or not isinstance(opened, OpenDirectory) or opened.directory is not run.tree.root:
        raise WasiError(Errno.BADF)


@HOST.call("fd_readdir", "iiiIi")
def fd_readdir(run: RunState, guest: Guest, fd: int, at: int, size: int, cookie: int, used_at: int) -> None:
    """List a directory in the order of the names' bytes; a listing stays as it was when it was begun."""
    opened = run.descriptors.directory(fd)
    guest.check(at, size)
    if cookie == 0 or not opened.listing:
        opened.listing = _listing(run, opened.directory)
        guest.pay(32 * len(opened.listing))
    used = 0
    for number, (name, inode, kind) in enumerate(opened.listing[cookie:], cookie + 1):
        encoded = name.encode()
        record = (DIRENT.pack(number, inode, len(encoded), kind) + encoded)[: size - used]
        guest.pay(len(record))
        guest.write(at + used, record)
        used += len(record)
        if used == size:
            break
    guest.write_u32(used_at, used)


def _listing(run: RunState, directory: Directory) -> list[tuple[str, int, int]]:
    children = sorted(run.tree.children(directory).items(), key=lambda item: item[0].encode())
    parent = directory.parent or directory
    dots = [(".", directory.inode, int(FileType.DIRECTORY)), ("..", parent.inode, int(FileType.DIRECTORY))]
    return dots + [(name, node.inode, int(file_type(node))) for name, node in children]
