"""Docker engines of a test's own: their images, containers and settings are nobody else's."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modules.docker.images import BASE


@dataclass(frozen=True, slots=True)
class Daemon:
    """A Docker engine of a test's own."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/sock"

    def docker(self, *command: str) -> str:
        """What the docker command says about this engine."""
        return subprocess.run(
            ["docker", "-H", self.url, *command], check=True, capture_output=True, text=True
        ).stdout.strip()


@contextlib.contextmanager
def network() -> Iterator[str]:
    """A network namespace with nothing but ``lo``.

    A daemon without a bridge removes the one that it finds, which is that of the machine's own engine.
    """
    name = f"lilypad-test-{secrets.token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


@contextlib.contextmanager
def daemon(name: str, namespace: str, **more: object) -> Iterator[Daemon]:
    """Run one with its own images and containers, without a network, and end it with all that it made.

    ``more`` are settings of its ``daemon.json``, with ``_`` for ``-``.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"lilypad-test-{name}-", dir="/tmp"))
    token = secrets.token_hex(8)
    settings: dict[str, object] = {
        "bridge": "none",
        "no-new-privileges": True,
        "data-root": f"{folder}/data",
        "exec-root": f"{folder}/exec",
        "pidfile": f"{folder}/pid",
        "hosts": [f"unix://{folder}/sock"],
        "iptables": False,
        "ip-masq": False,
        # The machine's own engine may share a containerd with this one, but nothing in it.
        "containerd-namespace": f"test-{token}",
        "containerd-plugins-namespace": f"test-plugins-{token}",
        **{key.replace("_", "-"): value for key, value in more.items()},
    }
    (folder / "daemon.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{namespace}", "dockerd", "--config-file", str(folder / "daemon.json")],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    found = Daemon(folder, process)
    try:
        until = time.monotonic() + 90
        while True:
            try:
                found.docker("version", "--format", "{{.Server.Version}}")
                break
            except subprocess.CalledProcessError:
                ended = process.poll() is not None
                assert not ended, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < until, (folder / "log").read_text()[-2000:]
                time.sleep(0.3)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].startswith(str(folder)):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def give_base(*daemons: Daemon) -> None:
    """Give each the base image of the machine's own engine."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as image:
        subprocess.run(["docker", "save", "-o", image.name, BASE], check=True)
        for each in daemons:
            each.docker("load", "-q", "-i", image.name)
