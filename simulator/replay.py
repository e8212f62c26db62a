"""Tell the story of one seed: ``python -m simulator.replay --seed 7``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from agents.effects import Consult, Effect, Publish, WakeAt
from agents.events import Decided, Event, Heard
from agents.reports import Report
from simulator import court
from simulator.ledger import Block
from simulator.run import Violation, run
from simulator.world import START, Peer, World


class Teller:
    """Prints what happens, one line an event, one an effect."""

    def __init__(self, only: str | None, *, gossip: bool) -> None:
        self.only = only
        self.gossip = gossip

    def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None:
        """Print an event and what came of it."""
        if isinstance(event, Heard) and not self.gossip:
            return
        self._say(world, peer, f"<- {show(event)}")
        for effect in effects:
            if self.gossip or not isinstance(effect, Publish | Consult | WakeAt):
                self._say(world, peer, f"   {show(effect)}")

    def mined(self, world: World, block: Block) -> None:
        """Print a block that holds something."""
        for transaction in block.taken:
            self._line(world, f"block {block.number}", f"{show(transaction.call)}")
        for transaction, reason in block.refused:
            self._line(world, f"block {block.number}", f"refused ({reason}): {show(transaction.call)}")

    def dropped(self, world: World, blocks: list[Block]) -> None:
        """Print a reorganisation."""
        self._line(world, "chain", f"reorganised: {len(blocks)} blocks dropped")

    def restored(self, world: World, peer: Peer) -> None:
        """Print a restart."""
        self._say(world, peer, "restarted")

    def told(self, world: World, peer: Peer, job: bytes, report: Report) -> None:
        """Effects are printed already."""

    def _say(self, world: World, peer: Peer, text: str) -> None:
        if self.only in (None, peer.name):
            self._line(world, peer.name, text)

    def _line(self, world: World, who: str, text: str) -> None:
        print(f"{world.now - START:9.3f}  {who:12} {text}")


def show(thing: Any) -> str:
    """A dataclass in a line: bytes as short hex, long parts left out."""
    if isinstance(thing, Decided):
        return f"Decided({type(thing.answer).__name__})"
    return _brief(thing, 0)


def _brief(value: Any, depth: int) -> str:
    if isinstance(value, bytes):
        return value.hex()[:8] or "-"
    if isinstance(value, tuple):
        return f"({', '.join(_brief(item, depth + 1) for item in value[:3])}{', …' if len(value) > 3 else ''})"
    names = getattr(type(value), "__dataclass_fields__", None)
    if names is None:
        return str(value)[:90]
    kind = type(value).__name__
    if depth > 1 or kind in ("Job", "Terms", "View", "Request"):
        pay = getattr(value, "pay", None)
        return kind if pay is None else f"{kind}(pay={pay})"
    if kind == "Deal":
        return f"Deal({value.terms.hex()[:8]}, pay={value.pay})"
    return f"{kind}({', '.join(_brief(getattr(value, name), depth + 1) for name in names)})"


def main() -> int:
    """Replay, and say at the end whether the rules held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--only", help="a peer's name")
    parser.add_argument("--gossip", action="store_true", help="with offers, timers and consultations")
    parser.add_argument("--restless", action="store_true", help="with crashes all the time")
    parser.add_argument("--court", action="store_true", help="a world of disputes")
    parser.add_argument("--busy-court", action="store_true", help="a world of very many disputes")
    options = parser.parse_args()
    teller = Teller(options.only, gossip=options.gossip)
    try:
        if options.court or options.busy_court:
            report = court.run(options.seed, busy=options.busy_court, traced=True, observers=(teller,))
        else:
            report = run(options.seed, restless=options.restless, traced=True, observers=(teller,))
    except Violation as violation:
        print(violation)
        return 1
    print(f"every rule held: {report.deals} deals, {report.events} events, digest {report.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
