"""Holds go to addresses that could pay, a few at a time; whoever breaks its word is replaced at once."""

from __future__ import annotations

from agents.provider import MOST_HOLDS_A_BUYER
from agents.reports import Agreed, Noted, Outcome, TalkOver
from protocol.messages import Accept, Decline, Outbid
from simulator.population import FUNDS
from simulator.world import START
from tests.agents.market import Market, customer, judge, seller


def test_an_address_without_money_gets_no_hold() -> None:
    poor, rich = customer("poor"), customer("rich")
    market = Market(poor, rich, seller("machine", 100), judge())
    ledger = market.world.ledger
    ledger.vault.accounts[poor.address] = ledger.vault.accounts[poor.address].__class__(50, 0)
    ledger.deposited -= FUNDS - 50
    ledger.confirmed = ledger._state()
    wanted, paid = market.want(poor), market.want(rich, 31.0)
    market.run()
    assert market.end(wanted).outcome is Outcome.NO_AGREEMENT
    assert "are free in your account of the vault" in market.heard(wanted, TalkOver)[0].reason
    assert len(market.said(Accept)) == 1
    assert market.heard(paid, Agreed)


def test_one_buyer_holds_only_a_few_at_a_time() -> None:
    buyer = customer()
    market = Market(buyer, seller("machine", 100), judge())
    jobs = [market.want(buyer, 30.0) for _ in range(MOST_HOLDS_A_BUYER + 1)]
    held = []
    handled = market.handled

    def watched(world, peer, event, effects) -> None:  # type: ignore[no-untyped-def]
        handled(world, peer, event, effects)
        if peer.name == "machine":
            held.append(len(peer.agent.promises.of(buyer.address)))

    market.handled = watched  # type: ignore[method-assign]
    market.run()
    assert max(held) == MOST_HOLDS_A_BUYER
    assert any("too many holds" in move.reason for move in market.said(Decline))
    assert not market.said(Outbid)
    assert all(market.end(job).paid for job in jobs)  # the last one a little later


def test_a_fallback_is_sought_at_once_long_after_the_first_search_has_ended() -> None:
    for patience, outcome in ((30, Outcome.DONE), (0, Outcome.TIMED_OUT)):
        buyer = customer()
        market = Market(buyer, seller("cheap", 100, kind="vanisher"), seller("dear", 300), judge())
        job = market.want(buyer, deadline=int(START) + 40, patience=patience)
        market.run()
        ended = market.end(job).outcome
        assert ended is outcome or (patience and ended is Outcome.FAILED)
        chosen = [agreed.provider for agreed in market.heard(job, Agreed)]
        assert len(chosen) == (2 if patience else 1)
        if patience:
            (noted,) = [n for n in market.heard(job, Noted) if "another provider is sought" in n.text]
            assert noted
            assert market.world.now > START + 40
