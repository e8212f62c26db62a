"""A strategy's question and answer as JSON documents, for strategies that live in another process or another language.

Amounts of money are decimal strings of base units, addresses and hashes hex; everything else is a number or a text. The
question holds the whole `View`, so that the other end can work out utilities and offers by itself; an answer may be as
short as ``{"answer": "counter", "utility": 0.8}``.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from random import Random
from typing import Any

from agents.preferences import Issue, Mandate, Wish
from agents.strategy import Accept, Answer, Breached, Counter, Dealt, Lesson, Lost, Settled, View, Walk
from protocol.eip712 import Domain
from protocol.errors import PeerFault
from protocol.identity import Address
from protocol.rules import Rules
from protocol.terms import Terms

MONEY = frozenset({"pay", "rate", "jc_stake", "rp_stake", "cheat", "fee", "juror_stake", "check_fee"})
_BITS = {
    "pay": 96,
    "start_by": 40,
    "deliver_by": 40,
    "check_ppm": 32,
    "check_payer": 8,
    "rp_stake": 96,
    "jc_stake": 96,
    "jurors": 8,
    "fee": 96,
}
HAGGLED = tuple(_BITS)
"""The fields of terms that an answer may move; the agent fills in the rest."""
_TERMS = tuple(field.name for field in fields(Terms) if field.name != "mediators")
_RULES = tuple(field.name for field in fields(Rules) if field.name != "domain")
MOST_REASON = 300


class Garbage(PeerFault):
    """A strategy answered with something that is no answer."""


def terms_document(terms: Terms) -> dict[str, Any]:
    """Terms by field name."""
    found: dict[str, Any] = {}
    for name in _TERMS:
        value = getattr(terms, name)
        found[name] = str(value) if name in MONEY else value
    return {**found, "mediators": [who.hex() for who in terms.mediators]}


def terms_from(document: dict[str, Any]) -> Terms:
    """The inverse, for documents of our own."""
    plain: dict[str, Any] = {name: int(document[name]) if name in MONEY else document[name] for name in _TERMS}
    return Terms(**plain, mediators=tuple(Address(bytes.fromhex(who)) for who in document["mediators"]))


def mandate_document(mandate: Mandate) -> dict[str, Any]:
    """A mandate; whoever gets this knows one's limits, so it goes to one's own strategy only."""
    wishes = [
        {"issue": w.issue.value, "worst": w.worst, "best": w.best, "worth": str(w.worth), "steps": w.steps}
        for w in mandate.wishes
    ]
    return {
        "role": mandate.role,
        "worst_pay": str(mandate.worst_pay),
        "best_pay": str(mandate.best_pay),
        "reserve": str(mandate.reserve),
        "step": str(mandate.step),
        "wishes": wishes,
    }


def mandate_from(document: dict[str, Any]) -> Mandate:
    """The inverse."""
    wishes = tuple(
        Wish(Issue(w["issue"]), w["worst"], w["best"], int(w["worth"]), w["steps"]) for w in document["wishes"]
    )
    return Mandate(
        document["role"],
        int(document["worst_pay"]),
        int(document["best_pay"]),
        wishes,
        int(document["reserve"]),
        int(document["step"]),
    )


def view_document(view: View) -> dict[str, Any]:
    """The whole view, and beside it what a program without these rules would have to work out."""
    rules = {name: getattr(view.rules, name) for name in _RULES}
    domain = {"chain_id": view.rules.domain.chain_id, "vault": view.rules.domain.vault.hex()}
    return {
        "role": view.role,
        "mandate": mandate_document(view.mandate),
        "theirs": None if view.theirs is None else terms_document(view.theirs),
        "mine": None if view.mine is None else terms_document(view.mine),
        "history": [terms_document(terms) for terms in view.history],
        "received": [terms_document(terms) for terms in view.received],
        "proposed": [terms_document(terms) for terms in view.proposed],
        "round": view.round,
        "rounds_left": view.rounds_left,
        "now": view.now,
        "deadline": view.deadline,
        "market": [str(price) for price in view.market],
        "seed": view.rng.getrandbits(64),
        "rules": {**rules, "domain": domain},
        "base": terms_document(view.base),
        "time": view.time,
        "their_utility": None if view.theirs is None else view.utility(view.theirs),
        "acceptable": view.acceptable(),
    }


def view_from(document: dict[str, Any]) -> View:
    """The inverse; the random source is a new one from the document's seed."""
    rules = document["rules"]
    domain = Domain(rules["domain"]["chain_id"], Address(bytes.fromhex(rules["domain"]["vault"])))
    return View(
        role=document["role"],
        mandate=mandate_from(document["mandate"]),
        theirs=None if document["theirs"] is None else terms_from(document["theirs"]),
        mine=None if document["mine"] is None else terms_from(document["mine"]),
        history=tuple(map(terms_from, document["history"])),
        received=tuple(map(terms_from, document["received"])),
        proposed=tuple(map(terms_from, document["proposed"])),
        round=document["round"],
        rounds_left=document["rounds_left"],
        now=document["now"],
        deadline=document["deadline"],
        market=tuple(int(price) for price in document["market"]),
        rng=Random(document["seed"]),
        rules=Rules(domain, **{name: rules[name] for name in _RULES}),
        base=terms_from(document["base"]),
    )


def answer_document(answer: Answer) -> dict[str, Any]:
    """An answer."""
    match answer:
        case Accept():
            return {"answer": "accept"}
        case Counter(terms):
            return {"answer": "counter", "terms": terms_document(terms)}
        case Walk(reason, final):
            return {"answer": "walk", "reason": str(reason)[:MOST_REASON], "final": bool(final)}
    raise Garbage(f"{type(answer).__name__} is none of Accept, Counter and Walk")


def answer_from(document: Any, view: View) -> Answer:
    """What a strategy answered, believed in nothing; raises `Garbage`."""
    if not isinstance(document, dict):
        raise Garbage("an answer is an object")
    match document.get("answer"):
        case "accept":
            return Accept()
        case "walk":
            reason = document.get("reason", "")
            if not isinstance(reason, str):
                raise Garbage("a reason is a text")
            return Walk(reason[:MOST_REASON], document.get("final") is True)
        case "counter" if "utility" in document:
            utility, lean = document["utility"], document.get("lean", "near")
            if type(utility) not in (int, float) or not math.isfinite(utility):
                raise Garbage("a utility is a number")
            if lean not in ("near", "price", "rest", "least"):
                raise Garbage("lean is near, price, rest or least")
            return Counter(view.offer_at(float(utility), lean))
        case "counter" if isinstance(document.get("terms"), dict):
            wanted = replace(view.base, **_moved(document["terms"]))
            return Counter(view.mandate.within(view.rules, view.base, wanted))
        case _:
            raise Garbage("an answer is accept, walk, or counter with a utility or terms")


def _moved(terms: dict[str, Any]) -> dict[str, Any]:
    moved: dict[str, Any] = {}
    for name in HAGGLED:
        if name not in terms:
            continue
        value = terms[name]
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 40:
            value = int(value)
        if type(value) is not int or not 0 <= value < 1 << _BITS[name]:
            raise Garbage(f"{name} is out of range")
        moved[name] = value
    return moved


def lesson_document(lesson: Lesson) -> dict[str, Any]:
    """What happened to a talk or a deal."""
    match lesson:
        case Dealt(terms, mandate):
            return {"lesson": "deal", "terms": terms_document(terms), "mandate": mandate_document(mandate)}
        case Lost(reason):
            return {"lesson": "no_deal", "reason": reason}
        case Settled(paid):
            return {"lesson": "settled", "paid": str(paid)}
        case Breached(reason):
            return {"lesson": "breach", "reason": reason}


def lesson_from(document: dict[str, Any]) -> Lesson:
    """The inverse."""
    match document["lesson"]:
        case "deal":
            return Dealt(terms_from(document["terms"]), mandate_from(document["mandate"]))
        case "no_deal":
            return Lost(document["reason"])
        case "settled":
            return Settled(int(document["paid"]))
        case _:
            return Breached(document["reason"])
