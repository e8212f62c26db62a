"""The grammar of a talk under random moves: nothing out of turn gets through, and both sides tell the same story."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.deal import Deal
from protocol.errors import OutOfTurn, PeerFault
from protocol.identity import Address
from protocol.messages import Accept, Bind, Confirm, Counter, Decline, Move, Outbid, Propose, Walk, Withdraw
from protocol.negotiation import MOST_ROUNDS, BrokenChain, Phase, Side, Talk, begin, step
from protocol.terms import Terms, deal_of
from protocol.types import UNSIGNED
from protocol.wire import digest
from simulator.population import RULES
from simulator.pretend import draw_job

JC, RP = Address(b"\x01" * 20), Address(b"\x02" * 20)
JOB = draw_job(Random(1))
BUYER, SELLER = Side.BUYER, Side.SELLER


def terms(pay: int) -> Terms:
    return RULES.terms(1000, JOB, pay, 0, ())


def agreed(talk: Talk) -> Deal:
    return deal_of(talk.terms, JC, RP, talk.table)


def opening() -> tuple[Talk, Propose]:
    move = Propose(bytes(16), JOB, 0, terms(10))
    return begin(move, digest(move)), move


def say(talk: Talk, side: Side, move: Move) -> Talk:
    return step(talk, side, move, digest(move))


def move_of(kind: type[Move], talk: Talk, pay: int) -> Move:
    """A move of this kind that answers the talk's last one."""
    link = (talk.id, talk.head)
    match kind.__name__:
        case "Counter":
            return Counter(*link, terms(pay))
        case "Accept":
            return Accept(*link, 1010)
        case "Outbid":
            return Outbid(*link)
        case "Confirm":
            return Confirm(*link, agreed(talk))
        case "Bind":
            return Bind(*link, agreed(talk), UNSIGNED)
        case "Decline":
            return Decline(*link, "no", final=False)
        case "Walk":
            return Walk(*link, "bye", final=False)
        case _:
            return Withdraw(*link)


KINDS = (Counter, Accept, Outbid, Confirm, Bind, Decline, Walk, Withdraw)
ALLOWED = {
    Phase.ASKED: {(SELLER, Counter), (SELLER, Accept), (BUYER, Withdraw)},
    Phase.ANSWERED: {(BUYER, Counter), (SELLER, Withdraw)},
    Phase.HELD: {(BUYER, Confirm), (SELLER, Outbid)},
    Phase.RELEASED: {(BUYER, Counter)},
    Phase.CONFIRMED: {(SELLER, Bind), (SELLER, Outbid)},
}
ALWAYS = {(BUYER, Walk), (SELLER, Walk), (SELLER, Decline)}


class TwoSides(RuleBasedStateMachine):
    """Both sides of one talk, with moves that arrive at once, late copies, and moves out of turn."""

    @initialize()
    def open_it(self) -> None:
        talk, move = opening()
        self.talks = {BUYER: talk, SELLER: talk}
        self.said: list[tuple[Side, Move]] = []
        self.first = move

    @rule(side=st.sampled_from(Side), kind=st.sampled_from(KINDS), pay=st.integers(1, 99))
    def somebody_moves(self, side: Side, kind: type[Move], pay: int) -> None:
        talk = self.talks[side]
        move = move_of(kind, talk, pay)
        if talk.phase in (Phase.OVER, Phase.BOUND) or digest(move) in talk.seen:
            assert say(talk, side, move) is talk
        elif (side, kind) in ALLOWED[talk.phase] | ALWAYS:
            self.talks = {each: say(self.talks[each], side, move) for each in Side}
            assert self.talks[BUYER].phase is not talk.phase
            self.said.append((side, move))
        else:
            with pytest.raises(OutOfTurn):
                say(talk, side, move)

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def a_late_copy_changes_nothing(self, data: st.DataObject) -> None:
        side, move = data.draw(st.sampled_from(self.said))
        for talk in self.talks.values():
            assert say(talk, side, move) is talk

    @rule(kind=st.sampled_from((Counter, Accept, Confirm, Bind)), side=st.sampled_from(Side))
    def an_answer_to_another_move_is_refused(self, kind: type[Move], side: Side) -> None:
        talk = self.talks[side]
        if talk.phase in (Phase.OVER, Phase.BOUND):
            return
        with pytest.raises((OutOfTurn, BrokenChain)):
            say(talk, side, replace(move_of(kind, talk, 5), previous=b"\x07" * 32))

    @invariant()
    def both_sides_agree(self) -> None:
        if hasattr(self, "talks"):
            assert self.talks[BUYER] == self.talks[SELLER]


TestTwoSides = TwoSides.TestCase
TestTwoSides.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_second_proposal_is_out_of_turn() -> None:
    talk, move = opening()
    with pytest.raises(OutOfTurn):
        say(talk, BUYER, replace(move, terms=terms(11)))


def test_a_confirmation_may_cross_a_better_bid() -> None:
    talk, _ = opening()
    held = say(talk, SELLER, Accept(talk.id, talk.head, 1010))
    outbid = Outbid(held.id, held.head)
    confirmed = say(held, BUYER, Confirm(held.id, held.head, agreed(held)))
    assert say(confirmed, SELLER, outbid).phase is Phase.RELEASED


def test_a_signature_of_another_deal_breaks_the_chain() -> None:
    talk, _ = opening()
    held = say(talk, SELLER, Accept(talk.id, talk.head, 1010))
    confirmed = say(held, BUYER, Confirm(held.id, held.head, agreed(held)))
    other = replace(agreed(held), pay=1)
    with pytest.raises(BrokenChain):
        say(confirmed, SELLER, Bind(confirmed.id, confirmed.head, other, UNSIGNED))
    assert say(confirmed, SELLER, Bind(confirmed.id, confirmed.head, agreed(held), UNSIGNED)).phase is Phase.BOUND


def test_what_a_world_fills_in_does_not_change_a_moves_name() -> None:
    _, move = opening()
    assert digest(replace(move, gateway=8080)) == digest(move)
    assert digest(replace(move, terms=terms(11))) != digest(move)


def test_nobody_haggles_for_ever() -> None:
    talk, _ = opening()
    for turn in range(MOST_ROUNDS + 1):
        if talk.phase is Phase.OVER:
            break
        talk = say(talk, SELLER if turn % 2 == 0 else BUYER, Counter(talk.id, talk.head, terms(turn)))
    assert talk.phase is Phase.OVER
    assert talk.reason == "too many rounds"


def test_a_walk_out_of_another_talk_is_refused() -> None:
    talk, _ = opening()
    with pytest.raises(PeerFault):
        say(talk, SELLER, Walk(talk.id, b"\x09" * 32, "bye", final=False))
