"""Views to ask strategies with, as an agent would make them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from agents.preferences import Issue, Mandate, Wish
from agents.strategy import View
from protocol.eip712 import Domain
from protocol.identity import Address
from protocol.job import Job, Resources
from protocol.rules import Rules

RULES = Rules(Domain(1337, Address(b"\x77" * 20)), transfer=60)
JOB = Job("sha256:0", "", "", "wasm", Resources(1000, 64, 64, 0, 0, 30), "exact", bytes(32))
NOW = 1_700_000_000.0
POOL = tuple(Address(bytes([n]) * 20) for n in (1, 2, 3, 4, 5))
BASE = RULES.terms(NOW, JOB, 0, 100_000, POOL)
SELLER = Mandate("seller", 700, 1400)
BUYER = Mandate("buyer", 1500, 500, (Wish(Issue.DELIVERY, 90, 30, 300),))


def view_of(mandate: Mandate, *, theirs: int | None = None, asked: int = 0, rounds: int = 12) -> View:
    """One question about a talk in which they have proposed this pay, or nothing yet."""
    offered = None if theirs is None else replace(RULES.repriced(BASE, theirs))
    received = () if offered is None else (offered,)
    return View(
        role=mandate.role,
        mandate=mandate,
        theirs=offered,
        mine=None,
        history=received,
        received=received,
        proposed=(),
        round=asked,
        rounds_left=rounds - asked,
        now=NOW,
        deadline=NOW + 30,
        market=(900, 1000),
        rng=Random(1),
        rules=RULES,
        base=offered or BASE,
    )
