"""Machines that can't compare two results, told as stories: they accuse nobody, and rule nothing they do not know."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from market import Market, customer, seller
from test_disputes import Trial, pool

from agents.effects import Effect
from agents.events import Compared, Event, NotCompared
from agents.reports import Checked, Noted, Verdict
from agents.request import CheckBy
from protocol.judging import UNSHOWN
from protocol.messages import Judged
from protocol.vault_state import Outcome as Ruling
from simulator.world import Agent, Peer


class Purblind:
    """An honest agent on a machine that can't compare results, for want of what reads them."""

    def __init__(self, honest: Agent) -> None:
        self.honest = honest

    def restore(self, records: Any) -> None:
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        if isinstance(event, Compared):
            event = NotCompared(event.about, event.theirs, "Pillow is missing")
        return self.honest.handle(now, event)


def purblind(peer: Peer) -> Peer:
    make = peer.make
    peer.make = lambda rng: Purblind(make(rng))
    return peer


@pytest.mark.parametrize("by", [CheckBy.SELF, CheckBy.MEDIATORS, CheckBy.ANYBODY])
def test_who_can_not_compare_accuses_nobody_and_pays(by: CheckBy) -> None:
    market = Market(purblind(customer()), seller("cheat", 100, kind="honest"), *pool("honest", "honest", "honest"))
    tried = Trial(market, check_by=by, compare="numeric")
    assert tried.ruling is Ruling.DONE
    (checked,) = market.heard(tried.job, Checked)
    assert (checked.verdict, checked.reason) == (Verdict.UNCHECKED, "nobody could check it")
    said = [noted.text for noted in market.heard(tried.job, Noted)]
    assert any("can't be compared here: Pillow is missing" in text for text in said)
    assert len(said) == {CheckBy.SELF: 1, CheckBy.MEDIATORS: 3, CheckBy.ANYBODY: 4}[by], "each is asked once"


def test_jurors_that_can_not_compare_vote_as_those_that_were_shown_nothing() -> None:
    jurors = pool("honest", "honest", "honest")
    market = Market(customer(kind="accuser"), seller("cheat", 100, kind="honest"), *map(purblind, jurors))
    tried = Trial(market, compare="numeric")
    assert tried.ruling is Ruling.RIGHT
    votes = [effect.message for effect in tried.sent if isinstance(effect.message, Judged)]
    assert votes
    assert all(vote.grounds == UNSHOWN for vote in votes)
