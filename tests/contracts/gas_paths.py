"""Every path through the vault as real transactions, and the gas each used, on any chain that mines what it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from eth_hash.auto import keccak

from protocol.deal import Bill, Deal, Receipt, Release, Result, Ruling, Successor, Vote, Voucher
from protocol.vault_calls import (
    Absent,
    Accuse,
    Appeal,
    CastVotes,
    Commit,
    Deliver,
    Deposit,
    Draw,
    Finalize,
    Free,
    Join,
    Open,
    Part,
    Payment,
    Redeem,
    Resume,
    Settle,
    SettleLock,
    Show,
    Withdraw,
)
from protocol.vault_tree import Path, SeatName, Tree, payer_leaf, provider_leaf
from tests.contracts.chains import (
    COIN,
    JC,
    MEDIATORS,
    NAMED,
    NEW_JC,
    NEW_RP,
    PARTNERS,
    POOL,
    POOR,
    RP,
    Caller,
    Chain,
)
from tests.contracts.twin import Person, draft

SEALED = b"\x05" * 32


@dataclass(frozen=True)
class Cost:
    """One path: its parts, whoever pays for them."""

    title: str
    parts: dict[str, int]
    bound: int | None = None
    shared_by: int = 1
    """How many deals share the cost."""

    @property
    def gas(self) -> int:
        """For one deal."""
        return sum(self.parts.values()) // self.shared_by


class Bench(Caller):
    """Calls whose gas is asked for."""

    def agree(self, rp: Person = RP, jc: Person = JC, **changes: object) -> Deal:
        """A deal with amounts as long as real ones are."""
        self.deals += 1
        pay = 2_345_678_901_234_567
        usual = {
            "pay": pay,
            "jc_stake": pay // 5,
            "rp_stake": pay,
            "cheat": 10 * pay,
            "fee": pay // 7,
            "juror_stake": 10 * pay,
            "terms": keccak(b"terms %d" % self.deals),
            "pool": keccak(b"pool %d" % self.deals),
        }
        return draft(jc, rp, self.chain.now(), **{**usual, **changes})

    def opened(self, rp: Person = RP, jc: Person = JC, **changes: object) -> tuple[Deal, int]:
        """A new deal, and the gas of opening it."""
        deal = self.agree(rp, jc, **changes)
        return deal, self.do(jc, Open(deal, self.sign(rp, deal)))

    def accuse(self, deal: Deal, pool: bytes, rp: Person = RP, paths: tuple[Path, Path] | None = None) -> int:
        """The payer shows the provider's signed result."""
        result = Result(deal.id(self.domain), SEALED, 0, 123_456)
        return self.do(JC, Accuse(deal, result, self.sign(rp, result), pool, paths))

    def draw(self, deal: Deal) -> int:
        """When the block is there."""
        self.wait_for_seed()
        return self.do(JC, Draw(deal, POOL))

    def vote(self, deal: Deal, pool: bytes, count: int, turn: int = 0) -> int:
        """The first jurors say that it is wrong, together."""
        seats = self.sitting(deal)[:count]
        vote = Vote(deal.id(self.domain), turn, Ruling.WRONG, SEALED)
        votes = tuple((seat, self.sign(MEDIATORS[seat], vote)) for seat in seats)
        return self.do(JC, CastVotes(deal, pool, Ruling.WRONG, SEALED, votes))


def measure(chain: Chain) -> Iterator[Cost]:
    """All of them, one after the other, on one chain."""
    bench = Bench(chain)
    for member in MEDIATORS:
        bench.do(member, Join(COIN))
    for path in _PATHS:
        yield from path(bench)


def _first_time(bench: Bench) -> Iterator[Cost]:
    deposits = [bench.do(person, Deposit(person.address, 10 * COIN)) for person in POOR]
    deal, gas = bench.opened(NEW_RP, NEW_JC)
    settle = bench.do(NEW_JC, Settle((Payment(deal, deal.pay, final=True),)))
    parts = {"deposit": deposits[0], "deposit of the other": deposits[1], "open": gas, "settle": settle}
    yield Cost("lone deal, first time of both", parts)
    again = bench.do(NEW_JC, Deposit(NEW_JC.address, COIN))
    withdraw = bench.do(NEW_JC, Withdraw(COIN, NEW_JC.address))
    yield Cost("money in and out, later", {"deposit": again, "withdraw": withdraw})


def _lone(bench: Bench) -> Iterator[Cost]:
    deal, gas = bench.opened()
    settle = bench.do(JC, Settle((Payment(deal, deal.pay, final=True),)))
    yield Cost("lone deal, final payment", {"open": gas, "settle": settle}, 125_000)
    deal, gas = bench.opened()
    bill = bench.sign(RP, Bill(deal.id(bench.domain), deal.pay // 2))
    settle = bench.do(JC, Settle((Payment(deal, deal.pay // 2, bill, final=True),)))
    yield Cost("lone deal, final payment with a bill", {"open": gas, "settle": settle}, 125_000)
    deal, gas = bench.opened()
    redeem = bench.do(RP, Redeem(deal, deal.pay, bench.sign(JC, Voucher(deal.id(bench.domain), deal.pay))))
    bench.chain.move_to(deal.claim_until + 1)
    yield Cost("lone deal by voucher", {"open": gas, "redeem": redeem, "release": bench.do(RP, Free(deal))})


def _line(bench: Bench) -> Iterator[Cost]:
    line, gas = bench.opened(terms=bytes(32), pay=10**17, cheat=10**18)
    owed = 98_765_432_109_876_543
    part = bench.do(JC, Part(line, owed, bench.sign(RP, Release(line.id(bench.domain), owed))))
    yield Cost("one of a line of 100 jobs", {"open": gas, "part": part}, 1_500, 100)
    soon = bench.chain.now() + 900
    line, _ = bench.opened(
        terms=bytes(32), pay=10**17, cheat=10**18, fee=1, start_by=soon - 850, claim_until=soon + 900
    )
    deal = bench.agree(pool=keccak(NAMED))
    successor = Successor(line.id(bench.domain), 57, deal.id(bench.domain), owed // 2)
    signed = bench.sign(JC, successor), bench.sign(RP, successor)
    show = bench.do(JC, Show(line, 57, successor.deal, owed // 2, signed))
    bench.pass_deadline(line)
    parts = {"show": show, "resume": bench.do(JC, Resume(line, deal, owed // 2)), "accuse": bench.accuse(deal, NAMED)}
    yield Cost("dispute on a line, named 2 of 3", {**parts, "vote": bench.vote(deal, NAMED, 2)})


def _many(bench: Bench) -> Iterator[Cost]:
    opened = [bench.opened(rp) for rp in PARTNERS[:32]]
    settle = bench.do(JC, Settle(tuple(Payment(deal, deal.pay, final=True) for deal, _ in opened)))
    yield Cost(
        "one of 32 opened singly, settled together", {"open": sum(g for _, g in opened), "settle": settle}, None, 32
    )


def _batches(bench: Bench) -> Iterator[Cost]:
    for count in (10, 100):
        everybody = (1 << count) - 1
        bound = 10_000 if count == 100 else None
        for title in (", first time", ""):
            _, tree, commit = _locked(bench, count, count)
            settle = bench.do(JC, SettleLock(count, tree.leaves, everybody))
            parts = {"commit": commit, "settle_lock": settle}
            yield Cost(f"one of {count} partners in a batch{title}", parts, bound, count)
        deals, tree, commit = _locked(bench, count, count)
        amounts = tuple(deal.pay - 7 for deal in deals)
        bills = tuple(
            bench.sign(rp, Bill(deal.id(bench.domain), amount))
            for rp, deal, amount in zip(PARTNERS, deals, amounts, strict=False)
        )
        settle = bench.do(JC, SettleLock(count, tree.leaves, everybody, amounts, bills))
        yield Cost(
            f"one of {count} partners in a batch, with bills", {"commit": commit, "settle_lock": settle}, None, count
        )


def _batch_dispute(bench: Bench) -> Iterator[Cost]:
    rp = PARTNERS[0]
    for title in (", first time", ""):
        deals, tree, _ = _locked(bench, 99, 20)
        theirs = Tree((provider_leaf(deals[0], bench.domain),))
        commit = bench.do(rp, Commit(0, theirs.root, theirs.total, deals[0].claim_until + 3600))
        yield Cost(f"a provider's commit for one deal{title}", {"commit": commit})
        accuse = bench.accuse(deals[0], NAMED, rp, (tree.path(0), theirs.path(0)))
        vote = bench.vote(deals[0], NAMED, 2)
        yield Cost(f"dispute out of a batch, named 2 of 3{title}", {"enter and accuse": accuse, "vote": vote})
        bench.do(JC, SettleLock(99, tree.leaves, (1 << 20) - 1))


def _locked(bench: Bench, slot: int, count: int) -> tuple[list[Deal], Tree, int]:
    number = bench.lock(JC, slot).number + 1
    deals = [
        bench.agree(
            rp,
            jc_seat=SeatName(slot, number, position).word(),
            rp_seat=SeatName(0, bench.lock(rp, 0).number + 1, 0).word(),
            pool=keccak(NAMED),
        )
        for position, rp in enumerate(PARTNERS[:count])
    ]
    tree = Tree(tuple(payer_leaf(deal, bench.domain) for deal in deals))
    return deals, tree, bench.do(JC, Commit(slot, tree.root, tree.total, deals[0].claim_until + 3600))


def _timeouts(bench: Bench) -> Iterator[Cost]:
    deal, _ = bench.opened()
    bench.chain.move_to(deal.deliver_by + deal.grace + 1)
    absent = bench.do(JC, Absent(deal, None))
    bench.pass_deadline(deal)
    yield Cost("provider vanished", {"absent": absent, "finalize": bench.do(JC, Finalize(deal))})
    deal, _ = bench.opened()
    deliver = bench.do(RP, Deliver(deal, SEALED, bench.sign(JC, Receipt(deal.id(bench.domain), SEALED))))
    bench.pass_deadline(deal)
    yield Cost("payer vanished", {"deliver": deliver, "finalize": bench.do(RP, Finalize(deal))})


def _disputes(bench: Bench) -> Iterator[Cost]:
    deal, _ = bench.opened(pool=keccak(NAMED))
    accuse = bench.accuse(deal, NAMED)
    yield Cost("dispute, named 2 of 3", {"accuse": accuse, "vote": bench.vote(deal, NAMED, 2)}, 190_000)
    deal, _ = bench.opened(pool=keccak(POOL), jurors=5, quorum=3, appeal=60)
    parts = {"accuse": bench.accuse(deal, b""), "draw": bench.draw(deal), "vote": bench.vote(deal, POOL, 3)}
    bench.pass_deadline(deal)
    parts["finalize"] = bench.do(JC, Finalize(deal, POOL))
    yield Cost("dispute, drawn 3 of 5 from 21, appeal window", parts, 310_000)
    deal, _ = bench.opened(pool=keccak(POOL), appeal=60)
    bench.accuse(deal, b"")
    bench.draw(deal)
    bench.vote(deal, POOL, 2)
    parts = {"appeal": bench.do(RP, Appeal(deal, POOL, True)), "draw": bench.draw(deal)}
    yield Cost("an appeal to 7 others", {**parts, "vote": bench.vote(deal, POOL, 4, turn=1)})


_PATHS: tuple[Callable[[Bench], Iterator[Cost]], ...] = (
    _first_time,
    _lone,
    _line,
    _many,
    _batches,
    _batch_dispute,
    _timeouts,
    _disputes,
)
