"""Random calls, most of them plausible, to model and bytecode: ``python -m tests.contracts.fuzz_vault --seconds 60``.

The world is small so that calls meet: a few people, a few deals, and a clock that likes to stop at a deadline or a
second beside it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count

from eth_hash.auto import keccak

from protocol.deal import Bill, Deal, Receipt, Release, Result, Started, Vote, Voucher
from protocol.identity import Address
from protocol.vault_batches import MAX_LOCK
from protocol.vault_calls import (
    Absent,
    Accuse,
    Appeal,
    CastVotes,
    Collect,
    Contest,
    Delegate,
    Deliver,
    Deposit,
    Draw,
    Expose,
    Finalize,
    Free,
    Join,
    Leave,
    NoInputs,
    Open,
    Part,
    Payment,
    Redeem,
    Resume,
    Settle,
    Transfer,
    VaultCall,
    Withdraw,
)
from protocol.vault_disputes import LONGEST_DISPUTE, Ballot
from protocol.vault_state import DealState, Flag, State
from tests.contracts.fuzz_batches import Batches
from tests.contracts.fuzz_lines import Lines
from tests.contracts.solidity import solidity_creation
from tests.contracts.twin import WINDOWS, Person, Twin, deals_of, draft

PARTIES = [Person.number(n) for n in range(1, 5)]
MEDIATORS = [Person.number(n) for n in range(11, 23)]
PEOPLE = PARTIES + MEDIATORS
BY_ADDRESS = {person.address: person for person in PEOPLE}
SEALS = [bytes([n]) * 32 for n in (1, 2)]
CALLS_IN_A_WORLD = 400
SHARE = 60.0
"""Seconds of worlds that one process does at a time, where there are several."""


class World:
    """One twin and the deals of it."""

    others: Sequence[bytes] = ()
    """Creation code of other implementations to compare."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.twin = Twin(PEOPLE, others=self.others)
        self.deals: list[Deal] = []
        self.pools = {bytes(32): MEDIATORS[0].address}  # a line has no jury; that is what is tried
        self.ballots: dict[bytes, tuple[int, bytes]] = {}
        """What the jury of a deal mostly votes."""
        self.seen: Counter[str] = Counter()
        self.batches = Batches(rng, self.twin, PARTIES, self.pools)
        self.lines = Lines(rng, self.twin, PARTIES, self._draft)
        for person in PEOPLE:
            self.twin.do(person, Deposit(person.address, rng.randrange(20_000, 200_000)))
        for person in MEDIATORS:
            self.twin.do(person, Join(rng.choice((0, 500, 3000, 15_000))))

    def step(self) -> None:
        """One call, or one move of the clock."""
        if self.rng.random() < 0.1:
            self._tick()
            return
        aside = self.batches.step() if self.batches.due or self.rng.random() < 0.15 else None
        if aside is None and self.rng.random() < 0.12:
            aside = self.lines.step(self.deals)
        if aside is not None:
            by, call = aside
        elif not self.deals or self.rng.random() < 0.08:
            by, call = self._open()
        elif self.rng.random() < 0.1:
            by, call = self._money()
        elif self.rng.random() < 0.03:
            self.agree_on_many()
            return
        else:
            by, call = self._about(self._a_deal())
        if self.rng.random() < 0.04:
            by = self.rng.choice(PEOPLE)
        model = self.twin.model
        before = dict(model.accounts)
        touched = [model.id(deal) for deal in deals_of(call)]
        ended = {name: model.deals[name] for name in touched if name in model.deals}
        told = self.twin.do(by, call)
        for name, standing in ended.items():
            assert standing.state is not State.CLOSED or model.deals[name] is standing, "a deal ended twice"
        if not isinstance(call, _MAY_COST_OTHERS):
            for who, account in before.items():
                assert model.accounts[who].balance >= account.balance or who == by.address, (
                    "somebody paid for another's call"
                )
        self.seen[f"{type(call).__name__}: {'ok' if told is None else told}"] += 1

    def wind_up(self) -> None:
        """Everybody gets out: every deal ends without anyone's help, and the last coin leaves."""
        for deal in self.deals:
            for _ in range(6):
                standing = self.twin.model.deal(deal)
                if standing.state in (State.NONE, State.CLOSED):
                    break
                self.twin.now = max(self.twin.now, standing.deadline + 1)
                call: VaultCall = Finalize(deal, self.pools[deal.terms] if standing.state >= State.JURY else b"")
                if standing.state in (State.OPEN, State.LINE):
                    self.twin.now = max(self.twin.now, deal.claim_until + 1, standing.deadline + deal.answer + 1)
                    call = Free(deal)
                assert self.twin.do(PARTIES[0], call) is None
            assert self.twin.model.deal(deal).state in (State.NONE, State.CLOSED)
        self.twin.now += MAX_LOCK + 1
        for person, commit in self.batches.free_all():
            assert self.twin.do(person, commit) is None
        for person in PEOPLE:
            assert self.twin.do(person, Leave()) is None
        self.twin.now += LONGEST_DISPUTE * WINDOWS.longest + 1
        for person in PEOPLE:
            assert self.twin.do(person, Collect()) is None
            account = self.twin.model.account(person.address)
            assert account.locked == 0
            assert self.twin.do(person, Withdraw(account.balance, person.address)) is None
        assert self.twin.model.total() == self.twin.model.held == 0

    def _tick(self) -> None:
        moments = [self.twin.now + self.rng.randrange(1, 90)]
        for deal in self.deals[-6:]:
            standing = self.twin.model.deal(deal)
            marks = [deal.start_by, deal.deliver_by + deal.grace, deal.claim_until, standing.deadline]
            moments += [mark + self.rng.choice((-1, 0, 1)) for mark in marks]
        later = [moment for moment in moments if moment > self.twin.now]
        self.twin.now = min(later) if self.rng.random() < 0.8 else self.rng.choice(later)
        self.twin.block += self.rng.randrange(1, 4)

    def _a_deal(self) -> Deal:
        for _ in range(8 if self.rng.random() < 0.96 else 0):
            deal = self.rng.choice(self.deals[-24:])
            if self.twin.model.deal(deal).state not in (State.NONE, State.CLOSED):
                return deal
        return self.rng.choice(self.deals)

    def agree_on_many(self) -> None:
        """Deals of one payer, whose parties will commit to them."""
        jc, *rps = self.rng.sample(PARTIES, self.rng.randrange(2, len(PARTIES) + 1))
        drafts = [self._draft(jc, self.rng.choice(rps)) for _ in range(self.rng.randrange(1, 6))]
        self.deals += self.batches.agree(drafts)

    def _draft(self, jc: Person, rp: Person) -> Deal:
        rng = self.rng
        jurors, quorum = rng.choice(((1, 1), (1, 1), (3, 2), (3, 2), (3, 3), (5, 3)))
        size = rng.choice((jurors, jurors, len(MEDIATORS), len(MEDIATORS), rng.randrange(jurors, len(MEDIATORS))))
        members = rng.sample(MEDIATORS + PARTIES if rng.random() < 0.2 else MEDIATORS, size)
        pool = b"".join(sorted(member.address for member in members))
        pay, fee = rng.randrange(2000), rng.randrange(80)
        deal = draft(
            jc,
            rp,
            self.twin.now,
            pay=pay,
            fee=fee,
            jc_stake=rng.randrange(300),
            rp_stake=rng.randrange(300),
            cheat=max(0, pay + jurors * fee + rng.choice((-1, 0, 0, 1, 1, 1, 500, 500))),
            jurors=jurors,
            quorum=quorum,
            juror_stake=rng.choice((0, 100, 101, 600)),
            appeal=rng.choice((0, 60, 90)),
            pool=keccak(pool),
            start_by=self.twin.now + rng.choice((0, 50, 100)),
            answer=rng.choice((60, 100, 600)),
            silence=rng.randrange(3),
            terms=rng.randbytes(32),
        )
        self.pools[deal.terms] = pool
        return deal

    def _open(self) -> tuple[Person, VaultCall]:
        jc, rp = self.rng.sample(PARTIES, 2)
        if self.rng.random() < 0.2:
            return self.lines.open(jc, rp, self.deals)
        deal = self._draft(jc, rp)
        if self.rng.random() < 0.1 and self.deals:
            deal = self.rng.choice(self.deals)
        self.deals.append(deal)
        by, other = (jc, rp) if self.rng.random() < 0.5 else (rp, jc)
        return by, Open(deal, self._sign(other, deal))

    def _money(self) -> tuple[Person, VaultCall]:
        rng = self.rng
        by, other = rng.choice(PEOPLE), rng.choice(PEOPLE)
        free = self.twin.model.account(by.address).free
        amount = rng.choice((0, free // 8, free, free + 1))
        if rng.random() < 0.4:
            by = rng.choice(MEDIATORS)
            match rng.randrange(4):
                case 0 | 1:
                    return by, Join(self.twin.model.account(by.address).free // 3)
                case 2:
                    return by, Leave()
                case _:
                    leaves = self.twin.model.mediator(by.address).leaves
                    if leaves and rng.random() < 0.1:
                        self.twin.now = max(self.twin.now, leaves + rng.randrange(2))
                    return by, Collect()
        match rng.randrange(4):
            case 0:
                return by, Deposit(other.address, rng.randrange(100_000))
            case 1:
                return by, Withdraw(amount // 4, other.address)
            case 2:
                return by, Transfer(other.address, amount // 2)
            case _:
                return by, Delegate(other.address, rng.random() < 0.5)

    def _about(self, deal: Deal) -> tuple[Person, VaultCall]:
        standing = self.twin.model.deal(deal)
        fitting = _FITTING[standing.state]
        if standing.state is State.JURY and Flag.DRAWN not in standing.flags:
            fitting = ("draw", "draw", "draw", "finalize")
        anything = [name for names in _FITTING.values() for name in names]
        name = self.rng.choice(fitting if fitting and self.rng.random() < 0.9 else anything)
        return MOVES[name](self, deal, standing)

    def _sign(self, by: Person, struct: object) -> bytes:
        if self.rng.random() < 0.03:
            by = self.rng.choice(PEOPLE)
        return self.twin.sign(by, struct)

    def _settle(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        jc = BY_ADDRESS[deal.jc]
        payments = [self._payment(deal)]
        for other in self.rng.sample(self.deals, min(len(self.deals), self.rng.randrange(3))):
            if other.jc == deal.jc or self.rng.random() < 0.05:
                payments += [self._payment(other)]
        return jc, Settle(tuple(payments))

    def _payment(self, deal: Deal) -> Payment:
        final = self.rng.random() < 0.3
        amount = self.rng.choice((deal.pay, deal.pay, max(0, deal.pay - 7), deal.pay + 1))
        if amount == deal.pay:
            return Payment(deal, amount, final=final)
        bill = self._sign(BY_ADDRESS[deal.rp], Bill(self._name(deal), amount))
        return Payment(deal, amount, bill, final)

    def _redeem(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        amount = self.rng.choice((deal.pay, deal.pay // 2, deal.pay + 1))
        voucher = self._sign(BY_ADDRESS[deal.jc], Voucher(self._name(deal), amount))
        return BY_ADDRESS[deal.rp], Redeem(deal, amount, voucher)

    def _part(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        by, other = BY_ADDRESS[deal.jc], BY_ADDRESS[deal.rp]
        if self.rng.random() < 0.5:
            by, other = other, by
        amount = 0 if standing.paid and self.rng.random() < 0.8 else self.rng.choice((0, deal.pay, deal.pay + 1))
        return by, Part(deal, amount, self._sign(other, Release(self._name(deal), amount)))

    def _absent(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        if self.rng.random() < 0.5:
            due = deal.deliver_by + deal.grace + self.rng.randrange(2)
            self.twin.now = max(self.twin.now, self.rng.choice((due, due, deal.claim_until)))
        started = self._sign(BY_ADDRESS[deal.rp], Started(self._name(deal))) if self.rng.random() < 0.4 else None
        return BY_ADDRESS[deal.jc], Absent(deal, started)

    def _deliver(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        sealed = self.rng.choice(SEALS)
        receipt = None
        if standing.state is State.ABSENT or self.rng.random() < 0.4:
            receipt = self._sign(BY_ADDRESS[deal.jc], Receipt(self._name(deal), sealed))
        return BY_ADDRESS[deal.rp], Deliver(deal, sealed, receipt)

    def _no_inputs(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        if self.rng.random() < 0.2:
            self.twin.now = max(self.twin.now, standing.deadline + self.rng.randrange(2))
        return BY_ADDRESS[deal.rp], NoInputs(deal)

    def _finalize(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        by = self.rng.choice(PEOPLE)
        if standing.state is State.RULED and self.rng.random() < 0.4:
            by = BY_ADDRESS[self.rng.choice((deal.jc, deal.rp))]  # the loser may end it before the window is over
        elif self.twin.now <= standing.deadline and self.rng.random() < 0.7:
            self.twin.now = standing.deadline + 1
        disputed = standing.state in (State.JURY, State.RULED)
        return by, Finalize(deal, self._pool(deal) if disputed else b"")

    def _member(self, pool: bytes, seat: int) -> Person:
        return BY_ADDRESS[Address(pool[20 * seat : 20 * seat + 20])]

    def _pool(self, deal: Deal) -> bytes:
        return self.pools[self.rng.choice(self.deals if self.rng.random() < 0.02 else [deal]).terms]

    def _named(self, deal: Deal) -> bytes:
        pool = self._pool(deal)
        return pool if (len(pool) == 20 * deal.jurors and self.rng.random() < 0.9) or self.rng.random() < 0.05 else b""

    def _contest(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        return BY_ADDRESS[deal.jc], Contest(deal, self._named(deal))

    def _accuse(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        result = Result(self._name(deal), self.rng.choice(SEALS), 0, 9)
        signature = self._sign(BY_ADDRESS[deal.rp], result) if self.rng.random() < 0.95 else None
        return BY_ADDRESS[deal.jc], Accuse(deal, result, signature, self._named(deal))

    def _draw(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        late = 300 if self.rng.random() < 0.1 else self.rng.choice((0, 1, 1, 1, 2, 256, 257))
        if standing.state is State.JURY:
            self.twin.block = max(self.twin.block, standing.block + late)
        return self.rng.choice(PEOPLE), Draw(deal, self._pool(deal))

    def _ballot(self, deal: Deal) -> tuple[int, bytes]:
        usual = self.ballots.setdefault(deal.terms, (self.rng.randrange(1, 4), self.rng.choice(SEALS)))
        if self.rng.random() < 0.15:
            return usual[0], bytes(32)
        if self.rng.random() < 0.8:
            return usual
        return self.rng.randrange(5), self.rng.choice(SEALS)

    def _votes(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        ruling, commitments = self._ballot(deal)
        pool = self._pool(deal)
        due = standing.sitting & ~standing.voted if self.rng.random() < 0.95 else standing.sitting
        seats = [seat for seat in range(len(pool) // 20) if due >> seat & 1] or [0]
        voters = sorted(self.rng.sample(seats, self.rng.randrange(1, len(seats) + 1)))
        votes = tuple((seat, self._vote(deal, standing, pool, seat, ruling, commitments)) for seat in voters)
        return self.rng.choice(PEOPLE), CastVotes(deal, pool, ruling, commitments, votes)

    def _vote(self, deal: Deal, standing: DealState, pool: bytes, seat: int, ruling: int, commitments: bytes) -> bytes:
        turn = int(Flag.APPEALED in standing.flags)
        return self._sign(self._member(pool, seat), Vote(self._name(deal), turn, ruling, commitments))

    def _appeal(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        for_provider = self.rng.random() < 0.5
        if self.rng.random() < 0.5:
            self.ballots.pop(deal.terms, None)
        return BY_ADDRESS[deal.rp if for_provider else deal.jc], Appeal(deal, self._pool(deal), for_provider)

    def _expose(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        pool = self._pool(deal)
        seats = [seat for seat in range(len(pool) // 20) if standing.sitting >> seat & 1] or [0]
        seat = self.rng.choice(seats)
        cast = [self._ballot(deal), (self.rng.randrange(4), self.rng.choice(SEALS))]
        first, second = (Ballot(r, c, self._vote(deal, standing, pool, seat, r, c)) for r, c in cast)
        return self.rng.choice(PEOPLE), Expose(deal, pool, seat, first, second)

    def _free(self, deal: Deal, standing: DealState) -> tuple[Person, VaultCall]:
        if self.rng.random() < 0.3:
            self.twin.now = max(self.twin.now, deal.claim_until + self.rng.randrange(2))
        return self.rng.choice(PEOPLE), Free(deal)

    def _name(self, deal: Deal) -> bytes:
        return self.twin.model.id(deal)


_MAY_COST_OTHERS = (Redeem, Part, Deliver, CastVotes, Finalize, Resume)
"""A voucher, a release, a receipt or a successor they signed; a ruling; a deadline they missed."""
MOVES: dict[str, Callable[[World, Deal, DealState], tuple[Person, VaultCall]]] = {
    "settle": World._settle,
    "redeem": World._redeem,
    "part": World._part,
    "absent": World._absent,
    "deliver": World._deliver,
    "no_inputs": World._no_inputs,
    "finalize": World._finalize,
    "free": World._free,
    "contest": World._contest,
    "accuse": World._accuse,
    "draw": World._draw,
    "votes": World._votes,
    "appeal": World._appeal,
    "expose": World._expose,
}
_FITTING: dict[State, tuple[str, ...]] = {
    State.NONE: (),
    State.OPEN: (
        "settle",
        "settle",
        "redeem",
        "part",
        "absent",
        "absent",
        "deliver",
        "deliver",
        "free",
        "accuse",
        "accuse",
        "accuse",
    ),
    State.ABSENT: ("redeem", "part", "redeem", "deliver", "deliver", "no_inputs", "no_inputs", "finalize"),
    State.DELIVERED: ("settle", "redeem", "part", "finalize", "contest", "contest", "contest", "contest"),
    State.JURY: ("draw", "votes", "votes", "votes", "votes", "finalize", "expose"),
    State.RULED: ("finalize", "appeal", "appeal", "appeal", "expose"),
    State.CLOSED: (),
    State.LINE: ("part", "free", "absent", "settle"),
}


@dataclass
class Tally:
    """What a run of worlds came to."""

    calls: int = 0
    accepted: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Another process's worlds."""
        self.calls += other.calls
        self.accepted += other.accepted
        self.seen += other.seen


def fuzz(seconds: float, seed: int | str) -> Tally:
    """Worlds until the time is over; raises `Disagreement` with the seed of its world."""
    tally = Tally()
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        world = World(random.Random(f"{seed}.{number}"))
        try:
            for _ in range(CALLS_IN_A_WORLD):
                world.step()
            world.wind_up()
        except AssertionError as error:
            error.add_note(f"seed {seed}, world {number}")
            raise
        tally.add(Tally(world.twin.calls, world.twin.accepted, world.seen))
        number += 1
    return tally


def fuzz_together(seconds: float, seed: int, calls: int | None, processes: int, others: Sequence[bytes] = ()) -> Tally:
    """The same in several processes, a minute's worth of worlds at a time; ``others`` are compared too.

    The sum so far is printed after each, so that a long run that is ended early has said something.
    """
    tally = Tally()
    end = time.monotonic() + seconds
    numbers = count()
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(tuple(others),)) as pool:
        running: set[Future[Tally]] = set()
        while True:
            left = end - time.monotonic()
            is_enough = left <= 0 or (calls is not None and tally.calls >= calls)
            while len(running) < processes and not is_enough:
                running.add(pool.submit(fuzz, min(left, SHARE), f"{seed}.{next(numbers)}"))
            if not running:
                return tally
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for run in done:
                tally.add(run.result())
                print(f"{tally.calls:,} calls, {tally.accepted:,} accepted", file=sys.stderr, flush=True)


def _begin(others: tuple[bytes, ...]) -> None:
    World.others = others


def main() -> None:
    """Print what was answered how often, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--calls", type=int, help="stop after so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--twin", action="store_true", help="compare the Solidity twin too")
    wanted = parser.parse_args()
    began = time.monotonic()
    others = [solidity_creation()] if wanted.twin else []
    tally = fuzz_together(wanted.seconds, wanted.seed, wanted.calls, wanted.processes, others)
    for answer, times in sorted(tally.seen.items()):
        print(f"{times:8} {answer}")
    rate = tally.calls / (time.monotonic() - began)
    share = tally.accepted / tally.calls
    print(f"{tally.calls:,} calls, {share:.1%} accepted, {rate:,.0f} a second, no disagreement")


if __name__ == "__main__":
    main()
