"""The program's memory and fuel, as host calls touch them: every address is checked, every byte is paid for."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

from modules.wasm.inside.settings import BYTE_FUEL, CALL_FUEL
from modules.wasm.inside.wasi_types import IOVEC, U32, U64, Errno, WasiError

if TYPE_CHECKING:
    import wasmtime

MAX_IOVECS: Final = 1024


class OutOfFuel(Exception):
    """A host call costs more fuel than is left; ends the run as the engine itself would."""


class Guest:
    """One program during one host call."""

    __slots__ = ("_base", "_caller", "_size", "_store")

    def __init__(self, store: wasmtime.Store, caller: wasmtime.Caller) -> None:
        self._store = store
        self._caller = caller
        self._base: int | None = None
        self._size = 0

    def pay(self, count: int) -> None:
        """Burn fuel for moving ``count`` bytes, before they are moved."""
        self._burn(count * BYTE_FUEL)

    def pay_call(self) -> None:
        self._burn(CALL_FUEL)

    def _burn(self, fuel: int) -> None:
        left = self._store.get_fuel()
        self._store.set_fuel(max(0, left - fuel))
        if left < fuel:
            raise OutOfFuel

    def _address(self, pointer: int, size: int) -> int:
        if self._base is None:
            memory = self._caller.get("memory")
            if memory is None:
                raise WasiError(Errno.FAULT)
            self._size = memory.data_len(self._caller)
            self._base = ctypes.addressof(memory.data_ptr(self._caller).contents) if self._size else 0
        if pointer + size > self._size:
            raise WasiError(Errno.FAULT)
        return self._base + pointer

    def read(self, pointer: int, size: int) -> bytes:
        """Copy bytes out. ``pointer`` and ``size`` are not negative. Raises `WasiError` outside the memory."""
        return ctypes.string_at(self._address(pointer, size), size) if size else b""

    def write(self, pointer: int, data: bytes) -> None:
        """Copy bytes in."""
        if data:
            ctypes.memmove(self._address(pointer, len(data)), data, len(data))

    def check(self, pointer: int, size: int) -> None:
        """Raise unless these bytes can be written."""
        self._address(pointer, size)

    def write_u32(self, pointer: int, value: int) -> None:
        self.write(pointer, U32.pack(value & 0xFFFFFFFF))

    def write_u64(self, pointer: int, value: int) -> None:
        self.write(pointer, U64.pack(value))

    def text(self, pointer: int, size: int, at_most: int) -> str:
        """Read a path or a name."""
        if size > at_most:
            raise WasiError(Errno.NAMETOOLONG)
        self.pay(size)
        try:
            text = self.read(pointer, size).decode()
        except UnicodeDecodeError:
            raise WasiError(Errno.ILSEQ) from None
        if "\0" in text:
            raise WasiError(Errno.INVAL)
        return text

    def buffers(self, pointer: int, count: int) -> list[tuple[int, int]]:
        """Read a vector of (pointer, size); each lies within the memory."""
        if count > MAX_IOVECS:
            raise WasiError(Errno.INVAL)
        self.pay(count * IOVEC.size)
        found = list(IOVEC.iter_unpack(self.read(pointer, count * IOVEC.size)))
        for at, size in found:
            self._address(at, size)
        return found
