"""What strategic misuse gains, and what it costs the honest: the agents of `welfare.py`, some of them up to something.

A market of equally many jobs and machines is played to the end, deals, runs, pay and stakes included, once with honest
peers only and once for each kind of misuse with a tenth of the sellers (or of the buyers) given to it:

- *double bookers* sell their machine three times over and hope to be quick enough: n jobs at once take n times as long;
- *tyre kickers* are buyers beside the others that have machines held and never confirm;
- *price spammers* announce a tenth of their price, every second;
- *30 % markup*: sellers that never take less than 1.3 times their cost.

A gain is what a peer has in the vault in the end, plus what the results that it got are worth to it, less what its runs
cost it. Each row compares the same peers in the same market: the misusers with their honest selves, the others with
themselves in the honest market. One market is mostly luck (whatever one peer does differently, all that comes after it
is drawn anew), so a difference is printed with its standard error over the markets, and judged by both.

    python benchmarks/misuse.py [--markets 40] [--size 10] [--first 0] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from statistics import fmean, stdev

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agents.effects import Effect
from agents.events import Event, Ran
from agents.reports import Agreed, Ended
from agents.reports import Report as Told
from agents.request import Request
from agents.shop import Sheet, Shop
from benchmarks.welfare import FUNDS, Market
from protocol.identity import Address
from protocol.job import Capacity
from protocol.offers import ResourceOffer
from protocol.vault_state import State
from simulator.faults import Plan
from simulator.ledger import Block
from simulator.population import RULES, address, buyer, provider
from simulator.pretend import draw_job
from simulator.world import START, Peer, World

OWN = 0.3
"""How much a job cares about which machine it is."""
TIMEOUT = 300
"""Seconds that a job may take."""
DEADLINE = 90
"""Seconds that a job looks for a machine."""
END = 1500
"""Seconds until every stake is home."""
SHARE = 0.1
"""Of the sellers, or the buyers, that are up to something."""
KEEP = 0.95
SURE = 2.0
"""Standard errors beyond which a difference is none of chance."""
KINDS = ("double booker", "tyre kicker", "price spammer", "30 % markup")


class Accounts:
    """What each peer ran, and what it got for its money."""

    def __init__(self, market: Market, number: dict[Address, int]) -> None:
        self.market = market
        self.number = number
        self.spent: Counter[Address] = Counter()
        self.worth: Counter[Address] = Counter()
        self.provider: dict[bytes, Address] = {}
        self.ended: set[bytes] = set()
        self.deals = 0

    def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None:
        if isinstance(event, Ran) and peer.name.startswith("machine"):  # a buyer's own check has no price here
            self.spent[peer.address] += self.market.costs[self.number[peer.address]]

    def told(self, world: World, peer: Peer, job: bytes, report: Told) -> None:
        match report:
            case Agreed(provider=who):
                self.deals += 1
                self.provider[job] = who
            case Ended(run=run):
                self.ended.add(job)
                if run is not None:
                    machine = self.number[self.provider[job]]
                    self.worth[peer.address] += self.market.values[self.number[peer.address]][machine]

    def mined(self, world: World, block: Block) -> None: ...
    def dropped(self, world: World, blocks: list[Block]) -> None: ...
    def restored(self, world: World, peer: Peer) -> None: ...

    def gain(self, world: World, who: Address) -> int:
        """Base units."""
        return world.ledger.vault.account(who).balance - FUNDS + self.worth[who] - self.spent[who]


@dataclass(frozen=True, slots=True)
class Played:
    """Everybody's gain, by name."""

    gains: dict[str, int]
    deals: int


def play(seed: int, size: int, kind: str, share: float = SHARE) -> Played:
    """One market to its end; ``kind`` is what the first sellers or buyers are up to, or ``honest``."""
    rng = Random(f"misuse {seed}")
    few = max(1, round(size * share))
    market = Market.draw(seed, size, size, OWN)
    number: dict[Address, int] = {}
    peers: list[Peer] = []
    for machine in range(size):
        name = f"machine {machine}"
        number[address(name)] = machine
        cost = market.costs[machine]
        floor = cost * 13 // 10 if kind == "30 % markup" and machine < few else cost
        shop = Shop(Capacity(1000, 4096, 4096, 3600), ("wasm",), ("sandboxed_wasm",), (Sheet("*", floor, floor),))
        bad = kind in ("double booker", "price spammer") and machine < few
        peers.append(provider(name, machine, shop, kind=kind if bad else "honest"))
    sellers = dict(number)
    names = [f"buyer {job}" for job in range(size)]
    if kind == "tyre kicker":
        names += [f"kicker {job}" for job in range(few)]
    wanted = []
    for job, name in enumerate(names):
        row = market.values[job % size]
        number[address(name)] = job % size

        def worth(_: Request, offer: ResourceOffer, row: tuple[int, ...] = row) -> int:
            return row[sellers[offer.provider]]

        made = buyer(name, job, kind="tyre kicker" if name.startswith("kicker") else "honest", appraise=worth)
        peers.append(made)
        wanted.append((made, START + 2.0 + rng.random()))
    accounts = Accounts(market, number)
    world = World(seed, RULES, peers, Plan(), wire=False, observers=(accounts,))
    for peer in peers:
        world.ledger.deposit(peer.address, FUNDS)
    for peer, moment in wanted:
        drawn = draw_job(rng)
        needs = replace(drawn.resources, cpu_millis=1000, gpus=0, timeout=TIMEOUT)
        request = Request(
            id=rng.randbytes(16),
            job=replace(drawn, resources=needs),
            most_pay=FUNDS // 2,
            at_market=False,
            check_ppm=0,
            mediators=(),
            deadline=int(moment) + DEADLINE,
            strategy="",
        )
        world.request(moment, peer, request)

    def over() -> bool:
        closed = all(state.state is State.CLOSED for state in world.ledger.confirmed.deals.values())
        return len(accounts.ended) == len(wanted) and closed

    world.run(START + END, over)
    return Played({peer.name: accounts.gain(world, peer.address) for peer in peers}, accounts.deals)


def misusers(kind: str, size: int, share: float = SHARE) -> frozenset[str]:
    """Their names."""
    few = max(1, round(size * share))
    return frozenset(f"{'kicker' if kind == 'tyre kicker' else 'machine'} {i}" for i in range(few))


@dataclass(frozen=True, slots=True)
class Row:
    """What a kind of misuse gains each of its peers, base units, and what the others keep."""

    gain: float
    gain_if_honest: float
    error: float
    """Standard error of the difference."""
    others_keep: float
    deals: float

    @property
    def verdict(self) -> str:
        """Whether the misuse pays, as far as so many markets can tell."""
        if self.others_keep < KEEP:
            return "MISSED: the others lose"
        more = self.gain - self.gain_if_honest
        if more <= 0:
            return "ok"
        return "MISSED: it pays" if more > SURE * self.error else "ok (chance)"


def row(kind: str, size: int, honest: list[Played], played: list[Played], share: float = SHARE) -> Row:
    """Compare each market with its honest self."""
    bad = misusers(kind, size, share)
    own, before, others, others_before = [], [], 0, 0
    for then, now in zip(honest, played, strict=True):
        own.append(fmean(now.gains[name] for name in bad))
        before.append(fmean(then.gains.get(name, 0) for name in bad))
        others += sum(gain for name, gain in now.gains.items() if name not in bad)
        others_before += sum(gain for name, gain in then.gains.items() if name not in bad)
    more = [now - then for now, then in zip(own, before, strict=True)]
    error = stdev(more) / len(more) ** 0.5 if len(more) > 1 else float("inf")
    return Row(fmean(own), fmean(before), error, others / others_before, fmean(it.deals for it in played))


def main() -> int:
    """Print the table; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--markets", type=int, default=40)
    parser.add_argument("--size", type=int, default=10, help="jobs, and machines")
    parser.add_argument("--first", type=int, default=0, help="seed of the first market")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--json", type=Path)
    wish = parser.parse_args()
    seeds = range(wish.first, wish.first + wish.markets)
    honest = [play(seed, wish.size, "honest") for seed in seeds]
    deals = fmean(it.deals for it in honest)
    print(f"{wish.markets} markets of {wish.size} x {wish.size}; {deals:.1f} deals when all are honest")
    print(
        f"{'misuse':16}{'gain each':>12}{'if honest':>12}{'difference':>22}{'the others keep':>18}{'deals':>8}",
        flush=True,
    )
    rows = {}
    missed = 0
    for kind in wish.kinds.split(","):
        rows[kind] = found = row(kind, wish.size, honest, [play(seed, wish.size, kind) for seed in seeds])
        missed += found.verdict.startswith("MISSED")
        print(
            f"{kind:16}{found.gain:12,.0f}{found.gain_if_honest:12,.0f}"
            f"{found.gain - found.gain_if_honest:+13,.0f} ± {found.error:<6,.0f}{found.others_keep:18.3f}"
            f"{found.deals:8.1f}  {found.verdict}",
            flush=True,
        )
    print(
        f"goals: no misuse pays (beyond {SURE:.0f} standard errors), and the others keep {KEEP} of their gains together"
    )
    if wish.json:
        wish.json.write_text(json.dumps({kind: asdict(found) for kind, found in rows.items()}, indent=2))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
