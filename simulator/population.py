"""Who lives in a simulated world: buyers, providers and mediators with drawn prices and machines, and their jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from random import Random

from agents.dishonest.accuser import Accuser
from agents.dishonest.agreer import Agreer
from agents.dishonest.colluder import Colluder
from agents.dishonest.copier import Copier
from agents.dishonest.defaulter import Defaulter
from agents.dishonest.double_booker import DoubleBooker
from agents.dishonest.guesser import Guesser
from agents.dishonest.liar import Liar
from agents.dishonest.phantom import Phantom
from agents.dishonest.price_spammer import PriceSpammer
from agents.dishonest.sleeper import Sleeper
from agents.dishonest.tyre_kicker import TyreKicker
from agents.dishonest.vanisher import Vanisher
from agents.dishonest.withholder import Withholder
from agents.job_creator import JobCreator, most_pay
from agents.mediator import Bench, Mediator
from agents.preferences import Issue, Wish
from agents.provider import Provider
from agents.request import Request
from agents.shop import Sheet, Shop
from agents.shortlist import Appraise
from agents.strategies.built_in import BUILT_IN, DEFAULT
from protocol.eip712 import Domain
from protocol.identity import Address
from protocol.job import Capacity
from protocol.prices import PARTS
from protocol.rules import Rules
from simulator.faults import EXACT, Clock
from simulator.pretend import draw_job
from simulator.world import Agent, Peer

RULES = Rules(
    domain=Domain(1337, Address(b"\x77" * 20)),
    transfer=30,
    grace=40,  # a claim that a reorganisation drops must still be in time when it is mined again
    answer=60,
    judge=90,
    claim=120,
    check_fee=7,
    fee=11,
    juror_stake=1000,
)
"""The network of the simulations: shorter windows than the default, so that ten minutes show whole lives."""
FUNDS = 10_000_000
STAKE = 100_000
"""What a mediator joins with: enough for many votes at a time."""
APPEALING = replace(RULES, appeal=60)
"""The same network where rulings can be appealed."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many of each."""

    buyers: int
    providers: int
    mediators: int
    jobs: int
    dishonest: int = 0
    """How many of the providers."""


def address(name: str) -> Address:
    """A made-up address."""
    return Address(blake2b(name.encode(), digest_size=20).digest())


def buyer(
    name: str,
    number: int,
    strategy: str = DEFAULT,
    clock: Clock = EXACT,
    kind: str = "honest",
    rules: Rules = RULES,
    appraise: Appraise = most_pay,
) -> Peer:
    """A job creator; kinds other than honest are in `agents.dishonest`."""
    who = address(name)
    honest = partial(JobCreator, who, rules, appraise=appraise)
    makers: dict[str, Callable[[Random], Agent]] = {
        "honest": honest,
        "accuser": lambda rng: Accuser(honest(rng)),
        "defaulter": lambda rng: Defaulter(honest(rng)),
        "tyre kicker": lambda rng: TyreKicker(honest(rng)),
        "withholder": lambda rng: Withholder(honest(rng), frozenset({0})),
        "turncoat": lambda rng: Withholder(honest(rng), frozenset({1})),
    }
    strategy_of, port = BUILT_IN[strategy](), 4000 + number
    return Peer(who, name, makers[kind], strategy_of, port, clock, honest=kind == "honest", kind=kind)


def provider(
    name: str,
    number: int,
    shop: Shop,
    strategy: str = DEFAULT,
    clock: Clock = EXACT,
    kind: str = "honest",
    rules: Rules = RULES,
) -> Peer:
    """A resource provider; kinds other than honest are in `agents.dishonest`."""
    who = address(name)
    honest = partial(Provider, who, rules, shop)
    makers: dict[str, Callable[[Random], Agent]] = {
        "honest": honest,
        "liar": lambda rng: Liar(honest(rng)),
        "phantom": lambda rng: Phantom(honest(rng), runs=False),
        "hoarder": lambda rng: Phantom(honest(rng), runs=True),
        "accomplice": lambda rng: Withholder(Liar(honest(rng)), frozenset({0, 1})),
        "vanisher": lambda rng: Vanisher(honest(rng)),
        "price spammer": lambda rng: PriceSpammer(honest(rng)),
        "double booker": lambda rng: DoubleBooker([honest(Random(rng.random())) for _ in range(3)]),
    }
    return Peer(who, name, makers[kind], BUILT_IN[strategy](), 5000 + number, clock, honest=kind == "honest", kind=kind)


def mediator(
    name: str,
    number: int,
    clock: Clock = EXACT,
    kind: str = "honest",
    friends: frozenset[Address] = frozenset(),
    rules: Rules = RULES,
) -> Peer:
    """A mediator that can re-run everything; kinds other than honest are in `agents.dishonest`."""
    who = address(name)
    capacity = Capacity(64_000, 65_536, 65_536, 3600)
    honest = partial(Mediator, who, rules, Bench(capacity, ("wasm",), rules.check_fee, stake=STAKE))
    makers: dict[str, Callable[[Random], Agent]] = {
        "honest": honest,
        "copier": lambda rng: Copier(honest(rng)),
        "guesser": lambda rng: Guesser(honest(rng)),
        "sleeper": lambda rng: Sleeper(honest(rng)),
        "agreer": lambda rng: Agreer(honest(rng)),
        "colluder": lambda rng: Colluder(honest(rng), friends),
        "framer": lambda rng: Colluder(honest(rng), None, forge=lambda deal: "not-what-you-said"),
    }
    return Peer(who, name, makers[kind], BUILT_IN[DEFAULT](), 6000 + number, clock, honest=kind == "honest", kind=kind)


UNIT_FLOORS = (("gigafuel", 2, 20), ("second", 5, 40), ("gib", 800, 8000))
"""Units other than the job, and the range of the least that one costs: about what a job costs at its limits."""


def draw_shop(rng: Random) -> Shop:
    """A machine and its prices."""
    floor = rng.randint(50, 800)
    sheets = [Sheet("*", floor, floor * rng.choice((1, 2, 3)))]
    for unit, cheap, dear in UNIT_FLOORS:
        if rng.random() < 0.3:
            low = rng.randint(cheap, dear)
            sheets.append(Sheet("*", low, low * rng.choice((1, 2, 3)), unit))
    cores = rng.choice((1000, 2000, 4000))
    # some would rather not pay for checks, for so much less of a price; others hold to the rules
    wishes = (Wish(Issue.PAYER, 100, 0, rng.randint(0, 5)),) if rng.random() < 0.5 else ()
    return Shop(Capacity(cores, 4096, 4096, 3600), ("wasm",), ("sandboxed_wasm",), tuple(sheets), wishes=wishes)


def draw_peers(rng: Random, size: Size) -> list[Peer]:
    """A market of this size."""

    def clock() -> Clock:
        return Clock(rng.uniform(-1.0, 1.0), rng.uniform(-1e-3, 1e-3)) if rng.random() < 0.8 else Clock()

    names = list(BUILT_IN)
    peers = [buyer(f"buyer {i}", i, rng.choice(names), clock()) for i in range(size.buyers)]
    for i in range(size.providers):
        kind = rng.choice(("liar", "vanisher", "double booker", "phantom")) if i < size.dishonest else "honest"
        peers.append(provider(f"provider {i}", i, draw_shop(rng), rng.choice(names), clock(), kind))
    peers += [mediator(f"mediator {i}", i, clock()) for i in range(size.mediators)]
    return peers


def draw_request(rng: Random, now: float, check_ppm: int | None = None) -> Request:
    """A job somebody wants; the share of checks is drawn unless it is given."""
    drawn = rng.choice((0, 100_000, 1_000_000)) if check_ppm is None else check_ppm
    return Request(
        id=rng.randbytes(16),
        job=draw_job(rng),
        most_pay=rng.randint(100, 2000),
        at_market=rng.random() < 0.3,
        check_ppm=drawn,
        mediators=(),
        deadline=int(now) + rng.randint(60, 200),
        strategy=DEFAULT,
    )


def vary(rng: Random, request: Request) -> Request:
    """The same by whatever unit of price its module allows, with or without time for a fallback."""
    units = tuple(rng.sample(tuple(PARTS), rng.randint(1, len(PARTS))))
    wishes = (Wish(Issue.PAYER, 0, 100, rng.randint(2, 9)),) if rng.random() < 0.5 else ()
    return replace(request, units=units, patience=rng.choice((0, 30)), wishes=wishes)
