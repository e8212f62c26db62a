"""What must hold in every world, whatever goes wrong: checked while it runs and when it is over.

1. Money is neither made nor lost, and what is locked is exactly what the open deals lock.
2. Nothing is paid twice: a deal at most once and exactly its pay, a job to one provider, a check once.
3. An honest provider never has more bound or running than its machine holds.
4. Who is honest, running and connected never loses a stake.
5. Every wanted job ends, every deal closes, and nobody is left waiting for anything.
6. A result that was paid as good is what the module gives, unless its provider lies.
7. What was signed is remembered after a crash.
8. No honest provider is ruled against, unless a quorum of the jury is dishonest; no honest mediator loses a stake.
9. No lie is ruled right, unless a quorum of the jury is dishonest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from agents.effects import Effect, Send
from agents.events import ChainSaw, Decided, Event, Got, Refused
from agents.job_creator import JobCreator
from agents.provider import Provider
from agents.reports import Agreed, Checked, Ended, Report, Verdict
from agents.reports import Outcome as End
from agents.request import Request
from agents.strategy import Counter as Countered
from protocol.deal import Deal, DealId
from protocol.identity import Address
from protocol.messages import Bind, CannotRecheck, Outbid, Propose, Rechecked, Summons
from protocol.negotiation import Phase
from protocol.prices import owed, used
from protocol.vault_book import bond
from protocol.vault_calls import Absent, CastVotes, Finalize, Open, Redeem, Settle, Transfer
from protocol.vault_state import DealState, Flag, Outcome, State
from simulator.ledger import Block
from simulator.pretend import run_of, same
from simulator.world import Peer, World

LIARS = ("liar", "phantom", "accomplice")
"""Providers whose results are none."""
MEMORY = 900.0
"""Seconds that a dispute takes at most, in which a juror must be there."""
OUTAGE = 5.0
"""Seconds down or cut off during a deal after which losing a stake is no fault of the program's."""


class Broken(AssertionError):
    """A rule of the market does not hold."""


@dataclass(frozen=True, slots=True)
class Paid:
    """Money that a transaction moved."""

    block: int
    kind: str
    about: bytes
    by: Address
    amount: int
    claimed: bool
    """Whether the provider had claimed it: paid because silence costs more."""


class Oracle:
    """Watches one world and raises `Broken` at the first rule that does not hold."""

    def __init__(self, requests: dict[Address, list[Request]]) -> None:
        self.requests = requests
        self.deals: dict[DealId, Deal] = {}
        self.due: dict[DealId, int] = {}
        """What honest providers are owed for what they use."""
        self.cuts: dict[DealId, int] = {}
        """What they bear of a mediator's check, if there is one."""
        self.rechecked: set[DealId] = set()
        """Deals whose run a mediator says that it has repeated."""
        self.jobs: dict[DealId, bytes] = {}
        """Which wanted job a deal serves."""
        self.bound: dict[DealId, Address] = {}
        """Deals a provider has signed."""
        self.payments: list[Paid] = []
        self.ended: dict[bytes, Ended] = {}
        self.claims: set[DealId] = set()
        self.sometimes: Counter[str] = Counter()
        self.pools: dict[DealId, tuple[Address, ...]] = {}
        """Mediators that were summoned in a dispute."""
        self.disputes = 0
        """Disputes that a jury has ended, or its silence."""
        self.cheated = 0
        """Lies that were ruled right."""
        self._ruled_in: set[tuple[int, DealId]] = set()
        self._excused = -1
        """The last block in which a dishonest majority of an appeal's jury overturned a ruling."""
        self._staked: dict[Address, int] = {}
        self._talks: dict[bytes, bytes] = {}
        self._providers: dict[bytes, Address] = {}

    # --- as it happens -----------------------------------------------------------------------------------------------

    def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None:
        """After every event."""
        self._count(event)
        for effect in effects:
            if isinstance(effect, Send):
                self._sent(world, peer, effect)
        if peer.honest and isinstance(peer.agent, Provider):
            self._has_room(peer, peer.agent)

    def mined(self, world: World, block: Block) -> None:
        """After every block."""
        before = DealStates(block.before.deals)
        for transaction in block.taken:
            self._took(world, block, transaction.sender, transaction.about, transaction.call, before)
        if block.taken:
            self._money(world)
            self._stakes(world)
            self._paid_once()

    def dropped(self, world: World, blocks: list[Block]) -> None:
        """When blocks are reorganised away: what they paid is unpaid again."""
        if blocks and any(block.taken for block in blocks):
            self.sometimes["reorganised"] += 1
            self._staked = {who: found.stake for who, found in world.ledger.vault.mediators.items()}
        numbers = {block.number for block in blocks}
        self.payments = [paid for paid in self.payments if paid.block not in numbers]

    def restored(self, world: World, peer: Peer) -> None:
        """After a restart."""
        agent = peer.agent
        if isinstance(agent, JobCreator) and agent.purchases:
            self.sometimes["buyer restarted mid-deal"] += 1
        if not isinstance(agent, Provider) or not peer.honest:
            return
        if agent.sales:
            self.sometimes["provider restarted mid-deal"] += 1
        for name, provider in self.bound.items():
            deal = self.deals[name]
            if provider == peer.address and name not in agent.sales:
                state = world.ledger.confirmed.deals.get(name, DealState())
                gone = state.state is State.CLOSED or (state.state is State.NONE and world.now > deal.start_by)
                self._hold(gone, f"{peer.name} forgot a deal that it signed")

    def told(self, world: World, peer: Peer, job: bytes, report: Report) -> None:
        """What a buyer's user hears."""
        match report:
            case Agreed(deal, terms, provider):
                self.sometimes[f"priced by the {terms.unit}"] += 1
                if world.peers[provider].honest:
                    request = next(r for r in self.requests[peer.address] if r.id == job)
                    parts = used(terms.unit, run_of(request.job))
                    self.due[deal.id(world.rules.domain)] = owed(terms.unit, terms.rate, terms.pay, parts)
                    self.cuts[deal.id(world.rules.domain)] = terms.check_cut
            case Checked(verdict=Verdict.REJECTED):
                self.sometimes["check rejected"] += 1
            case Checked(verdict=Verdict.ACCEPTED):
                self.sometimes["check accepted"] += 1
            case Ended(outcome, _, run, _):
                self._hold(job not in self.ended, "a job ended twice")
                self.ended[job] = report
                self.sometimes[f"ended: {outcome.value}"] += 1
                if outcome in (End.DONE, End.FAILED) and run is not None:
                    self._result(world, peer, job, run.cid)
            case _:
                pass

    # --- when it is over ---------------------------------------------------------------------------------------------

    def finished(self, world: World) -> bool:
        """Whether every wanted job has ended and no deal is open."""
        wanted = sum(len(requests) for requests in self.requests.values())
        if len(self.ended) < wanted or world.ledger.pool:
            return False
        return all(state.state is State.CLOSED for state in world.ledger.confirmed.deals.values())

    def conclude(self, world: World) -> None:
        """Rule 5, after faults have healed and time has passed."""
        for address, requests in self.requests.items():
            for request in requests:
                whose = world.peers[address].name
                self._hold(request.id in self.ended, f"a job of {whose} never ended: {request.id.hex()}")
        for name, state in world.ledger.vault.deals.items():
            if not any(world.peers[who].honest for who in (self.deals[name].jc, self.deals[name].rp)):
                continue  # nobody is left who would end it
            self._hold(state.state is State.CLOSED, f"deal {name.hex()[:8]} is left in state {state.state.name}")
        for peer in world.peers.values():
            match peer.agent:
                case JobCreator() as buyer:
                    left = {name.hex()[:8]: type(it.stage).__name__ for name, it in buyer.purchases.items()}
                    self._hold(not left, f"{peer.name} is left with purchases: {left}")
                    self._hold(not buyer.tenders, f"{peer.name} is left with tenders")
                case Provider() as seller if peer.honest:
                    left = {name.hex()[:8]: type(it.stage).__name__ for name, it in seller.sales.items()}
                    self._hold(not left, f"{peer.name} is left with sales: {left}")
                case _:
                    pass

    # --- the rules ---------------------------------------------------------------------------------------------------

    def _hold(self, condition: bool, what: str) -> None:
        if not condition:
            raise Broken(what)

    def _money(self, world: World) -> None:
        vault = world.ledger.vault
        self._hold(vault.total() == world.ledger.deposited, "money was made or lost")
        locked: Counter[Address] = Counter()
        for name, state in vault.deals.items():
            if state.state is State.CLOSED:
                continue
            deal = self.deals[name]
            jc = 0 if state.paid else deal.jc_share
            if state.state in (State.ABSENT, State.JURY, State.RULED):
                jc += bond(deal)
            locked[deal.jc] += jc
            locked[deal.rp] += deal.rp_share
            if Flag.APPEALED in state.flags:
                appellant = deal.rp if Flag.BY_PROVIDER in state.flags else deal.jc
                locked[appellant] += (2 * deal.jurors + 1) * deal.fee
        for who, account in vault.accounts.items():
            self._hold(0 <= account.locked <= account.balance, f"{world.peers[who].name} has locked what it has not")
            self._hold(account.locked == locked[who], f"{world.peers[who].name} has locked another sum than its deals")

    def _took(
        self, world: World, block: Block, sender: Address, about: bytes, call: object, before: DealStates
    ) -> None:
        match call:
            case Open(deal):
                self.deals[deal.id(world.rules.domain)] = deal
            case Settle(payments):
                for payment in payments:
                    name = payment.deal.id(world.rules.domain)
                    voucher_was_quicker = any(p.block == block.number and p.about == name for p in self.payments)
                    if before.owes(name, world.ledger.vault.deals, block.time) and not voucher_was_quicker:
                        self._pay(block, "deal", name, sender, payment.amount)
            case Redeem(deal, amount):
                self.sometimes["voucher redeemed"] += 1
                self._pay(block, "deal", deal.id(world.rules.domain), sender, amount)
            case Absent():
                self.sometimes["absence claimed"] += 1
            case Transfer(_, amount):
                self._pay(block, "check", about, sender, amount)
            case Finalize(deal):
                self._finalized(world, block, deal, before)
            case CastVotes(deal, _, ruling, _, votes):
                self._voted(world, block, deal, ruling, len(votes), sender)
            case _:
                kind = type(call).__name__
                self.sometimes[f"called: {kind}"] += 1
                if kind == "Deliver":
                    self.claims.add(DealId(about))

    def _pay(self, block: Block, kind: str, about: bytes, by: Address, amount: int) -> None:
        self.payments.append(Paid(block.number, kind, about, by, amount, DealId(about) in self.claims))

    def _finalized(self, world: World, block: Block, deal: Deal, before: DealStates) -> None:
        name = deal.id(world.rules.domain)
        after = world.ledger.vault.deals[name]
        if after.state is not State.CLOSED and after.state is not State.OPEN:
            self.sometimes["jury refilled"] += 1
        elif after.outcome is Outcome.SPLIT:
            self.sometimes["jury silent"] += 1
            self.disputes += 1
            self._pay(block, "split deal", name, deal.jc, deal.pay // 2)
        elif after.outcome in (Outcome.RIGHT, Outcome.WRONG, Outcome.NOT_FETCHABLE):
            self._ruled(world, block, deal)
        elif before.was_claimed(name):
            self.sometimes["silent buyer paid its stake"] += 1
            self._pay(block, "deal", name, deal.jc, deal.pay)
            # a chain that takes back most of the time to answer lets nobody answer
            if world.plan.replaced(block.time - deal.answer, block.time) <= deal.answer / 2:
                self._blameless(world, deal, deal.jc, "lost its stake by silence")
        else:
            self.sometimes["absent provider lost its stake"] += 1
            self._blameless(world, deal, deal.rp, "lost its stake as absent")

    def _voted(self, world: World, block: Block, deal: Deal, ruling: int, votes: int, sender: Address) -> None:
        if ruling == 0:
            self.sometimes["promises shown"] += 1
            return
        self.sometimes["juror voted itself" if sender not in (deal.jc, deal.rp) else "votes handed in"] += 1
        if world.ledger.vault.deal(deal).state is State.CLOSED:
            self._ruled(world, block, deal)

    def _ruled(self, world: World, block: Block, deal: Deal) -> None:
        after = world.ledger.vault.deal(deal)
        name = deal.id(world.rules.domain)
        if (block.number, name) in self._ruled_in:
            return  # several votes in one block
        self._ruled_in.add((block.number, name))
        bad = self._bad_jurors(world, deal, block.before.deals[name])
        earlier = block.before.deals[name]
        if Flag.APPEALED in earlier.flags:
            overturned = earlier.outcome is not after.outcome
            self.sometimes["overturned on appeal" if overturned else "upheld on appeal"] += 1
            if overturned and bad > deal.jurors:
                self._excused = block.number
        self.sometimes[f"ruled {after.outcome.name}"] += 1
        self.disputes += 1
        provider = world.peers[deal.rp]
        if after.outcome is Outcome.RIGHT:
            self._pay(block, "ruled deal", name, deal.jc, deal.pay)
        lies = provider.kind in LIARS
        if after.outcome is Outcome.RIGHT and lies:
            self.cheated += 1
            begin = deal.start_by - world.rules.lock_within - 10
            away = world.plan.outage(deal.jc, begin, world.now)
            # who was cut off saw neither the inputs nor what was opened, and the burden is on the accuser
            enough = bad + self._cut_off(world, deal, block.before.deals[name]) >= deal.quorum or away > OUTAGE
            enough = enough or not world.peers[deal.jc].honest  # who withholds the evidence cheats itself at most
            self._hold(enough, f"{provider.name} lied, and too few colluders had it ruled right")
        if after.outcome in (Outcome.WRONG, Outcome.NOT_FETCHABLE) and bad < deal.quorum:
            self._blameless(world, deal, deal.rp, f"was ruled {after.outcome.name}")

    def _bad_jurors(self, world: World, deal: Deal, before: DealState) -> int:
        pool = self.pools.get(deal.id(world.rules.domain), ())
        seats = before.sitting | before.former
        return sum(not world.peers[who].honest for seat, who in enumerate(pool) if seats >> seat & 1)

    def _cut_off(self, world: World, deal: Deal, before: DealState) -> int:
        """Honest jurors that were down or apart from the others during the dispute."""
        pool = self.pools.get(deal.id(world.rules.domain), ())
        seated = [who for seat, who in enumerate(pool) if (before.sitting | before.former) >> seat & 1]
        since = deal.start_by - world.rules.lock_within - 10
        return sum(world.peers[who].honest and world.plan.outage(who, since, world.now) > OUTAGE for who in seated)

    def _stakes(self, world: World) -> None:
        """An honest, connected mediator never has less at stake than before."""
        for who, mediator in world.ledger.vault.mediators.items():
            before, peer = self._staked.get(who, 0), world.peers[who]
            if mediator.stake < before:
                self.sometimes["juror lost its stake"] += 1
                out = world.plan.outage(who, world.now - MEMORY, world.now)
                excused = out > OUTAGE or self._excused == world.ledger.number
                self._hold(not peer.honest or excused, f"{peer.name} lost a stake, and was honest and connected")
            self._staked[who] = mediator.stake

    def _blameless(self, world: World, deal: Deal, who: Address, what: str) -> None:
        peer = world.peers[who]
        out = world.plan.outage(who, deal.start_by - world.rules.lock_within - 10, world.now)
        self._hold(
            not peer.honest or out > OUTAGE,
            f"{peer.name} {what}, and was honest and connected (deal {deal.id(world.rules.domain).hex()[:8]})",
        )

    def _paid_once(self) -> None:
        seen: set[tuple[str, bytes]] = set()
        jobs: set[bytes] = set()
        for paid in self.payments:
            self._hold((paid.kind, paid.about) not in seen, f"a {paid.kind} was paid twice: {paid.about.hex()[:8]}")
            seen.add((paid.kind, paid.about))
            if paid.kind not in ("deal", "ruled deal"):
                continue
            deal = self.deals[DealId(paid.about)]
            due = self.due.get(DealId(paid.about))
            # whoever claims its delivery on chain gets the whole pay; a bill of one who lies may be anything below it
            if paid.kind == "deal" and due is not None and not (paid.claimed and paid.amount == deal.pay):
                name = DealId(paid.about)
                cut = max(0, due - self.cuts[name]) if name in self.rechecked else due
                self._hold(paid.amount in (due, cut), "a deal was paid another sum than what was used")
                self.sometimes["provider bore a check"] += cut < due and paid.amount == cut
            self._hold(paid.amount <= deal.pay, "a deal was paid more than its pay")
            job = self.jobs.get(DealId(paid.about))
            if job is not None and paid.kind == "deal" and not paid.claimed:
                self._hold(job not in jobs, "a job was paid to two providers")
                jobs.add(job)

    def _has_room(self, peer: Peer, agent: Provider) -> None:
        taken = [sale.job.resources for sale in agent.sales.values() if sale.busy]
        taken += [h.talk.job.resources for h in agent.haggles.values() if h.talk.phase in (Phase.HELD, Phase.CONFIRMED)]
        have = agent.shop.capacity
        for using in (taken, [running.what.job.resources for running in peer.running.values()]):
            fits = (
                sum(r.cpu_millis for r in using) <= have.cpu_millis
                and sum(r.memory_mib for r in using) <= have.memory_mib
            )
            self._hold(fits, f"{peer.name} has sold more than it has")

    def _result(self, world: World, peer: Peer, job: bytes, cid: str) -> None:
        request = next(r for r in self.requests[peer.address] if r.id == job)
        if same(request.job, cid, run_of(request.job).cid):
            return
        self.sometimes["a lie was believed"] += 1
        providers = {self.deals[name].rp for name, served in self.jobs.items() if served == job and name in self.deals}
        honest = all(world.peers[who].honest for who in providers)
        self._hold(not honest, f"{peer.name} was given a wrong result by honest providers")

    # --- bookkeeping -------------------------------------------------------------------------------------------------

    def _sent(self, world: World, peer: Peer, effect: Send) -> None:
        match effect.message:
            case Propose(talk=talk, job=job):
                request = next(r for r in self.requests[peer.address] if r.job == job)
                self._talks[talk] = request.id
            case Bind(talk=talk, deal=deal):
                name = deal.id(world.rules.domain)
                self.deals[name] = deal
                self.bound[name] = peer.address
                self.jobs[name] = self._talks[talk]
                self.sometimes["bound"] += 1
            case Outbid():
                self.sometimes["outbid"] += 1
            case Summons(deal=deal, mediators=mediators):
                self.pools[deal.id(world.rules.domain)] = mediators
            case Rechecked(deal=about):
                self.rechecked.add(DealId(about))
            case CannotRecheck():
                self.sometimes["mediator refused"] += 1
            case _:
                pass

    def _count(self, event: Event) -> None:
        match event:
            case Decided(answer=Countered()):
                self.sometimes["counter-offer"] += 1
            case Refused(call=call):
                self.sometimes[f"refused: {type(call).__name__}"] += 1
            case ChainSaw(standing=DealState(state=state)):
                self.sometimes[f"saw: {state.name}"] += 1
            case Got():
                pass
            case _:
                pass


class DealStates:
    """How deals stood before a block."""

    def __init__(self, deals: dict[DealId, DealState]) -> None:
        self._deals = deals

    def owes(self, name: DealId, after: dict[DealId, DealState], now: int) -> bool:
        """Whether the block paid this deal by its payer's will; one that answers a delivery too late is skipped."""
        before = self._deals.get(name, DealState())
        late = before.state is State.DELIVERED and now > before.deadline
        return not before.paid and after[name].paid and not late

    def was_claimed(self, name: DealId) -> bool:
        """Whether the provider's claim of a delivery was running."""
        return self._deals.get(name, DealState()).state is State.DELIVERED
