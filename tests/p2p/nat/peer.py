"""One peer in a process of its own: ``peer.py SEED LISTEN [--relay PLACE] [--serve-relay] [--call PLACE]``.

Prints a JSON line a second: who it is, what it knows of how others reach it, whom it talks with and through what.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[3])

import trio  # noqa: E402

from p2p.errors import Unreachable  # noqa: E402
from p2p.events import Got, Heard  # noqa: E402
from p2p.host import Host, open_host  # noqa: E402
from p2p.settings import Settings  # noqa: E402

TALK = "/lilypad/negotiate/1"
OFFERS = "/lilypad/1/resource-offers"


async def live(given: argparse.Namespace) -> None:
    """Until it is killed."""
    settings = Settings(relays=tuple(given.relay), relay=given.serve_relay, dial_back_every=2.0, wanted_peers=0)
    answers: list[str] = []
    async with (
        open_host(
            given.seed.to_bytes(32, "big"),
            listen=[given.listen],
            protocols=[TALK],
            topics=[OFFERS],
            validate=lambda topic, data: True,
            settings=settings,
        ) as host,
        trio.open_nursery() as nursery,
    ):
        heard: dict[str, int] = {}

        async def listen() -> None:
            async for event in host.events:
                match event:
                    case Got(peer, _, frame) if frame.startswith(b"ask"):
                        with suppress(Unreachable):
                            await host.send(peer.address, TALK, frame.replace(b"ask", b"answer"))
                    case Got(_, _, frame):
                        answers.append(frame.decode())
                    case Heard(_, data):
                        heard[data.split()[0].decode()] = int(data.split()[1])

        async def call() -> None:
            peer = await host.connect(given.call)
            number = 0
            while True:
                with suppress(Unreachable):
                    await host.send(peer.address, TALK, b"ask %d" % number)
                number += 1
                await trio.sleep(0.5)

        nursery.start_soon(listen)
        if given.call:
            nursery.start_soon(call)
        number = 0
        while True:
            print(json.dumps(report(host, answers, heard)), flush=True)
            await host.publish(OFFERS, f"{host.peer_id} {number}".encode())
            number += 1
            await trio.sleep(0.5)


def report(host: Host, answers: list[str], heard: dict[str, int]) -> dict[str, object]:
    """What there is to say."""
    view = host.reachability()
    numbers = [int(answer.split()[1]) for answer in answers]
    return {
        "peer": host.peer_id,
        "addrs": host.addrs,
        "relayed": view.relayed,
        "seen_at": view.seen_at,
        "behind_router": view.behind_router,
        "dialable": view.dialable,
        "punched": view.punched,
        "punches_failed": view.punches_failed,
        "sentence": view.sentence(),
        "answers": len(answers),
        "in_order": numbers == sorted(set(numbers)),
        "heard": heard,
        "through": {
            peer.id: ["relay" if conn.muxed_conn.relay_ip else "direct" for conn in host.connections.to(peer.address)]
            for peer in host.peers()
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("listen")
    parser.add_argument("--relay", action="append", default=[])
    parser.add_argument("--serve-relay", action="store_true")
    parser.add_argument("--call", default="")
    trio.run(live, parser.parse_args())
