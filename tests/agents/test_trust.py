"""Jurors that run nothing are found out by false claims, left out of pools, and honest ones are not."""

from __future__ import annotations

from dataclasses import replace
from math import comb
from random import Random
from typing import Any

import pytest

from agents.job_creator import JobCreator
from agents.reports import Agreed, Noted
from agents.reputation import HALF_LIFE
from agents.request import CheckBy
from agents.trust import SLIP, Trust
from protocol.identity import Address
from simulator.faults import Crash, Plan
from simulator.population import address, mediator
from simulator.world import START, Peer
from tests.agents.market import Market, customer, seller

WHO = Address(b"\x05" * 20)
EVERY = 120.0
ALWAYS = 1_000_000


def claims(*jurors: str, count: int, provider: str = "liar", buyer: str = "honest", **more: Any) -> tuple[Market, Peer]:
    """One false claim after another before juries of three, by a job creator that checks with its own machine."""
    peers = [mediator(f"juror {i}", i, kind=kind) for i, kind in enumerate(jurors)]
    owner = customer(kind=buyer)
    market = Market(owner, seller("seeded", 100, kind=provider), *peers, **more)
    jobs = [
        market.want(owner, 30.0 + EVERY * number, check_ppm=ALWAYS, check_by=CheckBy.SELF) for number in range(count)
    ]
    market.run(30.0 + EVERY * count + 600)
    market.told_to = {job.id: market.told_to.get(job.id, []) for job in jobs}
    return market, owner


def pools(market: Market) -> list[tuple[Address, ...]]:
    """The pools of all deals, in order."""
    return [told.terms.mediators for reports in market.told_to.values() for told in reports if isinstance(told, Agreed)]


def trust_of(peer: Peer) -> Trust:
    assert isinstance(peer.agent, JobCreator)
    return peer.agent.trust


def test_a_juror_that_always_agrees_is_left_out_after_three_false_claims_and_its_user_is_told() -> None:
    market, owner = claims("honest", "honest", "agreer", "honest", count=6)
    agreer, found = address("juror 2"), pools(market)
    sat = {votes.peer: (votes.votes, votes.against) for votes in trust_of(owner).known()}
    assert sat[agreer] == (3, 3)
    assert all(against == 0 for who, (_, against) in sat.items() if who != agreer)
    assert agreer in found[0]
    assert agreer not in found[-1]
    assert len(found[-1]) == 3
    (told,) = [it.text for reports in market.told_to.values() for it in reports if isinstance(it, Noted)]
    assert told == f"mediator 0x{agreer.hex()}: 3 of its 3 votes were against what we knew: our pools leave it out"


@pytest.mark.parametrize("kind", ["copier", "guesser", "colluder"])
def test_other_jurors_without_a_run_of_their_own_are_found_out_the_same_way(kind: str) -> None:
    peers = ("honest", "honest", kind)
    if kind == "colluder":
        market_peers = [
            mediator(f"juror {i}", i, kind=it, friends=frozenset((address("seeded"),))) for i, it in enumerate(peers)
        ]
        owner = customer()
        market = Market(owner, seller("seeded", 100, kind="liar"), *market_peers)
        for number in range(5):
            market.want(owner, 30.0 + EVERY * number, check_ppm=ALWAYS, check_by=CheckBy.SELF)
        market.run(30.0 + EVERY * 5 + 600)
    else:
        market, owner = claims(*peers, count=5)
    assert trust_of(owner).is_doubted(market.world.now, address("juror 2"))
    assert not any(trust_of(owner).is_doubted(market.world.now, address(f"juror {i}")) for i in (0, 1))


def test_nobody_is_doubted_for_ruling_against_an_accuser_or_a_module_that_does_not_repeat() -> None:
    market, owner = claims("honest", "honest", "honest", count=5, provider="honest")
    assert trust_of(owner).known() == ()
    del market


def test_what_is_known_of_jurors_survives_a_crash() -> None:
    crash = Plan(crashes=(Crash(address("buyer"), START + 420, START + 425, mid_batch=False),))
    market, owner = claims("honest", "honest", "agreer", count=5, plan=crash)
    assert trust_of(owner).is_doubted(market.world.now, address("juror 2"))


def test_a_mediator_that_its_user_names_is_named_all_the_same() -> None:
    agreer = address("juror 2")
    peers = [mediator(f"juror {i}", i, kind=kind) for i, kind in enumerate(("honest", "honest", "agreer"))]
    owner = customer()
    market = Market(owner, seller("seeded", 100, kind="liar"), *peers)
    for number in range(5):
        named = (agreer, address("juror 0")) if number == 4 else ()
        job = market.want(owner, 30.0 + EVERY * number, check_ppm=ALWAYS, check_by=CheckBy.SELF, mediators=named)
    market.run(30.0 + EVERY * 5 + 600)
    (agreed,) = market.heard(job, Agreed)
    assert agreer in agreed.terms.mediators


def test_honest_jurors_are_hardly_ever_doubted_and_idle_ones_soon_are() -> None:
    rng, most = Random(3), 40
    honest = idle = 0
    for _ in range(2000):
        first, second = Trust(), Trust()
        for vote in range(most):
            first.note(vote, WHO, right=rng.random() >= SLIP)
            second.note(vote, WHO, right=rng.random() >= 0.5)
            honest += first.is_doubted(vote, WHO) and not vote < most - 1
        idle += second.is_doubted(most, WHO)
    # three slips within a few votes of each other: fewer than all that slip three times in forty votes
    assert honest / 2000 < 1 - sum(comb(most, n) * SLIP**n * (1 - SLIP) ** (most - n) for n in range(3))
    assert idle / 2000 > 0.99


def test_doubt_ages_and_a_good_past_covers_for_nobody() -> None:
    trust = Trust()
    for _ in range(50):
        trust.note(0, WHO, right=True)
    for number in range(3):
        assert not trust.is_doubted(0, WHO)
        votes = trust.note(0, WHO, right=False)
        assert (votes.votes, votes.against) == (51 + number, 1 + number)
    assert trust.is_doubted(0, WHO)
    for _ in range(20):
        trust.note(0, WHO, right=False)
    assert trust.is_doubted(HALF_LIFE, WHO)
    assert not trust.is_doubted(4 * HALF_LIFE, WHO)
    again = Trust()
    again.restore(replace(votes))
    assert again.is_doubted(0, WHO)
