"""Ten peers in processes of their own live through a bad day; at its end everybody hears everybody, and nothing grew.

``python tests/soak/soak.py --minutes 10 [--peers 10] [--seed 1]`` kills and restarts peers, cuts the network in two (by
network namespaces where it may, else by stopping a process for a while), and asks every peer each few seconds how much
it holds. It ends with status 1 and a reason if a peer ends by itself, is not heard by all others in time, or if memory,
open files or tasks of a peer that lived through the second half of the day grew.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[2])

import trio  # noqa: E402

TALK = "/lilypad/negotiate/1"
OFFERS = "/lilypad/1/resource-offers"
PORT = 4801
SAY_EVERY = 2.0
HEARD_WITHIN = 10.0
"""Seconds: the other peers must have been heard since then, long enough after the last trouble."""
CALM = 40.0
"""Seconds without trouble, and with everybody up, in which all must hear all: redials back off up to 10 s."""
STARTED_WITHIN = 180.0
"""Seconds in which a process that was started must say its first word; it loads much, and so may the machine."""
MOST_GROWTH = {"rss_mib": 12.0, "files": 8, "tasks": 24}
"""Between the middle and the end of the day, at equal peace; MiB, numbers."""


# -- one peer ------------------------------------------------------------------------------------------------------


async def live(number: int, place: str, known: list[str]) -> None:
    """One peer: says its number every few seconds, talks to whoever is there, and reports what it holds."""
    from p2p.events import Got, Heard
    from p2p.host import open_host
    from p2p.settings import Settings

    logging.basicConfig(level=logging.WARNING, format=f"peer {number - 1}: %(message)s")
    logging.getLogger("p2p").setLevel(logging.DEBUG)
    logging.getLogger("p2p").addFilter(lambda record: "points" in record.msg or "banned" in record.msg)
    heard: dict[int, float] = {}
    answers = 0
    async with open_host(
        number.to_bytes(32, "big"),
        listen=[place],
        protocols=[TALK],
        topics=[OFFERS],
        validate=lambda topic, data: len(data) > 8,
        bootstrap=known,
        settings=Settings(redial_most=10.0, announce_bytes=1000),
    ) as host:

        async def listen() -> None:
            nonlocal answers
            async for event in host.events:
                match event:
                    case Heard(_, data):
                        heard[int.from_bytes(data[:2], "big")] = time.monotonic()
                    case Got(peer, _, b"ask"):
                        nursery.start_soon(tell, peer.address, b"answer")
                    case Got():
                        answers += 1
                    case _:
                        pass

        async def tell(address: bytes, frame: bytes) -> None:
            with suppress(Exception):  # whoever it was may be dead by now, which is what this is about
                await host.send(address, TALK, frame)

        async def talk() -> None:
            while True:
                await trio.sleep(SAY_EVERY * (0.5 + random.random()))
                size = random.choice((100, 600, 3000))
                await host.publish(OFFERS, number.to_bytes(2, "big") + os.urandom(size))
                for peer in host.peers():
                    nursery.start_soon(tell, peer.address, b"ask")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            nursery.start_soon(talk)
            while True:
                await trio.sleep(1)
                now, numbers = time.monotonic(), host.statistics()
                report = {
                    "heard": sorted(each for each, at in heard.items() if now - at < HEARD_WITHIN),
                    "rss_mib": _rss_mib(),
                    "files": len(os.listdir("/proc/self/fd")),
                    "tasks": trio.lowlevel.current_statistics().tasks_living,
                    "peers": numbers.peers,
                    "faults": numbers.faults,
                    "bans": numbers.bans,
                    "answers": answers,
                }
                print(json.dumps(report), flush=True)


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


# -- the networks --------------------------------------------------------------------------------------------------


class Loopback:
    """Everybody on 127.0.0.1; a partition is a process that stands still."""

    def __init__(self, count: int) -> None:
        self.places = [f"/ip4/127.0.0.1/tcp/{PORT + number}" for number in range(count)]

    def command(self, number: int) -> list[str]:
        """What to start a peer with."""
        return []

    def part(self, peers: list[Peer]) -> None:
        """Cut these off."""
        for peer in peers:
            peer.process.send_signal(signal.SIGSTOP)

    def join(self, peers: list[Peer]) -> None:
        """And back."""
        for peer in peers:
            peer.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Leave nothing behind."""


class Namespaces:
    """A network namespace for each peer, and one for the bridge between them, where no firewall of this machine looks;
    a partition takes links off the bridge.
    """

    def __init__(self, count: int) -> None:
        self._name = f"lp{os.getpid() % 10000}"
        self._count = count
        self.places = [f"/ip4/10.213.7.{number + 1}/tcp/{PORT}" for number in range(count)]
        self._switch = f"{self._name}s"
        try:
            _ip("netns", "add", self._switch)
            _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
            _ip("-n", self._switch, "link", "set", "bridge", "up")
            for number in range(count):
                space, port = f"{self._name}n{number}", f"port{number}"
                _ip("netns", "add", space)
                _ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "net", "netns", space)
                _ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
                _ip("-n", space, "addr", "add", f"10.213.7.{number + 1}/24", "dev", "net")
                _ip("-n", space, "link", "set", "net", "up")
                _ip("-n", space, "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def command(self, number: int) -> list[str]:
        """What to start a peer with."""
        return ["ip", "netns", "exec", f"{self._name}n{number}"]

    def part(self, peers: list[Peer]) -> None:
        """Cut these off from everybody, each other too."""
        for peer in peers:
            _ip("-n", self._switch, "link", "set", f"port{peer.number}", "nomaster")

    def join(self, peers: list[Peer]) -> None:
        """And back."""
        for peer in peers:
            _ip("-n", self._switch, "link", "set", f"port{peer.number}", "master", "bridge")

    def close(self) -> None:
        """Leave nothing behind."""
        for space in (f"{self._name}s", *(f"{self._name}n{number}" for number in range(self._count))):
            with suppress(OSError, subprocess.CalledProcessError):
                _ip("netns", "del", space)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


# -- the day -------------------------------------------------------------------------------------------------------


@dataclass
class Peer:
    """One process and what it said."""

    number: int
    process: subprocess.Popen[str]
    born: float
    reports: list[dict[str, Any]] = field(default_factory=list)


class Day:
    """Starts, troubles and judges the peers."""

    def __init__(self, count: int, rng: random.Random, network: Loopback | Namespaces) -> None:
        self.rng = rng
        self.network = network
        self.peers = [self._start(number) for number in range(count)]
        self.troubles: dict[str, int] = defaultdict(int)
        self.problems: list[str] = []
        self.middle: dict[int, dict[str, Any]] = {}

    def _start(self, number: int) -> Peer:
        # a few know a few: the first three are where everybody begins
        known = [self.known(each) for each in range(3) if each != number]
        arguments = [str(number + 1), self.network.places[number], *known]
        process = subprocess.Popen(
            [*self.network.command(number), sys.executable, __file__, "--peer", *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        os.set_blocking(process.stdout.fileno(), False)  # type: ignore[union-attr]
        return Peer(number, process, time.monotonic())

    def known(self, number: int) -> str:
        """Where a peer lives, with its peer id."""
        from node.keys import Key

        return f"{self.network.places[number]}/p2p/{Key((number + 1).to_bytes(32, 'big')).peer_id}"

    def look(self) -> None:
        """Read what the peers said; one that ended by itself is a problem."""
        for peer in self.peers:
            while line := peer.process.stdout.readline():  # type: ignore[union-attr]
                with suppress(json.JSONDecodeError):
                    peer.reports = [*peer.reports[-5:], json.loads(line)]
            if peer.process.poll() is not None:
                self.problems.append(f"peer {peer.number} ended by itself with status {peer.process.returncode}")
                self.peers[peer.number] = self._start(peer.number)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.5)
            self.look()

    def trouble(self, mortal: int) -> None:
        """One bad thing; only the first ``mortal`` peers can die of it."""
        kind = self.rng.choice(("kill", "part", "restart"))
        choice = self.peers if kind == "part" else self.peers[:mortal]
        chosen = self.rng.sample(choice, self.rng.randint(1, max(1, len(choice) // 3)))
        match kind:
            case "kill":
                self.troubles["killed"] += len(chosen)
                for peer in chosen:
                    peer.process.kill()
                    peer.process.wait()
                time.sleep(self.rng.uniform(1, 5))
                for peer in chosen:
                    self.peers[peer.number] = self._start(peer.number)
            case "restart":
                self.troubles["restarted"] += len(chosen)
                for peer in chosen:
                    peer.process.terminate()
                    peer.process.wait()
                    self.peers[peer.number] = self._start(peer.number)
            case "part":
                self.troubles["parted"] += len(chosen)
                self.network.part(chosen)
                time.sleep(self.rng.uniform(3, 12))
                self.network.join(chosen)

    def all_hear_all(self, what: str) -> None:
        """Wait until everybody is up, then until they do, and say how long each took; or note who does not."""
        started = time.monotonic()
        while not all(peer.reports for peer in self.peers) and time.monotonic() < started + STARTED_WITHIN:
            self.wait(0.5)
        began, said = time.monotonic(), 0.0
        until = began + CALM
        everybody = {peer.number + 1 for peer in self.peers}
        while time.monotonic() < until:
            self.wait(1)
            deaf = {
                peer.number: everybody - {peer.number + 1} - set(peer.reports[-1]["heard"] if peer.reports else ())
                for peer in self.peers
            }
            if not any(deaf.values()):
                up, took = began - started, time.monotonic() - began
                print(f"{what}: everybody is up after {up:.0f} s, and all hear all {took:.0f} s later", flush=True)
                return
            if (passed := time.monotonic() - began) > said + 10:
                said = passed
                for number, who in deaf.items():
                    reports = self.peers[number].reports
                    state = f"{reports[-1]['peers']} peers" if reports else "has said nothing yet"
                    if who:
                        print(f"  after {passed:.0f} s peer {number} does not hear {sorted(who)}; {state}", flush=True)
        self.problems += [f"{what}: peer {number} does not hear {sorted(who)}" for number, who in deaf.items() if who]

    def compare(self) -> None:
        """Who lived since the middle of the day must not have grown."""
        for peer in self.peers:
            then = self.middle.get(peer.process.pid)
            if then is None or not peer.reports:
                continue
            now = peer.reports[-1]
            for what, most in MOST_GROWTH.items():
                # each connection brings tasks and a file: what matters is what is left for as many as before
                share = 1.0 if what == "rss_mib" else now["peers"] / max(1, then["peers"])
                if now[what] - then[what] * share > most:
                    self.problems.append(f"peer {peer.number}: {what} grew from {then[what]} to {now[what]}")
            if now["faults"] or now["bans"]:
                self.problems.append(f"peer {peer.number}: {now['faults']} faults, {now['bans']} bans")

    def end(self) -> None:
        """Stop whoever runs."""
        for peer in self.peers:
            peer.process.kill()
            peer.process.wait()


def live_through(minutes: float, count: int, seed: int) -> int:
    """The day; the exit status."""
    rng = random.Random(seed)
    network: Loopback | Namespaces
    try:
        network = Namespaces(count)
    except (OSError, subprocess.CalledProcessError):
        network = Loopback(count)
    began = time.monotonic()
    print(f"{count} peers, {minutes:g} minutes, seed {seed}, {type(network).__name__.lower()}", flush=True)
    with ExitStack() as stack:
        stack.callback(network.close)
        day = Day(count, rng, network)
        stack.callback(day.end)
        day.all_hear_all("at the beginning")
        # the second half spares half of the peers from death, so that growth can be seen
        halves = (began + minutes * 30, began + minutes * 60)
        for half, until in enumerate(halves):
            while time.monotonic() < until - CALM:
                day.trouble(count if half == 0 else count // 2)
                day.wait(rng.uniform(3, 8))
            day.all_hear_all(f"{time.monotonic() - began:.0f} s, after the last trouble")
            if half == 0:
                day.wait(max(0.0, until - time.monotonic()))
                day.middle = {peer.process.pid: peer.reports[-1] for peer in day.peers if peer.reports}
        day.wait(max(0.0, halves[1] - time.monotonic()))
        day.compare()
        for peer in day.peers:
            now, then = peer.reports[-1], day.middle.get(peer.process.pid)
            print(f"peer {peer.number}: now {_short(now)}; at half time {_short(then) if then else 'not born'}")
        print("troubles:", ", ".join(f"{count} {what}" for what, count in day.troubles.items()))
        for problem in day.problems:
            print("PROBLEM", problem)
        return 1 if day.problems else 0


def _short(report: dict[str, Any]) -> str:
    names = ("rss_mib", "files", "tasks", "peers", "faults", "bans", "answers")
    return ", ".join(f"{name} {report[name]}" for name in names)


def main() -> int:
    """Both sides of this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--peers", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer", nargs="+")
    given = parser.parse_args()
    if given.peer:
        number, place, *known = given.peer
        trio.run(live, int(number), place, known)
        return 0
    return live_through(given.minutes, given.peers, given.seed)


if __name__ == "__main__":
    sys.exit(main())
