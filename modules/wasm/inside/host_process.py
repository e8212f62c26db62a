"""Host calls about the process: arguments, clocks, random bytes, waiting, leaving."""

from __future__ import annotations

from typing import Final

from modules.wasm.inside.guest import Guest
from modules.wasm.inside.host_table import HostTable
from modules.wasm.inside.run_state import CLOCK_START, CLOCK_TICK, Exited, RunState
from modules.wasm.inside.wasi_types import EVENT, SUBSCRIPTION_BYTES, U32, Errno, WasiError

HOST: Final = HostTable()

_REALTIME: Final = 0
_LAST_CLOCK: Final = 3
_RANDOM_CHUNK: Final = 64 * 1024
_MAX_SUBSCRIPTIONS: Final = 1024
_ABSOLUTE: Final = 1
_ABORT: Final = 134


@HOST.call("args_sizes_get", "ii")
def args_sizes_get(run: RunState, guest: Guest, count_at: int, size_at: int) -> None:
    guest.write_u32(count_at, len(run.args))
    guest.write_u32(size_at, sum(len(each) + 1 for each in run.args))


@HOST.call("args_get", "ii")
def args_get(run: RunState, guest: Guest, pointers_at: int, bytes_at: int) -> None:
    guest.pay(sum(len(each) + 5 for each in run.args))
    for argument in run.args:
        guest.write_u32(pointers_at, bytes_at)
        guest.write(bytes_at, argument + b"\0")
        pointers_at, bytes_at = pointers_at + 4, bytes_at + len(argument) + 1


@HOST.call("environ_sizes_get", "ii")
def environ_sizes_get(run: RunState, guest: Guest, count_at: int, size_at: int) -> None:
    guest.write_u32(count_at, 0)
    guest.write_u32(size_at, 0)


@HOST.call("environ_get", "ii")
def environ_get(run: RunState, guest: Guest, pointers_at: int, bytes_at: int) -> None:
    """There is no environment: a program's arguments are all it is told."""


def _now(run: RunState, clock: int) -> int:
    if clock > _LAST_CLOCK:
        raise WasiError(Errno.INVAL)
    return run.elapsed + (CLOCK_START if clock == _REALTIME else 0)


@HOST.call("clock_res_get", "ii")
def clock_res_get(run: RunState, guest: Guest, clock: int, at: int) -> None:
    _now(run, clock)
    guest.write_u64(at, CLOCK_TICK)


@HOST.call("clock_time_get", "iIi")
def clock_time_get(run: RunState, guest: Guest, clock: int, precision: int, at: int) -> None:
    run.elapsed += CLOCK_TICK
    guest.write_u64(at, _now(run, clock) % 2**64)


@HOST.call("random_get", "ii")
def random_get(run: RunState, guest: Guest, at: int, size: int) -> None:
    guest.check(at, size)
    for start in range(0, size, _RANDOM_CHUNK):
        chunk = min(_RANDOM_CHUNK, size - start)
        guest.pay(chunk)
        guest.write(at + start, run.random.take(chunk))


@HOST.call("sched_yield", "")
def sched_yield(run: RunState, guest: Guest) -> None:
    run.elapsed += CLOCK_TICK


@HOST.call("poll_oneoff", "iiii")
def poll_oneoff(run: RunState, guest: Guest, in_at: int, out_at: int, count: int, events_at: int) -> None:
    """Files are always ready; when only clocks are awaited, virtual time jumps to the first that is due."""
    if not 0 < count <= _MAX_SUBSCRIPTIONS:
        raise WasiError(Errno.INVAL)
    guest.pay(count * SUBSCRIPTION_BYTES)
    raw = guest.read(in_at, count * SUBSCRIPTION_BYTES)
    run.elapsed += CLOCK_TICK
    ready: list[bytes] = []
    alarms: list[tuple[int, int]] = []
    for at in range(0, len(raw), SUBSCRIPTION_BYTES):
        userdata, kind = int.from_bytes(raw[at : at + 8], "little"), raw[at + 8]
        if kind == 0:
            clock = U32.unpack_from(raw, at + 16)[0]
            timeout = int.from_bytes(raw[at + 24 : at + 32], "little")
            absolute = int.from_bytes(raw[at + 40 : at + 42], "little") & _ABSOLUTE
            wait = max(0, timeout - _now(run, clock)) if absolute else timeout
            alarms.append((wait, userdata))
        elif kind in (1, 2):
            errno = Errno.SUCCESS
            try:
                run.descriptors.get(U32.unpack_from(raw, at + 16)[0])
            except WasiError as error:
                errno = error.errno
            ready.append(EVENT.pack(userdata, errno, kind, 1, 0))
        else:
            raise WasiError(Errno.INVAL)
    if not ready:
        # Capped, so that a wait for "never" can't push the clock past what a program can read.
        first = min(min(wait for wait, _ in alarms), 2**62)
        run.elapsed = min(run.elapsed + first, 2**62)
        ready = [EVENT.pack(userdata, 0, 0, 0, 0) for wait, userdata in alarms if wait <= first]
    guest.write(out_at, b"".join(ready))
    guest.write_u32(events_at, len(ready))


@HOST.call("proc_exit", "i", returns=False)
def proc_exit(run: RunState, guest: Guest, code: int) -> None:
    raise Exited(code)


@HOST.call("proc_raise", "i")
def proc_raise(run: RunState, guest: Guest, signal: int) -> None:
    raise Exited(_ABORT)


def _no_network(run: RunState, guest: Guest, *args: int) -> None:
    raise WasiError(Errno.NOSYS)


HOST.call("sock_accept", "iii")(_no_network)
HOST.call("sock_recv", "iiiiii")(_no_network)
HOST.call("sock_send", "iiiii")(_no_network)
HOST.call("sock_shutdown", "ii")(_no_network)
