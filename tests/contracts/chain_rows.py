"""Every row of the outcome table as signed transactions on a real chain: who ends with what, to the unit.

One row is one function of a `Bench`; it opens its own deal, so rows share a chain. Outcomes are what the design's table
says, worked out here from the deal's fields and not by the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eth_hash.auto import keccak

from contracts.encoding import accounts_query, mediators_query, words
from protocol.deal import Bill, Deal, Receipt, Release, Result, Ruling, Started, Successor, Vote, Voucher
from protocol.vault_calls import (
    Absent,
    Accuse,
    Appeal,
    CastVotes,
    Commit,
    Contest,
    Deliver,
    Draw,
    Enter,
    Finalize,
    Free,
    Join,
    NoInputs,
    Open,
    Part,
    Payment,
    Redeem,
    Resume,
    Settle,
    SettleLock,
    Show,
    Vacate,
)
from protocol.vault_state import Account, Mediator, Outcome, State
from protocol.vault_tree import SeatName, Tree, payer_leaf, provider_leaf
from tests.contracts.chains import COIN, JC, MEDIATORS, NAMED, POOL, RP, Caller, Chain
from tests.contracts.twin import Person, draft

SEALED, EVIDENCE, OTHER_EVIDENCE = b"\x05" * 32, b"\x06" * 32, b"\x07" * 32
STAKE = 500


class Scene(Caller):
    """What the two parties and the mediators had when a row began, and what became of it."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        for member in MEDIATORS:
            self.do(member, Join(COIN))

    def begin(self) -> None:
        """A new row."""
        self.before = [account.balance for account in self.accounts()]
        self.stakes = [mediator.stake for mediator in self.mediators()]

    def accounts(self) -> list[Account]:
        """The two parties' accounts."""
        return [Account.of(word) for word in words(self.chain.read(accounts_query([JC.address, RP.address])), 2)]

    def mediators(self) -> list[Mediator]:
        """All mediators' stakes."""
        query = mediators_query([member.address for member in MEDIATORS])
        return [Mediator.of(word) for word in words(self.chain.read(query), len(MEDIATORS))]

    def agree(self, **changes: object) -> Deal:
        """A deal that nobody had before."""
        self.deals += 1
        usual: dict[str, object] = {"pool": keccak(NAMED), "terms": keccak(b"row %d" % self.deals)}
        return draft(JC, RP, self.chain.now(), **{**usual, **changes})

    def opened(self, **changes: object) -> Deal:
        """Locked by both."""
        deal = self.agree(**changes)
        self.do(JC, Open(deal, self.sign(RP, deal)))
        return deal

    def accuse(self, deal: Deal, pool: bytes = NAMED) -> None:
        """The payer shows the provider's signed result."""
        result = Result(deal.id(self.domain), SEALED, 0, 7)
        self.do(JC, Accuse(deal, result, self.sign(RP, result), pool))

    def draw(self, deal: Deal) -> list[int]:
        """The jury's seats, once the block is there."""
        self.wait_for_seed()
        self.do(JC, Draw(deal, POOL))
        return self.sitting(deal)

    def vote(
        self, deal: Deal, ruling: int, seats: Sequence[int], *, pool: bytes = NAMED, on: bytes = EVIDENCE, turn: int = 0
    ) -> None:
        """Some jurors' votes, handed in together."""
        vote = Vote(deal.id(self.domain), turn, ruling, on)
        votes = tuple((seat, self.sign(MEDIATORS[seat], vote)) for seat in seats)
        self.do(RP, CastVotes(deal, pool, ruling, on, votes))

    def ends(self, deal: Deal, outcome: Outcome, jc: int, rp: int, fees: dict[int, int] | None = None) -> None:
        """Everything is over, and this is what it came to; ``fees`` by seat of the mediators."""
        standing = self.state(deal)
        assert (standing.state, standing.outcome) == (State.CLOSED, outcome)
        self.gains(jc, rp, fees)

    def gains(self, jc: int, rp: int, fees: dict[int, int] | None = None) -> None:
        """What each won or lost, with nothing left locked or at risk."""
        after = self.accounts()
        assert [account.balance - had for account, had in zip(after, self.before, strict=True)] == [jc, rp]
        assert [account.locked for account in after] == [0, 0]
        mediators = self.mediators()
        assert all(mediator.busy == 0 for mediator in mediators)
        changes = {n: m.stake - had for n, (m, had) in enumerate(zip(mediators, self.stakes, strict=True))}
        assert {seat: change for seat, change in changes.items() if change} == (fees or {})


def all_is_well_and_the_payer_pays(it: Scene) -> None:
    deal = it.opened()
    it.do(JC, Settle((Payment(deal, deal.pay, final=True),)))
    it.ends(deal, Outcome.DONE, -deal.pay, deal.pay)


def all_is_well_by_a_bill(it: Scene) -> None:
    deal = it.opened()
    bill = it.sign(RP, Bill(deal.id(it.domain), 400))
    it.do(JC, Settle((Payment(deal, 400, bill, final=True),)))
    it.ends(deal, Outcome.DONE, -400, 400)


def all_is_well_by_a_voucher(it: Scene) -> None:
    deal = it.opened()
    it.do(RP, Redeem(deal, 700, it.sign(JC, Voucher(deal.id(it.domain), 700))))
    assert [account.locked for account in it.accounts()] == [0, deal.rp_share]
    it.chain.move_to(deal.claim_until + 1)
    it.do(RP, Free(deal))
    it.ends(deal, Outcome.DONE, -700, 700)


def _batch(it: Scene, count: int = 2) -> tuple[list[Deal], Tree, Tree]:
    """Deals of the two parties in one lock of each, not committed yet."""
    mine, theirs = it.lock(JC, 0).number + 1, it.lock(RP, 0).number + 1
    deals = [it.agree(jc_seat=SeatName(0, mine, n).word(), rp_seat=SeatName(0, theirs, n).word()) for n in range(count)]
    leaves = [payer_leaf(deal, it.domain) for deal in deals]
    return deals, Tree(tuple(leaves)), Tree(tuple(provider_leaf(deal, it.domain) for deal in deals))


def _commit(it: Scene, who: Person, tree: Tree, deal: Deal) -> None:
    it.do(who, Commit(0, tree.root, tree.total, deal.claim_until + 500))


def all_is_well_in_a_batch(it: Scene) -> None:
    deals, mine, theirs = _batch(it)
    _commit(it, JC, mine, deals[0])
    _commit(it, RP, theirs, deals[0])
    it.do(JC, SettleLock(0, mine.leaves, 3))
    assert [account.locked for account in it.accounts()] == [0, 2 * deals[0].rp_share]
    it.refused(RP, Vacate(deals[0], True, theirs.path(0)))
    it.chain.move_to(deals[0].claim_until + 1)
    for n, deal in enumerate(deals):
        it.do(RP, Vacate(deal, True, theirs.path(n)))
    it.gains(-2000, 2000)


def only_one_side_commits(it: Scene) -> None:
    deals, mine, theirs = _batch(it, 1)
    _commit(it, JC, mine, deals[0])
    it.refused(RP, Enter(deals[0], mine.path(0), theirs.path(0)))
    it.refused(JC, Vacate(deals[0], False, mine.path(0)))
    it.chain.move_to(deals[0].start_by + 1)
    it.do(JC, Vacate(deals[0], False, mine.path(0)))
    it.gains(0, 0)


def the_partner_anchors_another_tree(it: Scene) -> None:
    deals, mine, theirs = _batch(it, 1)
    _commit(it, JC, mine, deals[0])
    it.do(RP, Commit(0, b"\x01" * 32, 5, deals[0].claim_until))
    it.refused(JC, Enter(deals[0], mine.path(0), theirs.path(0)))
    it.chain.move_to(deals[0].claim_until + 1)
    it.do(JC, Vacate(deals[0], False, mine.path(0)))
    it.do(RP, Commit(0, bytes(32), 0, 0))
    it.gains(0, 0)


def the_provider_vanishes(it: Scene) -> None:
    deal = it.opened()
    it.chain.move_to(deal.deliver_by + deal.grace + 1)
    started = it.sign(RP, Started(deal.id(it.domain)))
    it.do(JC, Absent(deal, started))
    it.refused(RP, NoInputs(deal))
    it.pass_deadline(deal)
    it.do(JC, Finalize(deal))
    it.ends(deal, Outcome.VANISHED, deal.rp_stake, -deal.rp_stake)


def the_provider_of_a_batch_vanishes(it: Scene) -> None:
    deals, mine, theirs = _batch(it, 1)
    _commit(it, JC, mine, deals[0])
    _commit(it, RP, theirs, deals[0])
    it.do(JC, Enter(deals[0], mine.path(0), theirs.path(0)))
    it.chain.move_to(deals[0].deliver_by + deals[0].grace + 1)
    it.do(JC, Absent(deals[0], None))
    it.pass_deadline(deals[0])
    it.do(JC, Finalize(deals[0]))
    it.ends(deals[0], Outcome.VANISHED, deals[0].rp_stake, -deals[0].rp_stake)


def inputs_never_arrive(it: Scene) -> None:
    deal = it.opened()
    it.chain.move_to(deal.deliver_by + deal.grace + 1)
    it.do(JC, Absent(deal, None))
    it.do(RP, NoInputs(deal))
    it.ends(deal, Outcome.LAPSED, 0, 0)


def the_payer_denies_what_it_acknowledged(it: Scene) -> None:
    deal = it.opened()
    bond = 3 * deal.fee
    it.chain.move_to(deal.deliver_by + deal.grace + 1)
    it.do(JC, Absent(deal, None))
    it.do(RP, Redeem(deal, deal.pay, it.sign(JC, Voucher(deal.id(it.domain), deal.pay))))
    it.chain.move_to(deal.claim_until + 1)
    it.do(JC, Free(deal))
    it.ends(deal, Outcome.DONE, -deal.pay - bond, deal.pay + bond)


def the_payer_vanishes_after_delivery(it: Scene) -> None:
    deal = it.opened()
    it.do(RP, Deliver(deal, SEALED, None))
    it.pass_deadline(deal)
    it.do(RP, Finalize(deal))
    it.chain.move_to(deal.claim_until + 1)
    it.do(RP, Free(deal))
    it.ends(deal, Outcome.DONE, -deal.jc_share, deal.jc_share)


def a_delivery_that_never_was(it: Scene) -> None:
    deal = it.opened()
    it.do(RP, Deliver(deal, SEALED, None))
    it.do(JC, Contest(deal, NAMED))
    it.vote(deal, Ruling.NOT_FETCHABLE, (0, 1))
    gain = deal.rp_stake + deal.cheat - 2 * deal.fee
    it.ends(deal, Outcome.NOT_FETCHABLE, gain, -deal.rp_share, {0: deal.fee, 1: deal.fee})


def served_to_jurors_but_not_to_the_payer(it: Scene) -> None:
    deal = it.opened()
    it.do(RP, Deliver(deal, SEALED, it.sign(JC, Receipt(deal.id(it.domain), SEALED))))
    it.do(JC, Contest(deal, NAMED))
    it.vote(deal, Ruling.RIGHT, (0, 2))
    it.ends(deal, Outcome.RIGHT, -deal.pay - deal.fee, deal.pay - deal.fee, {0: deal.fee, 2: deal.fee})


def the_result_is_late(it: Scene) -> None:
    deal = it.opened()
    it.chain.move_to(deal.deliver_by + deal.grace + 1)
    it.refused(RP, Deliver(deal, SEALED, None))
    it.do(JC, Absent(deal, None))
    it.refused(RP, Deliver(deal, SEALED, None))
    it.pass_deadline(deal)
    it.do(RP, Finalize(deal))
    it.ends(deal, Outcome.VANISHED, deal.rp_stake, -deal.rp_stake)


def a_wrong_result(it: Scene) -> None:
    deal = it.opened()
    it.accuse(deal)
    it.vote(deal, Ruling.WRONG, (1, 2))
    gain = deal.cheat - 2 * deal.fee
    it.ends(deal, Outcome.WRONG, gain, -deal.cheat, {1: deal.fee, 2: deal.fee})


def a_wrong_result_already_paid(it: Scene) -> None:
    deal = it.opened()
    it.do(JC, Settle((Payment(deal, deal.pay),)))
    it.accuse(deal)
    it.vote(deal, Ruling.WRONG, (1, 2))
    gain = deal.cheat - 2 * deal.fee
    it.ends(deal, Outcome.WRONG, gain - deal.pay, deal.pay - deal.cheat, {1: deal.fee, 2: deal.fee})


def a_wrong_result_in_a_batch(it: Scene) -> None:
    (deal,), mine, theirs = _batch(it, 1)
    _commit(it, JC, mine, deal)
    _commit(it, RP, theirs, deal)
    result = Result(deal.id(it.domain), SEALED, 0, 7)
    it.do(JC, Accuse(deal, result, it.sign(RP, result), NAMED, (mine.path(0), theirs.path(0))))
    it.vote(deal, Ruling.WRONG, (0, 1))
    it.ends(deal, Outcome.WRONG, deal.cheat - 2 * deal.fee, -deal.cheat, {0: deal.fee, 1: deal.fee})


def a_false_accusation(it: Scene) -> None:
    deal = it.opened()
    it.accuse(deal)
    it.vote(deal, Ruling.RIGHT, (0, 1))
    bond = 3 * deal.fee
    it.ends(deal, Outcome.RIGHT, -deal.pay - bond, deal.pay + bond - 2 * deal.fee, {0: deal.fee, 1: deal.fee})


def a_silent_jury_with_a_redraw(it: Scene) -> None:
    deal = it.opened(pool=keccak(POOL))
    it.accuse(deal, b"")
    first = it.draw(deal)
    it.vote(deal, 0, first, pool=POOL, on=bytes(32))
    it.pass_deadline(deal)
    it.do(JC, Finalize(deal, POOL))
    second = it.draw(deal)
    assert not set(first) & set(second)
    it.pass_deadline(deal)
    it.do(JC, Finalize(deal, POOL))
    lost = 3 * STAKE
    jc, rp = lost - lost // 2, lost // 2
    it.ends(deal, Outcome.SPLIT, jc - deal.pay // 2, rp + deal.pay // 2, dict.fromkeys(first, -STAKE))


def a_mediator_copies(it: Scene) -> None:
    deal = it.opened()
    it.accuse(deal)
    it.vote(deal, Ruling.WRONG, (0,), on=OTHER_EVIDENCE)
    assert it.state(deal).state is State.JURY
    it.vote(deal, Ruling.WRONG, (1,))
    assert it.state(deal).state is State.JURY, "votes over other commitments don't add up"
    it.vote(deal, Ruling.WRONG, (2,))
    it.ends(deal, Outcome.WRONG, deal.cheat - 2 * deal.fee, -deal.cheat, {1: deal.fee, 2: deal.fee})


def a_mediator_guesses_alone(it: Scene) -> None:
    deal = it.opened()
    it.accuse(deal)
    it.vote(deal, Ruling.WRONG, (2,))
    it.vote(deal, Ruling.RIGHT, (0, 1))
    bond = 3 * deal.fee
    it.ends(deal, Outcome.RIGHT, -deal.pay - bond, deal.pay + bond - 2 * deal.fee, {0: deal.fee, 1: deal.fee})


def a_guessing_jury_is_overturned(it: Scene) -> None:
    deal = it.opened(pool=keccak(POOL), appeal=100)
    it.accuse(deal, b"")
    first = it.draw(deal)
    it.vote(deal, Ruling.WRONG, first[:2], pool=POOL)
    it.refused(JC, Finalize(deal, POOL))
    it.do(RP, Appeal(deal, POOL, True))
    second = it.draw(deal)
    assert len(second) == 7
    assert not set(first) & set(second)
    it.vote(deal, Ruling.RIGHT, second[:4], pool=POOL, turn=1)
    bond, lost = 3 * deal.fee, 2 * STAKE
    fees = dict.fromkeys(first[:2], -STAKE) | dict.fromkeys(second[:4], deal.fee)
    it.ends(deal, Outcome.RIGHT, lost // 2 - deal.pay - bond, lost // 2 + deal.pay - deal.fee, fees)


def a_jury_that_was_shown_nothing_is_overturned(it: Scene) -> None:
    deal = it.opened(pool=keccak(POOL), appeal=100)
    it.accuse(deal, b"")
    first = it.draw(deal)
    it.vote(deal, Ruling.RIGHT, first[:1], pool=POOL)
    it.vote(deal, Ruling.RIGHT, first[1:2], pool=POOL, on=bytes(32))
    it.do(JC, Appeal(deal, POOL, False))
    second = it.draw(deal)
    it.vote(deal, Ruling.WRONG, second[:4], pool=POOL, turn=1)
    # four fees: three from the collateral, and one from the appellant's bond
    gain = deal.cheat - 3 * deal.fee
    it.ends(deal, Outcome.WRONG, gain - deal.fee, -deal.cheat, dict.fromkeys(second[:4], deal.fee))


def a_ruling_is_upheld(it: Scene) -> None:
    deal = it.opened(pool=keccak(POOL), appeal=100)
    it.accuse(deal, b"")
    first = it.draw(deal)
    it.vote(deal, Ruling.WRONG, first[:2], pool=POOL)
    it.do(RP, Appeal(deal, POOL, True))
    second = it.draw(deal)
    it.vote(deal, Ruling.WRONG, second[:4], pool=POOL, turn=1)
    fees = dict.fromkeys([*first[:2], *second[:4]], deal.fee)
    rest = 7 * deal.fee - 4 * deal.fee
    it.ends(deal, Outcome.WRONG, deal.cheat - 2 * deal.fee + rest, -deal.cheat - 7 * deal.fee, fees)


def a_ruling_waits_for_the_time_to_appeal(it: Scene) -> None:
    deal = it.opened(appeal=100)
    it.accuse(deal)
    it.vote(deal, Ruling.WRONG, (0, 1))
    it.refused(JC, Finalize(deal, NAMED))
    it.pass_deadline(deal)
    it.do(JC, Finalize(deal, NAMED))
    it.ends(deal, Outcome.WRONG, deal.cheat - 2 * deal.fee, -deal.cheat, {0: deal.fee, 1: deal.fee})


def _line(it: Scene) -> Deal:
    # no terms tell two lines of the same second apart
    line = it.agree(pay=5000 + it.deals, cheat=20_000, terms=bytes(32), claim_until=it.chain.now() + 3000)
    it.do(JC, Open(line, it.sign(RP, line)))
    return line


def _show(it: Scene, by: Person, line: Deal, number: int, deal: Deal, owed: int) -> None:
    successor = Successor(line.id(it.domain), number, deal.id(it.domain), owed)
    signatures = it.sign(JC, successor), it.sign(RP, successor)
    it.do(by, Show(line, number, successor.deal, owed, signatures))


def _resume(it: Scene, line: Deal, deal: Deal, owed: int) -> None:
    it.refused(JC, Resume(line, deal, owed))
    it.pass_deadline(line)
    it.do(JC, Resume(line, deal, owed))


def jobs_on_a_line_are_paid_together(it: Scene) -> None:
    line = _line(it)
    it.do(RP, Part(line, 4321, it.sign(JC, Release(line.id(it.domain), 4321))))
    it.ends(line, Outcome.PARTED, -4321, 4321)


def the_provider_of_a_line_vanishes(it: Scene) -> None:
    line, deal = _line(it), it.agree()
    _show(it, JC, line, 4, deal, 1500)
    _resume(it, line, deal, 1500)
    it.chain.move_to(deal.deliver_by + deal.grace + 1)
    it.do(JC, Absent(deal, None))
    it.pass_deadline(deal)
    it.do(JC, Finalize(deal))
    it.ends(deal, Outcome.VANISHED, deal.rp_stake - 1500, 1500 - deal.rp_stake)


def the_payer_of_a_line_vanishes(it: Scene) -> None:
    line, deal = _line(it), it.agree(grace=500, claim_until=it.chain.now() + 2000)
    _show(it, RP, line, 1, deal, 200)
    _resume(it, line, deal, 200)
    it.do(RP, Deliver(deal, SEALED, None))
    it.pass_deadline(deal)
    it.do(RP, Finalize(deal))
    it.chain.move_to(deal.claim_until + 1)
    it.do(RP, Free(deal))
    it.ends(deal, Outcome.DONE, -200 - deal.jc_share, 200 + deal.jc_share)


def a_stale_version_is_answered_by_a_later_one(it: Scene) -> None:
    line, old, late = _line(it), it.agree(), it.agree()
    _show(it, RP, line, 1, old, 0)
    _show(it, JC, line, 2, late, 1000)
    it.pass_deadline(line)
    it.refused(RP, Resume(line, old, 0))
    it.do(RP, Resume(line, late, 1000))
    it.do(JC, Settle((Payment(late, late.pay, final=True),)))
    it.ends(late, Outcome.DONE, -2000, 2000)


def a_wrong_result_on_a_line(it: Scene) -> None:
    line, deal = _line(it), it.agree()
    _show(it, JC, line, 7, deal, 3000)
    _resume(it, line, deal, 3000)
    it.accuse(deal)
    it.vote(deal, Ruling.WRONG, (0, 1))
    gain = deal.cheat - 2 * deal.fee
    it.ends(deal, Outcome.WRONG, gain - 3000, 3000 - deal.cheat, {0: deal.fee, 1: deal.fee})


def what_stood_on_a_line_and_nobody_asked_for_goes_home(it: Scene) -> None:
    line, deal = _line(it), it.agree()
    _show(it, JC, line, 1, deal, 0)
    it.chain.move_to(line.claim_until + 1)
    it.do(JC, Free(line))
    it.ends(line, Outcome.EXPIRED, 0, 0)


def a_reorganisation_drops_a_commit_and_the_same_bytes_come_again(it: Scene) -> None:
    (deal,), mine, theirs = _batch(it, 1)
    _commit(it, RP, theirs, deal)
    raw = it.signed(JC, Commit(0, mine.root, mine.total, deal.claim_until + 500))
    assert it.chain.send(raw)[0]
    before = it.lock(JC, 0)
    it.chain.forget(1)
    assert it.lock(JC, 0).number == before.number - 1
    it.refused(RP, Enter(deal, mine.path(0), theirs.path(0)))
    assert it.chain.send(raw)[0]
    again = it.lock(JC, 0)
    assert (again.number, again.root) == (before.number, before.root)
    it.do(RP, Enter(deal, mine.path(0), theirs.path(0)))
    it.do(JC, Settle((Payment(deal, deal.pay, final=True),)))
    it.ends(deal, Outcome.DONE, -deal.pay, deal.pay)


def a_cheat_commits_something_else_after_a_reorganisation(it: Scene) -> None:
    (deal,), mine, theirs = _batch(it, 1)
    _commit(it, RP, theirs, deal)
    _commit(it, JC, mine, deal)
    it.chain.forget(1)
    it.nonces[JC.address] -= 1
    it.do(JC, Commit(0, bytes(32), 0, 0))
    it.refused(RP, Enter(deal, mine.path(0), theirs.path(0)))
    it.chain.move_to(deal.start_by + 1)
    it.do(RP, Vacate(deal, True, theirs.path(0)))
    it.gains(0, 0)


Row = Callable[[Scene], None]
ROWS: tuple[Row, ...] = (
    all_is_well_and_the_payer_pays,
    all_is_well_by_a_bill,
    all_is_well_by_a_voucher,
    all_is_well_in_a_batch,
    only_one_side_commits,
    the_partner_anchors_another_tree,
    the_provider_vanishes,
    the_provider_of_a_batch_vanishes,
    inputs_never_arrive,
    the_payer_denies_what_it_acknowledged,
    the_payer_vanishes_after_delivery,
    a_delivery_that_never_was,
    served_to_jurors_but_not_to_the_payer,
    the_result_is_late,
    a_wrong_result,
    a_wrong_result_already_paid,
    a_wrong_result_in_a_batch,
    a_false_accusation,
    a_silent_jury_with_a_redraw,
    a_mediator_copies,
    a_mediator_guesses_alone,
    a_guessing_jury_is_overturned,
    a_jury_that_was_shown_nothing_is_overturned,
    a_ruling_is_upheld,
    a_ruling_waits_for_the_time_to_appeal,
    jobs_on_a_line_are_paid_together,
    the_provider_of_a_line_vanishes,
    the_payer_of_a_line_vanishes,
    a_stale_version_is_answered_by_a_later_one,
    a_wrong_result_on_a_line,
    what_stood_on_a_line_and_nobody_asked_for_goes_home,
    a_reorganisation_drops_a_commit_and_the_same_bytes_come_again,
    a_cheat_commits_something_else_after_a_reorganisation,
)
