"""What a user or a provider wants beside the price: read from the command line, ``lilypad.toml`` or ``offer.toml``.

A wish reads ``ISSUE=WORST..BEST:WORTH``: the furthest that may be signed, the best, and what it would pay (or forgo) to
have the best instead of the worst, in base units. All of it is checked against the network's rules before anybody hears
of it: what no peer may sign is refused here, with the range that may be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents.preferences import Issue, Wish, shaped
from node.parsing import bad, parse_address
from protocol.identity import Address
from protocol.isolation import WORDS
from protocol.job import Job, Resources
from protocol.prices import PARTS
from protocol.rules import PERCENT, Rules
from protocol.terms import MILLION, MOST_MEDIATORS

MANY = 64
"""Mediators that one user may name."""
_WISH = re.compile(r"(?P<issue>[a-z_]+)=(?P<worst>[0-9.]+)\.\.(?P<best>[0-9.]+):(?P<worth>[0-9]+)")
_EXAMPLE = "delivery=120..60:500"
_UNITS = {
    Issue.START: "seconds from now to the lock",
    Issue.DELIVERY: "seconds from the lock to the delivery",
    Issue.CHECKS: "the share of results that are run again, 0 to 1",
    Issue.RP_STAKE: "percent of the pay",
    Issue.JC_STAKE: "percent of the pay",
    Issue.JURORS: "mediators on a jury",
    Issue.FEE: "base units for a juror",
    Issue.PAYER: "the provider's share of what a mediator's check costs, in percent",
}


@dataclass(frozen=True, slots=True)
class Mandate:
    """What a user wants of a deal beside its price."""

    units: tuple[str, ...] = ()
    """What it may be priced by; empty: whatever the module allows."""
    mediators: tuple[Address, ...] = ()
    """Those it trusts; empty: any."""
    wishes: tuple[Wish, ...] = ()


def parse_wish(text: str) -> Wish:
    """A wish as it is typed; raises `UserError`."""
    found = _WISH.fullmatch(text.replace(" ", ""))
    if found is None:
        issues = ", ".join(f"{issue.value} ({unit})" for issue, unit in _UNITS.items())
        raise bad(f"'{text}' is no wish", f"write ISSUE=WORST..BEST:WORTH, as in {_EXAMPLE}; issues are {issues}")
    return wish_of(found["issue"], found["worst"], found["best"], found["worth"])


def wish_of(name: Any, worst: Any, best: Any, worth: Any) -> Wish:
    """A wish from its parts, numbers or their texts; raises `UserError`."""
    try:
        issue = Issue(name)
    except ValueError:
        raise bad(f"'{name}' can't be haggled about", f"issues are {', '.join(it.value for it in Issue)}") from None
    values = [_value(issue, each) for each in (worst, best)]
    return Wish(issue, values[0], values[1], _whole(worth, f"the worth of {issue.value}"))


def parse_mandate(table: Mapping[str, Any]) -> Mandate:
    """``per``, ``isolation``, ``mediators`` and ``wishes`` of a table; raises `UserError`."""
    wishes = table.get("wishes", [])
    if isinstance(wishes, Mapping):  # as TOML has it: [mandate.wishes] delivery = "120..60:500"
        wishes = [f"{name}={text}" for name, text in wishes.items()]
    units, mediators = _texts(table, "per"), _texts(table, "mediators")
    for unit in units:
        if unit not in PARTS:
            raise bad(f"nothing is priced by '{unit}'", f"units are {', '.join(PARTS)}")
    if len(mediators) > MANY:
        raise bad(f"{len(mediators)} mediators are too many", f"name at most {MANY}")
    isolation = table.get("isolation")
    if isolation and isolation not in WORDS:
        raise bad(f"{isolation} is no class of isolation", f"from the weakest on they are {', '.join(WORDS)}")
    found = tuple(parse_wish(text) for text in _texts({"wishes": wishes}, "wishes"))
    twice = {wish.issue.value for wish in found if sum(other.issue is wish.issue for other in found) > 1}
    if twice:
        raise bad(f"two wishes for {', '.join(sorted(twice))}", "leave one of them")
    return Mandate(units, tuple(parse_address(text, "mediators") for text in mediators), found)


def check_wishes(wishes: Sequence[Wish], rules: Rules, job: Job | None = None) -> None:
    """Raise `UserError` for a wish that no peer under these rules could sign."""
    job = job or Job("", "", "", "", Resources(1000, 1, 1, 0, 0, 30), "exact", bytes(32))
    pool = tuple(Address(bytes([i + 1]) * 20) for i in range(MOST_MEDIATORS))
    for wish in wishes:
        for value in (wish.worst, wish.best):
            base = rules.terms(0, job, 0, 0, pool)  # at moment 0, from which a start is counted, too
            terms = shaped(rules, base, PERCENT * PERCENT, {wish.issue: value})
            wrong = rules.objection(0, job, terms)
            if wrong is None and wish.issue.of(terms) != value:
                wrong = f"at most {MOST_MEDIATORS} can be"
            if wrong is not None:
                raise bad(f"{wish.issue.value}: {_shown(wish.issue, value)} can't be signed: {wrong}", "mend the wish")


def with_most_stake(rules: Rules, wishes: Sequence[Wish]) -> Rules:
    """The rules with the job creator's stake as high as its wishes let it rise."""
    raised = [max(wish.worst, wish.best) for wish in wishes if wish.issue is Issue.JC_STAKE]
    return replace(rules, jc_stake_percent=max([rules.jc_stake_percent, *raised]))


def _value(issue: Issue, given: Any) -> int:
    if issue is not Issue.CHECKS:
        return _whole(given, issue.value)
    try:
        share = float(given)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share <= 1:
        raise bad(f"checks: {given!r} is no share", "write numbers from 0 to 1, as in checks=0.1..0.5:300")
    return round(share * MILLION)


def _shown(issue: Issue, value: int) -> str:
    return f"{value / MILLION:g}" if issue is Issue.CHECKS else str(value)


def _whole(given: Any, what: str) -> int:
    text = str(given)
    if isinstance(given, bool) or not (text.isascii() and text.isdigit() and len(text) < 25):
        raise bad(f"{what}: {given!r} is no whole number from 0 on", f"write it as in {_EXAMPLE}")
    return int(text)


def _texts(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = table.get(name) or []
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise bad(f"{name} is a list of texts", f'write {name} = ["…"]')
    return tuple(value)
