"""Numbers and layouts of WASI preview 1 (wasi_snapshot_preview1.witx in WebAssembly/WASI)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final


class Errno(IntEnum):
    """What a host call returns."""

    SUCCESS = 0
    TOO_BIG = 1
    BADF = 8
    EXIST = 20
    FAULT = 21
    ILSEQ = 25
    INVAL = 28
    ISDIR = 31
    MFILE = 33
    NAMETOOLONG = 37
    NOENT = 44
    NOSYS = 52
    NOTDIR = 54
    NOTEMPTY = 55
    NOTSUP = 58
    ROFS = 69
    SPIPE = 70
    NOTCAPABLE = 76


class FileType(IntEnum):
    """What a descriptor or a directory entry is."""

    UNKNOWN = 0
    DIRECTORY = 3
    REGULAR_FILE = 4


class WasiError(Exception):
    """A host call that fails with ``errno``; the program sees it and goes on."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno


ALL_RIGHTS: Final = (1 << 29) - 1
RIGHT_READ: Final = 1 << 1
RIGHT_SEEK: Final = 1 << 2
RIGHT_TELL: Final = 1 << 5
RIGHT_WRITE: Final = 1 << 6

OPEN_CREATE: Final = 1
OPEN_DIRECTORY: Final = 2
OPEN_EXCLUSIVE: Final = 4
OPEN_TRUNCATE: Final = 8

FLAG_APPEND: Final = 1
KNOWN_FLAGS: Final = 0b11111

U32: Final = struct.Struct("<I")
U64: Final = struct.Struct("<Q")
FDSTAT: Final = struct.Struct("<BxHxxxxQQ")
FILESTAT: Final = struct.Struct("<QQBxxxxxxxQQQQQ")
DIRENT: Final = struct.Struct("<QQIBxxx")
PRESTAT: Final = struct.Struct("<BxxxI")
IOVEC: Final = struct.Struct("<II")
SUBSCRIPTION_BYTES: Final = 48
EVENT: Final = struct.Struct("<QHBxxxxxQHxxxxxx")
