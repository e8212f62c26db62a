"""What each path through the vault costs, measured by mining real transactions, against the design's bounds."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from eth_hash.auto import keccak

from contracts.artifact import vault_artifact
from contracts.devchain.genesis import born
from contracts.encoding import deals_query, encode_call, lock_query, words
from contracts.transaction import Transaction, sign
from protocol.deal import Bill, Deal, Receipt, Result, Ruling, Vote, Voucher
from protocol.eip712 import Domain, digest
from protocol.identity import Address
from protocol.vault_calls import (
    Absent,
    Accuse,
    Appeal,
    CastVotes,
    Commit,
    Deliver,
    Deposit,
    Draw,
    Enter,
    Finalize,
    Free,
    Join,
    Open,
    Payment,
    Redeem,
    Settle,
    SettleLock,
    VaultCall,
    Withdraw,
)
from protocol.vault_disputes import SEED_DELAY
from protocol.vault_state import DealState, Lock
from protocol.vault_tree import SeatName, Tree, payer_leaf, provider_leaf
from tests.contracts.twin import Person, draft

COIN = 10**18
JC, RP = Person.number(1), Person.number(2)
PARTNERS = [Person.number(n) for n in range(100, 200)]
PROVIDERS = [Person.number(n) for n in range(100, 132)]
MEDIATORS = sorted((Person.number(n) for n in range(11, 32)), key=lambda person: person.address)
SEALED = b"\x05" * 32


@dataclass
class Bench:
    """A vault on the dev chain's ledger, without HTTP between."""

    nonces: dict[Address, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        everybody = [JC, RP, *PARTNERS, *MEDIATORS]
        funds = {person.address: 100 * COIN for person in everybody}
        self.ledger, vault = born(1337, funds, funds, 60, 86400, vault_artifact())
        self.vault = Address(vault)
        self.domain = Domain(1337, self.vault)

    def do(self, by: Person, call: VaultCall) -> int:
        """Mine it and return the gas it used."""
        payload, value = encode_call(call)
        nonce = self.nonces.get(by.address, 0)
        self.nonces[by.address] = nonce + 1
        transaction = Transaction(1337, nonce, self.vault, value, payload, 4_000_000, 10**10, 1)
        self.ledger.take(sign(transaction, by.key).raw)
        (mined,) = self.ledger.mine().transactions
        assert mined.status == 1, type(call).__name__
        return mined.gas_used

    def sign(self, by: Person, struct: object) -> bytes:
        return by.sign(digest(self.domain, struct))

    def move_to(self, moment: int) -> None:
        self.ledger.next_timestamp = moment

    def state(self, deal: Deal) -> DealState:
        state = self.ledger.state_at(self.ledger.head)
        done = self.ledger.execute(state, bytes(20), self.vault, 0, deals_query([deal.id(self.domain)]), 10**7)
        return DealState.of(words(done.output, 1)[0])

    def lock_number(self, who: Person, slot: int) -> int:
        """What the next lock of a slot will be called."""
        state = self.ledger.state_at(self.ledger.head)
        return (
            Lock.of(
                self.ledger.execute(state, bytes(20), self.vault, 0, lock_query(who.address, slot), 10**7).output
            ).number
            + 1
        )

    def agree(self, rp: Person = RP, **changes: object) -> Deal:
        pay = 2_345_678_901_234_567
        terms = keccak(rp.address + repr(changes).encode() + len(self.nonces).to_bytes(4, "big"))
        usual = {
            "pay": pay,
            "jc_stake": pay // 5,
            "rp_stake": pay,
            "cheat": 10 * pay,
            "fee": pay // 7,
            "juror_stake": 10 * pay,
            "terms": keccak(terms + self.ledger.head.number.to_bytes(8, "big")),
            "pool": keccak(terms),
        }
        return draft(JC, rp, self.ledger.now(), **{**usual, **changes})

    def opened(self, rp: Person = RP, **changes: object) -> tuple[Deal, int]:
        deal = self.agree(rp, **changes)
        return deal, self.do(JC, Open(deal, self.sign(rp, deal)))


@pytest.fixture(scope="module")
def bench() -> Bench:
    bench = Bench()
    for member in MEDIATORS:
        bench.do(member, Join(COIN))
    warm, _ = bench.opened()
    bench.do(JC, Settle((Payment(warm, warm.pay, final=True),)))
    return bench


def show(title: str, **costs: int) -> int:
    total = sum(costs.values())
    print(f"{title:38}{total:>9,}   " + " + ".join(f"{name} {cost:,}" for name, cost in costs.items()))
    return total


def test_money_in_and_out(bench: Bench) -> None:
    fresh = Person.number(77)
    show("deposit, first", deposit=bench.do(JC, Deposit(fresh.address, COIN)))
    show("deposit, later", deposit=bench.do(JC, Deposit(fresh.address, COIN)))
    show("withdraw", withdraw=bench.do(JC, Withdraw(COIN, JC.address)))


def test_a_lone_deal_costs_at_most_125_000(bench: Bench) -> None:
    deal, gas = bench.opened()
    settle = bench.do(JC, Settle((Payment(deal, deal.pay, final=True),)))
    assert show("lone deal, final payment", open=gas, settle=settle) <= 125_000
    deal, gas = bench.opened()
    bill = bench.sign(RP, Bill(deal.id(bench.domain), deal.pay // 2))
    settle = bench.do(JC, Settle((Payment(deal, deal.pay // 2, bill, final=True),)))
    assert show("lone deal, final payment with a bill", open=gas, settle=settle) <= 125_000
    deal, gas = bench.opened()
    redeem = bench.do(RP, Redeem(deal, deal.pay, bench.sign(JC, Voucher(deal.id(bench.domain), deal.pay))))
    bench.move_to(deal.claim_until + 1)
    show("lone deal by voucher", open=gas, redeem=redeem, release=bench.do(RP, Free(deal)))


def test_a_line_of_a_hundred_jobs_costs_at_most_1_500_each(bench: Bench) -> None:
    line, gas = bench.opened()
    owed = line.pay * 9 // 10
    bill = bench.sign(RP, Bill(line.id(bench.domain), owed))
    settle = bench.do(JC, Settle((Payment(line, owed, bill, final=True),)))
    assert show("one of a line of 100 jobs", open=gas // 100, settle=settle // 100) <= 1_500


@pytest.mark.parametrize("size", [8, 32])
def test_settling_with_many_at_once(bench: Bench, size: int) -> None:
    opened = [bench.opened(rp) for rp in PROVIDERS[:size]]
    settle = bench.do(JC, Settle(tuple(Payment(deal, deal.pay, final=True) for deal, _ in opened)))
    opening = sum(gas for _, gas in opened) // size
    assert show(f"one of {size} settled together", open=opening, settle=settle // size) <= 115_000


def batch(bench: Bench, slot: int, count: int) -> tuple[list[Deal], Tree, list[Tree], int]:
    """Deals of one payer with ``count`` partners, locked; the gas of the payer's commit."""
    number = bench.lock_number(JC, slot)
    usual = {"pool": keccak(b"".join(member.address for member in MEDIATORS[:3]))}
    partners = [PARTNERS[i] for i in range(count)]
    deals = [
        bench.agree(
            rp,
            jc_seat=SeatName(slot, number, position).word(),
            rp_seat=SeatName(0, bench.lock_number(rp, 0), 0).word(),
            **usual,
        )
        for position, rp in enumerate(partners)
    ]
    tree = Tree(tuple(payer_leaf(deal, bench.domain) for deal in deals))
    theirs = [Tree((provider_leaf(deal, bench.domain),)) for deal in deals]
    until = deals[0].claim_until + 3600
    return deals, tree, theirs, bench.do(JC, Commit(slot, tree.root, tree.total, until))


@pytest.mark.parametrize("count", [10, 50, 100])
def test_a_batch_of_a_hundred_partners_costs_the_payer_at_most_10_000_each(bench: Bench, count: int) -> None:
    everybody = (1 << count) - 1
    for title in ("first time", "steady"):
        deals, tree, _, commit = batch(bench, count, count)
        settle = bench.do(JC, SettleLock(count, tree.leaves, everybody))
        each = show(f"one of {count} in a batch, {title}", commit=commit // count, settle=settle // count)
    assert each <= 10_000 or count < 100
    deals, tree, _, commit = batch(bench, count, count)
    amounts = tuple(deal.pay - 7 for deal in deals)
    bills = tuple(
        bench.sign(rp, Bill(deal.id(bench.domain), amount))
        for rp, deal, amount in zip(PARTNERS, deals, amounts, strict=False)
    )
    settle = bench.do(JC, SettleLock(count, tree.leaves, everybody, amounts, bills))
    show(f"one of {count} in a batch, with bills", commit=commit // count, settle=settle // count)


def test_a_dispute_out_of_a_batch(bench: Bench) -> None:
    pool = b"".join(member.address for member in MEDIATORS[:3])
    deals, tree, theirs, _ = batch(bench, 99, 20)
    until = deals[0].claim_until + 3600
    rp = PARTNERS[0]
    bench.nonces.setdefault(rp.address, 0)
    lock = bench.do(rp, Commit(0, theirs[0].root, theirs[0].total, until))
    enter = bench.do(JC, Enter(deals[0], tree.path(0), theirs[0].path(0)))
    accuse = accused(bench, pool, deals[0], rp)
    show("named 2 of 3 out of a batch of 20", enter=enter, accuse=accuse, vote=voted(bench, deals[0], pool, 2))
    show("a provider's commit for one deal", commit=lock)


def test_timeouts(bench: Bench) -> None:
    deal, _ = bench.opened()
    bench.move_to(deal.deliver_by + deal.grace + 1)
    absent = bench.do(JC, Absent(deal, None))
    bench.move_to(bench.state(deal).deadline + 1)
    show("provider vanished", absent=absent, finalize=bench.do(JC, Finalize(deal)))
    deal, _ = bench.opened()
    receipt = bench.sign(JC, Receipt(deal.id(bench.domain), SEALED))
    deliver = bench.do(RP, Deliver(deal, SEALED, receipt))
    bench.move_to(bench.state(deal).deadline + 1)
    show("payer vanished", deliver=deliver, finalize=bench.do(RP, Finalize(deal)))


def accused(bench: Bench, pool: bytes, deal: Deal, rp: Person = RP) -> int:
    result = Result(deal.id(bench.domain), SEALED, 0, 123_456)
    return bench.do(JC, Accuse(deal, result, bench.sign(rp, result), pool))


def voted(bench: Bench, deal: Deal, pool: bytes, count: int, turn: int = 0) -> int:
    bits = bench.state(deal).sitting
    seats = [seat for seat in range(24) if bits >> seat & 1][:count]
    vote = Vote(deal.id(bench.domain), turn, Ruling.WRONG, SEALED)
    votes = tuple((seat, bench.sign(MEDIATORS[seat], vote)) for seat in seats)
    return bench.do(JC, CastVotes(deal, pool, Ruling.WRONG, SEALED, votes))


def drawn(bench: Bench, deal: Deal, pool: bytes) -> int:
    for _ in range(SEED_DELAY):
        bench.ledger.mine()
    return bench.do(JC, Draw(deal, pool))


def test_a_dispute_with_a_named_jury_costs_at_most_190_000(bench: Bench) -> None:
    pool = b"".join(member.address for member in MEDIATORS[:3])
    deal, _ = bench.opened(pool=keccak(pool))
    accuse = accused(bench, pool, deal)
    assert show("named 2 of 3", accuse=accuse, vote=voted(bench, deal, pool, 2)) <= 190_000


def test_a_dispute_with_a_drawn_jury_and_an_appeal_window_costs_at_most_310_000(bench: Bench) -> None:
    pool = b"".join(member.address for member in MEDIATORS)
    deal, _ = bench.opened(pool=keccak(pool), jurors=5, quorum=3, appeal=60)
    accuse, draw = accused(bench, b"", deal), drawn(bench, deal, pool)
    vote = voted(bench, deal, pool, 3)
    bench.move_to(bench.state(deal).deadline + 1)
    finalize = bench.do(JC, Finalize(deal, pool))
    assert (
        show("drawn 3 of 5 from 21, appeal window", accuse=accuse, draw=draw, vote=vote, finalize=finalize) <= 310_000
    )


def test_an_appeal(bench: Bench) -> None:
    pool = b"".join(member.address for member in MEDIATORS)
    deal, _ = bench.opened(pool=keccak(pool), jurors=3, quorum=2, appeal=60)
    accused(bench, b"", deal)
    drawn(bench, deal, pool)
    voted(bench, deal, pool, 2)
    appeal = bench.do(RP, Appeal(deal, pool, True))
    draw = drawn(bench, deal, pool)
    show("appeal to 7 others", appeal=appeal, draw=draw, vote=voted(bench, deal, pool, 4, turn=1))
