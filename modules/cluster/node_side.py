"""Runs one container on a machine of a batch system, and tells how it ended; needs Python there and nothing else.

It is copied into the job's folder, which all machines share, and started as ``python3 node_side.py FOLDER``. It talks
to the Docker engine of that machine over its socket (Docker Engine API, version 1.41): the body of the container comes
from ``container.json``, both streams go to ``outbox``, the ending to ``ending.json``. A signal ends the container.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

SOCKET = "/var/run/docker.sock"
VERSION = "/v1.41"
NAMES = {1: "stdout", 2: "stderr"}


class EngineConnection(http.client.HTTPConnection):
    """HTTP over the engine's socket."""

    def __init__(self, path: str) -> None:
        super().__init__("engine")
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Refused(Exception):
    """The engine's own words for why it does not do something."""


class Box:
    """One container."""

    def __init__(self, wish: dict[str, Any], outbox: Path) -> None:
        self.wish = wish
        self.name: str = wish["name"]
        self.outbox = outbox
        self.broken = ""
        """The limit that it broke: ``time`` or ``output``."""

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """One call to the engine. Raises `Refused`."""
        answer = self._open(method, path, body)
        data = answer.read()
        return json.loads(data) if data else None

    def run(self) -> dict[str, Any]:
        """From the creation to the ending; the container is gone afterwards."""
        try:
            self.ask("POST", f"/containers/create?name={self.name}", self.wish["body"])
            reader = threading.Thread(target=self._read, args=(self._attach(),), daemon=True)
            reader.start()
            self.ask("POST", f"/containers/{self.name}/start")
            timer = threading.Timer(self.wish["seconds"], self._break, ("time",))
            timer.daemon = True
            timer.start()
            code = self.ask("POST", f"/containers/{self.name}/wait")["StatusCode"]
            timer.cancel()
            reader.join(10)
            state = self.ask("GET", f"/containers/{self.name}/json")["State"]
            return {"code": code, "state": state, "broken": self.broken}
        except Refused as fault:
            return {"code": 0, "state": {}, "broken": self.broken, "refused": str(fault)}
        finally:
            self.remove()

    def remove(self) -> None:
        """End and remove it, whatever it does."""
        try:
            self.ask("DELETE", f"/containers/{self.name}?force=1&v=1")
        except (Refused, OSError):
            return

    def _break(self, limit: str) -> None:
        self.broken = self.broken or limit
        try:
            self.ask("POST", f"/containers/{self.name}/kill")
        except (Refused, OSError):
            return

    def _open(self, method: str, path: str, body: object = None) -> http.client.HTTPResponse:
        connection = EngineConnection(self.wish["socket"])
        headers = {"Content-Type": "application/json"}
        try:
            connection.request(method, VERSION + path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
        except OSError as error:
            raise Refused(f"no Docker engine answers at {self.wish['socket']}: {error}") from None
        if answer.status >= 400:
            raise Refused(answer.read(1000).decode(errors="replace"))
        return answer

    def _attach(self) -> http.client.HTTPResponse:
        return self._open("POST", f"/containers/{self.name}/attach?stream=1&stdout=1&stderr=1")

    def _read(self, answer: http.client.HTTPResponse) -> None:
        """Write both streams down, up to their limit: frames of a type, three zeros, a length of four bytes."""
        left = dict.fromkeys(NAMES.values(), self.wish["stream_bytes"])
        files = {name: open(self.outbox / name, "wb", buffering=0) for name in NAMES.values()}  # noqa: SIM115
        while len(head := answer.read(8)) == 8:
            data = answer.read(int.from_bytes(head[4:], "big"))
            name = NAMES.get(head[0], "stdout")
            if left[name] >= 0:
                files[name].write(data[: left[name]])
                left[name] -= len(data)
                if left[name] < 0:
                    # Beside the reading: the engine ends a container only once somebody takes what it still says.
                    threading.Thread(target=self._break, args=("output",), daemon=True).start()
        for file in files.values():
            file.close()


def main() -> None:
    """Read the wish, run it, write the ending; the last in one step, since others wait for it."""
    folder = Path(sys.argv[1])
    wish = json.loads((folder / "container.json").read_text())
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if wish["gpus"]:
        requests = [{"Driver": "", "DeviceIDs": given.split(","), "Capabilities": [["gpu"]]}]
        wish["body"]["HostConfig"]["DeviceRequests"] = requests
    box = Box(wish, folder / "outbox")

    def leave(_signal: int, _frame: object) -> None:
        box.remove()
        os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, leave)
    began = time.time()
    ending = {**box.run(), "began": began, "host": socket.gethostname()}
    (folder / "ending.part").write_text(json.dumps(ending))
    (folder / "ending.part").rename(folder / "ending.json")


if __name__ == "__main__":
    main()
