"""Host calls on paths: open, make, rename, remove, describe."""

from __future__ import annotations

from typing import Final

from modules.wasm.inside.descriptors import OpenDirectory, OpenFile
from modules.wasm.inside.guest import Guest
from modules.wasm.inside.host_files import filestat, resize
from modules.wasm.inside.host_table import HostTable
from modules.wasm.inside.run_state import RunState
from modules.wasm.inside.tree import MAX_PATH_BYTES, Directory, InputFile, OutputFile
from modules.wasm.inside.wasi_types import (
    KNOWN_FLAGS,
    OPEN_CREATE,
    OPEN_DIRECTORY,
    OPEN_EXCLUSIVE,
    OPEN_TRUNCATE,
    RIGHT_READ,
    RIGHT_WRITE,
    Errno,
    WasiError,
)

HOST: Final = HostTable()


def _path(guest: Guest, at: int, size: int) -> str:
    return guest.text(at, size, MAX_PATH_BYTES)


@HOST.call("path_open", "iiiiiIIii")
def path_open(
    run: RunState,
    guest: Guest,
    fd: int,
    lookup: int,
    path_at: int,
    path_size: int,
    how: int,
    rights: int,
    inheriting: int,
    flags: int,
    opened_at: int,
) -> None:
    base = run.descriptors.directory(fd).directory
    path = _path(guest, path_at, path_size)
    guest.check(opened_at, 4)
    run.descriptors.check_room()
    if flags & ~KNOWN_FLAGS or (how & OPEN_CREATE and how & OPEN_DIRECTORY):
        raise WasiError(Errno.INVAL)
    try:
        node = run.tree.find(base, path)
    except WasiError as error:
        if error.errno is not Errno.NOENT or not how & OPEN_CREATE:
            raise
        node = run.tree.make_file(base, path)
    else:
        if how & OPEN_CREATE and how & OPEN_EXCLUSIVE:
            raise WasiError(Errno.EXIST)
    writable = bool(rights & RIGHT_WRITE)
    match node:
        case Directory():
            if how & OPEN_TRUNCATE or writable:
                raise WasiError(Errno.ISDIR)
            number = run.descriptors.add(OpenDirectory(node))
        case InputFile() | OutputFile():
            if how & OPEN_DIRECTORY:
                raise WasiError(Errno.NOTDIR)
            if isinstance(node, InputFile) and (writable or how & OPEN_TRUNCATE):
                raise WasiError(Errno.ROFS)
            readable = bool(rights & RIGHT_READ)
            opened = OpenFile(node, node.open(), readable=readable, writable=writable, flags=flags)
            if isinstance(node, OutputFile):
                node.users += 1
            number = run.descriptors.add(opened)
            if how & OPEN_TRUNCATE:
                resize(run, OpenFile(node, opened.host, readable=False, writable=True), 0)
    guest.write_u32(opened_at, number)


@HOST.call("path_create_directory", "iii")
def path_create_directory(run: RunState, guest: Guest, fd: int, path_at: int, path_size: int) -> None:
    run.tree.make_directory(run.descriptors.directory(fd).directory, _path(guest, path_at, path_size))


@HOST.call("path_remove_directory", "iii")
def path_remove_directory(run: RunState, guest: Guest, fd: int, path_at: int, path_size: int) -> None:
    run.tree.remove_directory(run.descriptors.directory(fd).directory, _path(guest, path_at, path_size))


@HOST.call("path_unlink_file", "iii")
def path_unlink_file(run: RunState, guest: Guest, fd: int, path_at: int, path_size: int) -> None:
    run.tree.remove_file(run.descriptors.directory(fd).directory, _path(guest, path_at, path_size))


@HOST.call("path_rename", "iiiiii")
def path_rename(
    run: RunState, guest: Guest, fd: int, path_at: int, path_size: int, to: int, new_at: int, new_size: int
) -> None:
    base, new_base = run.descriptors.directory(fd).directory, run.descriptors.directory(to).directory
    run.tree.rename(base, _path(guest, path_at, path_size), new_base, _path(guest, new_at, new_size))


@HOST.call("path_filestat_get", "iiiii")
def path_filestat_get(run: RunState, guest: Guest, fd: int, lookup: int, path_at: int, path_size: int, at: int) -> None:
    node = run.tree.find(run.descriptors.directory(fd).directory, _path(guest, path_at, path_size))
    guest.write(at, filestat(node))


@HOST.call("path_filestat_set_times", "iiiiIIi")
def path_filestat_set_times(
    run: RunState,
    guest: Guest,
    fd: int,
    lookup: int,
    path_at: int,
    path_size: int,
    accessed: int,
    modified: int,
    flags: int,
) -> None:
    """Accepted and forgotten, as on descriptors."""
    run.tree.find(run.descriptors.directory(fd).directory, _path(guest, path_at, path_size))


@HOST.call("path_readlink", "iiiiii")
def path_readlink(
    run: RunState, guest: Guest, fd: int, path_at: int, path_size: int, at: int, size: int, used_at: int
) -> None:
    """There are no links, so whatever exists is not one."""
    run.tree.find(run.descriptors.directory(fd).directory, _path(guest, path_at, path_size))
    raise WasiError(Errno.INVAL)


def _no_links(run: RunState, guest: Guest, *args: int) -> None:
    raise WasiError(Errno.NOTSUP)


HOST.call("path_link", "iiiiiii")(_no_links)
HOST.call("path_symlink", "iiiii")(_no_links)
