"""One peer while it runs: what its user can ask of it, and what it tells of itself."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import trio

from agents.effects import Tell
from agents.events import Cancelled, Requested
from agents.job_creator import JobCreator
from agents.preferences import Wish
from agents.reports import Ended, Outcome
from agents.request import ID_BYTES, Request
from agents.strategies.built_in import DEFAULT
from contracts.balances import read_money
from contracts.errors import ChainError
from node.chain_link import ChainLink
from node.clock import Clock
from node.directory import Directory
from node.dishonest import DishonestBuyer
from node.errors import ExitCode, UserError
from node.jobs import Jobs
from node.mandate import with_most_stake
from node.metrics import scrape_token
from node.moves import Moves, describe_money
from node.post import Post
from node.purse import Purse
from node.reach import describe_peers, describe_reach
from node.runtime import Agent, Runtime
from node.setup import Setup
from node.store import Store
from node.strategies.advisers import Advisers
from node.supervision import Tasks
from node.workshop import Workshop
from p2p.host import Host
from protocol.identity import Address, show
from protocol.offers import MediatorOffer, ResourceOffer, Withdrawal
from protocol.rules import PERCENT

REMEMBER = 10.0
"""Seconds between two looks at whom to remember."""
WITHDRAWN = 75
"""Seconds for which a withdrawal is told: as long as an offer lives."""


class Peer:
    """A peer while it runs."""

    def __init__(
        self,
        setup: Setup,
        *,
        host: Host,
        chain: ChainLink,
        clock: Clock,
        store: Store,
        directory: Directory,
        workshop: Workshop,
        advisers: Advisers,
        tasks: Tasks,
        agents: Mapping[str, Agent],
    ) -> None:
        self.setup = setup
        self.host = host
        self.chain = chain
        self.clock = clock
        self.store = store
        self.directory = directory
        self.workshop = workshop
        self.jobs = Jobs(store, clock, directory, setup.rules.domain)
        self.agents = agents
        self.token = secrets.token_urlsafe(32)
        """Whoever has it may spend this peer's money."""
        self.scrape_token = scrape_token(setup.home)
        self.advisers = advisers
        self.purse = Purse(setup, chain.line)
        self.moves = Moves(chain.line, setup.key.address)
        self.url = ""
        self.stop = trio.Event()
        self.tasks = tasks
        self.runtime: Runtime | None = None
        self.post: Post | None = None

    @property
    def buyer(self) -> JobCreator:
        """The agent that buys for this peer's user."""
        found = self.agents.get("client")
        if isinstance(found, DishonestBuyer):
            return found.honest
        if not isinstance(found, JobCreator):
            raise UserError(ExitCode.USAGE, "this node has no client role", "start it with --role client")
        return found

    def ask(self, request: Request, about: dict[str, Any]) -> None:
        """Have a job done; its story can be followed in `jobs`."""
        assert self.runtime is not None
        _ = self.buyer
        self.jobs.begin(request.id, about)
        self.runtime.feed("client", Requested(request))

    def strategy_for(self, role: str, talk: bytes) -> str:
        """Who haggles in this talk: for a job of our own whom its user chose, else whom the node was started with."""
        name = (self.setup.strategies or {}).get(role, DEFAULT)
        if role == "client":
            wanted = self.buyer.wanted.get(talk[:ID_BYTES])
            name = (wanted.request.strategy if wanted is not None else "") or name
        return name

    async def can_pay(self, most: int, wishes: Sequence[Wish]) -> str:
        """Empty if the free money in the vault covers a job that costs this much at most, else what is missing.

        Raises `ChainError`. Beside the pay a job creator locks its own timeout stake.
        """
        needed = most + most * with_most_stake(self.setup.rules, wishes).jc_stake_percent // PERCENT
        free = (await read_money(self.chain.line, self.setup.key.address)).account.free
        if free >= max(needed, 1):
            return ""
        return f"the job can lock {needed} in the vault, where {free} are free" if most else "nothing is free there"

    def refuse(self, request: Request, about: dict[str, Any], reason: str) -> None:
        """Note a job that is over before it began, for want of money."""
        self.jobs.begin(request.id, about)
        self.jobs.tell(Tell(request.id, Ended(Outcome.NO_FUNDS, reason, None, 0)))

    def cancel(self, job: bytes) -> None:
        """Drop a job that has no deal yet."""
        assert self.runtime is not None
        self.runtime.feed("client", Cancelled(job))

    def offers(self) -> list[dict[str, Any]]:
        """What this peer has heard on offer."""
        now, book, name = self.clock.now(), self.buyer.book, self.directory.name
        machines = [_describe_provider(offer, name(offer.provider), now) for offer in book.providers(now)]
        return machines + [_describe_mediator(offer, name(offer.mediator), now) for offer in book.mediators(now)]

    async def remember_peers(self) -> None:
        """Write down where peers are, for a restart in which nobody else is there yet."""
        before: dict[Address, tuple[str, ...]] = {}
        while True:
            now = self.directory.everybody()
            news = {address: places for address, places in now.items() if before.get(address) != places}
            if news:
                self.store.meet(news, self.clock.now())
            before = now
            await trio.sleep(REMEMBER)

    async def leave(self) -> None:
        """Take our offers back, so that nobody else asks, and see out what has been said."""
        assert self.post is not None
        if self.setup.shop is not None or self.setup.bench is not None:
            now = self.clock.now()
            self.post.publish(Withdrawal(self.setup.key.address, int(now * 1000), int(now + WITHDRAWN)))
        await self.post.wait_until_said()

    async def status(self) -> dict[str, Any]:
        """Who this peer is, whom it knows, what it has."""
        found: dict[str, Any] = {
            "peer": self.host.peer_id,
            "address": show(self.setup.key.address),
            "roles": list(self.agents),
            "addresses": list(self.host.addrs),
            "http": self.url,
            "peers": describe_peers(self.host),
            "network": describe_reach(self.host),
            "chain": {"id": self.setup.rules.domain.chain_id, "vault": show(self.setup.rules.domain.vault)},
        }
        try:
            money = await read_money(self.chain.line, self.setup.key.address)
        except ChainError as error:
            found["money"] = {"error": str(error)}
        else:
            found["money"] = describe_money(money)
        found["warnings"] = [str(lack) for lack in self.purse.lacks]
        found["claims"] = {f"0x{name.hex()}": words for name, words in self.chain.claims.items()}
        return found


def _describe_provider(offer: ResourceOffer, peer: str, now: float) -> dict[str, Any]:
    return {
        "kind": "provider",
        "peer": peer,
        "address": show(offer.provider),
        "cpu": offer.capacity.cpu_millis / 1000,
        "memory_mib": offer.capacity.memory_mib,
        "gpus": [{"name": g.name, "vram_mib": g.vram_mib, "count": g.count} for g in offer.capacity.gpus],
        "executors": list(offer.executors),
        "isolation": {name: offer.isolation_of(name) for name in offer.executors},
        "prices": [{"module": p.module, "unit": p.unit, "amount": str(p.amount)} for p in offer.prices],
        "expires_in": round(offer.expires - now),
    }


def _describe_mediator(offer: MediatorOffer, peer: str, now: float) -> dict[str, Any]:
    return {
        "kind": "mediator",
        "peer": peer,
        "address": show(offer.mediator),
        "executors": list(offer.executors),
        "fee": str(offer.fee),
        "expires_in": round(offer.expires - now),
    }
