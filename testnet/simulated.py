"""The same scenario in virtual time: the same peers, cheats, jobs and faults, and a report of the same shape.

What the simulator has no notion of is said in the report's ``notes``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from agents.dishonest.copier import Copier
from agents.dishonest.double_booker import DoubleBooker
from agents.dishonest.late import Late
from agents.dishonest.liar import Liar
from agents.effects import Effect
from agents.events import Event
from agents.job_creator import JobCreator
from agents.mediator import Bench, Mediator
from agents.provider import Provider
from agents.reports import Agreed, Arrived, Checked, Ended, Held, InVault, Report, Tendering
from agents.request import Request
from agents.shop import Sheet, Shop
from agents.strategies.built_in import BUILT_IN, DEFAULT
from protocol.eip712 import Domain
from protocol.identity import Address
from protocol.job import Capacity, Job, Resources
from protocol.rules import Rules
from simulator.faults import Chain, Crash, Cut, Links, Plan
from simulator.ledger import Block
from simulator.population import address
from simulator.world import START, Agent, Peer, World
from testnet.faults import Delay, Fault, Jump, Kill, Loss, Partition, Pause, Reorg, parse_words
from testnet.layout import DEPOSIT, JOB_MEMORY_MIB, STAKE
from testnet.plan import SLOTS, Member
from testnet.plan import Plan as Testnet
from testnet.report import PHASES, percentile
from testnet.welfare import Wanted, welfare

FOREVER = 3600.0
"""Seconds after which a fault without an end is over, and everything else too."""
JOB_SECONDS = 5
_ENDS = {
    "discover": Tendering,
    "negotiate": Agreed,
    "guarantee": InVault,
    "execute": Arrived,
    "fetch": Held,
    "verify": Checked,
    "settle": Ended,
}
"""Each phase and the report that ends it; it began when the phase before it ended."""


class Notes:
    """Watches a world, and keeps what a report tells of it."""

    def __init__(self) -> None:
        self.moments: dict[bytes, dict[type, float]] = {}
        self.ended: dict[bytes, Ended] = {}
        self.providers: dict[bytes, Address] = {}
        self.deals = 0

    def told(self, world: World, peer: Peer, job: bytes, report: Report) -> None:
        """An agent reports."""
        self.moments.setdefault(job, {})[type(report)] = world.now
        if isinstance(report, Agreed):
            self.providers[job] = report.provider
            self.deals += 1
        if isinstance(report, Ended):
            self.ended.setdefault(job, report)

    def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None:
        """Messages are counted by the world."""

    def mined(self, world: World, block: Block) -> None:
        """Nothing to note."""

    def dropped(self, world: World, blocks: list[Block]) -> None:
        """Nothing to note."""

    def restored(self, world: World, peer: Peer) -> None:
        """Nothing to note."""


def simulate(testnet: Testnet) -> dict[str, Any]:
    """Play it; the same testnet gives the same report."""
    scenario = testnet.scenario
    rules = Rules(Domain(testnet.chain_id, Address(b"\x77" * 20)), **scenario["rules"])
    peers = [
        _peer(member, rules, scenario["peers"]["strategy"], number) for number, member in enumerate(testnet.members)
    ]
    by_name = {peer.name: peer for peer in peers}
    faults = [(float(entry["at"]), parse_words(entry["fault"])) for entry in scenario["faults"]]
    plan, notes = _plan(by_name, faults)
    watcher, load = Notes(), scenario["load"]
    world = World(load["seed"], rules, peers, plan, wire=False, observers=(watcher,))
    for peer in peers:
        world.ledger.deposit(peer.address, DEPOSIT)
    rng, worths, asked = Random(f"load {load['seed']}"), {}, {}
    clients = testnet.of("client")
    for number in range(load["jobs"]):
        worth = rng.randint(*load["worth"])
        moment = START + 5.0 + number / load["rate"]
        request = _request(number, worth, moment, load["check"])
        worths[request.id], asked[request.id] = worth, moment
        world.request(moment, by_name[clients[number % len(clients)].name], request)
    last = max(asked.values())
    world.run(last + FOREVER, lambda: len(watcher.ended) == len(asked) and world.now > last)
    return _report(testnet, world, watcher, worths, asked, notes)


def _peer(member: Member, rules: Rules, strategy: str, number: int) -> Peer:
    who = address(member.name)
    haggles = BUILT_IN[strategy if strategy in BUILT_IN else DEFAULT]()
    if member.role == "client":
        return Peer(who, member.name, partial(JobCreator, who, rules), haggles, 4000 + number)
    capacity = Capacity(SLOTS * 1000, SLOTS * JOB_MEMORY_MIB, 2048, 600)
    if member.role == "mediator":
        honest_judge = partial(Mediator, who, rules, Bench(capacity, ("wasm",), rules.check_fee, stake=STAKE))
        judges: dict[str, Callable[[Random], Agent]] = {
            "honest": honest_judge,
            "copier": lambda rng: Copier(honest_judge(rng)),
        }
        return Peer(
            who, member.name, judges[member.kind], haggles, 6000 + number, honest=member.honest, kind=member.kind
        )
    shop = Shop(capacity, ("wasm",), ("sandboxed_wasm",), (Sheet("*", member.floor, 2 * member.floor),))
    honest = partial(Provider, who, rules, shop)
    makers: dict[str, Callable[[Random], Agent]] = {
        "honest": honest,
        "liar": lambda rng: Liar(honest(rng)),
        "late": lambda rng: Late(honest(rng)),
        "double-booker": lambda rng: DoubleBooker([honest(Random(rng.random())) for _ in range(3)]),
    }
    return Peer(who, member.name, makers[member.kind], haggles, 5000 + number, honest=member.honest, kind=member.kind)


def _request(number: int, worth: int, moment: float, check: float) -> Request:
    resources = Resources(1000, 64, 64, 0, 0, JOB_SECONDS)
    job = Job(
        "sha256:" + "a" * 64, "module-a", f"inputs-{number}", "wasm", resources, "exact", number.to_bytes(32, "big")
    )
    name = number.to_bytes(16, "big")
    return Request(name, job, worth, False, round(check * 1_000_000), (), int(moment) + 60, "")


def _plan(peers: Mapping[str, Peer], faults: Sequence[tuple[float, Fault]]) -> tuple[Plan, list[str]]:
    """The same faults as the simulator knows them, and what it does not know."""
    cuts, crashes, reorgs, delay, loss, notes = [], [], [], 0.0, 0.0, []
    for at, fault in faults:
        begin = START + 5.0 + at
        end = begin + (getattr(fault, "lasts", None) or FOREVER)
        match fault:
            case Partition(a, b):
                others = set(b) or set(peers) - set(a)
                cuts.append(Cut(begin, end, "both", frozenset(peers[name].address for name in a)))
                if others != set(peers) - set(a):
                    notes.append("in the simulator a partition cuts its first side off from everybody")
            case Kill(peer) | Pause(peer):
                crashes.append(Crash(peers[peer].address, begin, end, mid_batch=False))
            case Reorg(blocks):
                reorgs.append((begin, blocks))
            case Delay(seconds):
                delay = max(delay, seconds)
            case Loss(share):
                loss = max(loss, share)
            case Jump():
                notes.append("the simulator's clocks don't jump in the middle of a run")
            case _:
                pass
    if delay or loss:
        notes.append("in the simulator delay and loss last from the beginning to the end; loss is of whole messages")
    deepest = max((blocks for _, blocks in reorgs), default=0)
    chain = Chain(1.0, deepest + 1, 0.5, tuple(sorted(reorgs)))
    links = Links(latency=0.002 + delay, loss=loss)
    return Plan(links, tuple(cuts), tuple(crashes), (), chain, START + FOREVER), sorted(set(notes))


def _report(
    testnet: Testnet,
    world: World,
    watcher: Notes,
    worths: Mapping[bytes, int],
    asked: Mapping[bytes, float],
    notes: list[str],
) -> dict[str, Any]:
    floors = {address(member.name): member.floor for member in testnet.of("provider")}
    places = [member.floor for member in testnet.of("provider") for _ in range(SLOTS)]
    done = {job: end for job, end in watcher.ended.items() if end.outcome.name == "DONE"}
    outcomes = Counter(end.outcome.name for end in watcher.ended.values())
    if running := len(worths) - len(watcher.ended):
        outcomes["RUNNING"] = running
    times = {job: _times(asked[job], watcher.moments[job]) for job in watcher.ended}
    wanted = [
        Wanted(
            asked[job],
            worth,
            floors[watcher.providers[job]] if job in done else None,
            (times[job]["guarantee"] + times[job]["execute"]) / 1000 if job in times else 0.0,
        )
        for job, worth in worths.items()
    ]
    deals = watcher.deals
    return {
        "jobs": len(worths),
        "deals": deals,
        "outcomes": outcomes,
        "welfare": welfare(wanted, places),
        "messages_a_deal": round(world.messages / deals, 1) if deals else None,
        "bytes_a_deal": None,
        "gas_a_deal": None,
        "phases": {
            phase: {
                "p50": percentile([times[job][phase] for job in done], 0.5),
                "p99": percentile([times[job][phase] for job in done], 0.99),
            }
            for phase in PHASES
        },
        "notes": [*notes, f"a run takes {JOB_SECONDS} s at most there, and no time of any processor is counted"],
    }


def _times(asked: float, moments: Mapping[type, float]) -> dict[str, float]:
    found, before = {}, asked
    for phase, kind in _ENDS.items():
        moment = max(before, moments.get(kind, before))
        found[phase] = round((moment - before) * 1000, 1)
        before = moment
    return {**found, "total": round((before - asked) * 1000, 1)}
