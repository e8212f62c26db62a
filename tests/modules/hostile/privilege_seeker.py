"""Tries what only root, or another container's program, may do, and says what worked."""

import ctypes
import os
import pathlib
import socket
import time

libc = ctypes.CDLL(None, use_errno=True)


def must(code: int) -> None:
    if code < 0:
        raise OSError(ctypes.get_errno(), "refused")


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


TRIES = {
    "become root": lambda: os.setuid(0),
    "become another group": lambda: os.setgid(0),
    "mount": lambda: must(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "unshare the user": lambda: must(libc.unshare(0x10000000)),
    "make a device": lambda: os.mknod("/outputs/disk", 0o60666, os.makedev(254, 0)),
    "change the root": lambda: os.chroot("/tmp"),
    "load a key": lambda: must(libc.syscall(248, b"user", b"name", b"x", 1, -3)),
    "see the kernel's log": lambda: open("/dev/kmsg").close(),
    "write in the image": lambda: write("/x", "x"),
    "write in the inputs": lambda: write("/inputs/x", "x"),
    "change the script": lambda: write("/inputs/script", "x"),
    "set the kernel": lambda: write("/proc/sys/kernel/hostname", "x"),
    "press a magic key": lambda: write("/proc/sysrq-trigger", "h"),
    "leave the group": lambda: write("/sys/fs/cgroup/pids/cgroup.procs", "1"),
    "listen to packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "change the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, 0),
    "read the host's secrets": lambda: open("/proc/1/root/etc/shadow").close(),
    "read the host's processes": lambda: pathlib.Path("/proc/2/comm").read_text() == "kthreadd" and None,
    "find the engine": lambda: socket.socket(socket.AF_UNIX).connect("/var/run/docker.sock"),
    "run a program from /tmp": lambda: run_from_tmp(),
}


def run_from_tmp() -> None:
    pathlib.Path("/tmp/program").write_bytes(pathlib.Path("/bin/true").read_bytes())
    os.chmod("/tmp/program", 0o755)
    if os.spawnv(os.P_WAIT, "/tmp/program", ["program"]) != 0:
        raise OSError("refused")


for name, attempt in TRIES.items():
    try:
        attempt()
    except (OSError, PermissionError):
        pass
    else:
        print(f"WORKED: {name}")
print("tried", len(TRIES))
