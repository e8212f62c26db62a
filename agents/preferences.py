"""What one side wants: its hard limits on the price, and what every other issue is worth to it in money.

Preferences are linear and additive: a proposal is worth how far its price is from one's limit, plus, for each `Wish`,
the share of its worth that the proposal grants. Money is the common measure, so the price makes up for the rest: for
each combination of the other issues' values (a `Row`, worked out once for all talks with the same wishes) one division
finds the price at which the whole is worth a given utility.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from itertools import product
from math import ceil
from typing import Literal, assert_never

from protocol.rules import PERCENT, Rules
from protocol.terms import Terms
from protocol.types import Amount

MOST_ROWS = 4096
"""Combinations of values beside the price; more would make every offer slow."""

Role = Literal["buyer", "seller"]
Lean = Literal["near", "price", "rest", "least"]
"""Which of the terms that are worth the same: nearest to the other side's last ones; keeping the price and giving in on
the rest; keeping the rest and giving in on the price; or those worth least above the mark."""


class Issue(Enum):
    """What can be haggled about beside the price, inside the bounds of `Rules.objection`."""

    DELIVERY = "delivery"
    """Seconds from ``start_by`` to ``deliver_by``."""
    CHECKS = "checks"
    """The share of results that are run again, in millionths."""
    RP_STAKE = "rp_stake"
    """The provider's timeout stake, in percent of the pay."""
    JC_STAKE = "jc_stake"
    """The job creator's timeout stake, in percent of the pay."""
    JURORS = "jurors"
    """How many mediators judge a dispute; the quorum follows."""
    FEE = "fee"
    """What a juror earns, base units."""

    def of(self, terms: Terms) -> int:
        """This issue's value in these terms."""
        match self:
            case Issue.DELIVERY:
                return terms.deliver_by - terms.start_by
            case Issue.CHECKS:
                return terms.check_ppm
            case Issue.RP_STAKE:
                return _percent(terms.rp_stake, terms.pay)
            case Issue.JC_STAKE:
                return _percent(terms.jc_stake, terms.pay)
            case Issue.JURORS:
                return terms.jurors
            case Issue.FEE:
                return terms.fee
            case _:
                assert_never(self)


def _percent(stake: int, pay: int) -> int:
    return -(-stake * PERCENT // pay) if pay else 0  # up, because a stake is rounded down from its percentage


@dataclass(frozen=True, slots=True)
class Wish:
    """What one issue is worth to one side."""

    issue: Issue
    worst: int
    """The furthest that may be signed."""
    best: int
    worth: Amount
    """What it would pay, or forgo, to have the best instead of the worst: base units."""
    steps: int = 8
    """Into how many steps the way from worst to best is cut when proposals are looked for."""

    def share(self, value: int) -> float:
        """How much of the wish a value grants: 0 at the worst, 1 at the best, nothing more beyond."""
        span = self.best - self.worst
        return 1.0 if span == 0 else min(1.0, max(0.0, (value - self.worst) / span))

    def allows(self, value: int) -> bool:
        """Whether the value may be signed."""
        return value >= self.worst if self.best >= self.worst else value <= self.worst

    def clamped(self, value: int) -> int:
        """The nearest value that may be proposed."""
        low, high = sorted((self.worst, self.best))
        return min(high, max(low, value))


@dataclass(frozen=True, slots=True)
class Row:
    """One combination of values of the wished-for issues."""

    values: tuple[int, ...]
    shares: tuple[float, ...]
    worth: int
    """What it grants, base units."""


@lru_cache(maxsize=1024)
def rows_of(wishes: tuple[Wish, ...]) -> tuple[Row, ...]:
    """Every combination of the wishes' values, as coarse as `MOST_ROWS` wants it."""
    if not wishes:
        return (Row((), (), 0),)
    most = max(1, int(MOST_ROWS ** (1 / len(wishes))) - 1)
    grids = []
    for wish in wishes:
        span = wish.best - wish.worst
        steps = max(1, min(wish.steps, most, abs(span)))
        grids.append(sorted({wish.worst + span * step // steps for step in range(steps + 1)}))
    rows = []
    for values in product(*grids):
        shares = tuple(wish.share(value) for wish, value in zip(wishes, values, strict=True))
        rows.append(
            Row(values, shares, int(sum(wish.worth * share for wish, share in zip(wishes, shares, strict=True))))
        )
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class Mandate:
    """Hard limits that no strategy can leave, and what is wanted inside them; amounts in base units."""

    role: Role
    worst_pay: int
    """The most that a buyer pays, the least that a seller takes."""
    best_pay: int
    """What it would dream of."""
    wishes: tuple[Wish, ...] = ()
    reserve: int = 0
    """What all of it together must be worth at least, beyond the worst price with no wish granted."""
    step: int = 1
    """Prices are whole steps away from ``worst_pay``."""

    @property
    def total(self) -> int:
        """What the best price with every wish granted is worth beyond the reserve: utility 1."""
        return abs(self.best_pay - self.worst_pay) + sum(wish.worth for wish in self.wishes) - self.reserve

    def admits(self, terms: Terms) -> bool:
        """Whether these terms may be signed."""
        within = terms.pay <= self.worst_pay if self.role == "buyer" else terms.pay >= self.worst_pay
        allowed = within and all(wish.allows(wish.issue.of(terms)) for wish in self.wishes)
        return allowed and self._gain(terms) >= 0

    def utility(self, terms: Terms) -> float:
        """0 at what is barely allowed, 1 at the best of everything; linear between, clamped outside."""
        total = self.total
        if total <= 0:
            return 1.0 if self.admits(terms) else 0.0
        return min(1.0, max(0.0, self._gain(terms) / total))

    def _gain(self, terms: Terms) -> float:
        span = abs(self.best_pay - self.worst_pay)
        saved = self.worst_pay - terms.pay if self.role == "buyer" else terms.pay - self.worst_pay
        gain = float(min(span, saved) - self.reserve)
        for wish in self.wishes:
            gain += wish.worth * wish.share(wish.issue.of(terms))
        return gain

    def terms_at(self, utility: float, rules: Rules, base: Terms, theirs: Terms | None, lean: Lean) -> Terms:
        """Terms that are worth this much, rounded in one's own favour and never outside the mandate.

        ``base`` is what stays as it is; ``lean`` chooses among those worth the same.
        """
        need = ceil(min(1.0, max(0.0, utility)) * self.total - 1e-9) + self.reserve
        step = self.step
        most = abs(self.best_pay - self.worst_pay) // step
        exact: list[tuple[int, Row]] = []
        best, excess = None, 0
        for row in rows_of(self.wishes):
            steps = -((row.worth - need) // step)
            if steps > most:
                continue
            if steps >= 0:
                exact.append((steps, row))
            over = max(0, steps) * step + row.worth - need
            if best is None or over < excess:
                best, excess = (max(0, steps), row), over
        if best is None:
            best = most, max(rows_of(self.wishes), key=lambda row: row.worth)
        chosen = best if lean == "least" or not exact else self._choose(exact, most, theirs, lean)
        sign = -1 if self.role == "buyer" else 1
        values = zip(self.wishes, chosen[1].values, strict=True)
        return shaped(rules, base, self.worst_pay + sign * chosen[0] * step, {w.issue: value for w, value in values})

    def _choose(self, among: list[tuple[int, Row]], most: int, theirs: Terms | None, lean: Lean) -> tuple[int, Row]:
        if lean == "price":
            return max(among, key=lambda it: it[0])
        if lean == "rest" or theirs is None or len(among) == 1:
            return min(among, key=lambda it: it[0])
        saved = self.worst_pay - theirs.pay if self.role == "buyer" else theirs.pay - self.worst_pay
        price = saved / (self.step * most) if most else 0.0
        shares = [wish.share(wish.issue.of(theirs)) for wish in self.wishes]

        def distance(it: tuple[int, Row]) -> float:
            steps, row = it
            rest = sum((a - b) ** 2 for a, b in zip(row.shares, shares, strict=True))
            return rest + ((steps / most - price) ** 2 if most else 0.0)

        return min(among, key=distance)

    def objection(self, rules: Rules, terms: Terms) -> str | None:
        """What has been moved in these terms that this side never wished to see moved; None if nothing."""
        wished = {wish.issue.value for wish in self.wishes}
        moved = [name for name in rules.moved(terms) if name not in wished]
        return f"{moved[0]} is not up for haggling here" if moved else None

    def within(self, rules: Rules, base: Terms, wanted: Terms) -> Terms:
        """What a strategy wanted to propose, pressed into the mandate: only what is haggled about may differ."""
        pay = min(wanted.pay, self.worst_pay) if self.role == "buyer" else max(wanted.pay, self.worst_pay)
        values = {wish.issue: wish.clamped(wish.issue.of(wanted)) for wish in self.wishes}
        return shaped(rules, base, pay, values)


def shaped(rules: Rules, base: Terms, pay: int, values: dict[Issue, int]) -> Terms:
    """Terms at this price and with these values; what is not named stays as in ``base``, and the rest follows."""
    deliver_by, jurors, fee = base.deliver_by, base.jurors, base.fee
    rp_stake, jc_stake = rules.rp_stake_percent, rules.jc_stake_percent
    if base.rp_stake != base.pay * rp_stake // PERCENT:
        rp_stake = _percent(base.rp_stake, base.pay)
    if base.jc_stake != base.pay * jc_stake // PERCENT:
        jc_stake = _percent(base.jc_stake, base.pay)
    check_ppm = base.check_ppm
    for issue, value in values.items():
        match issue:
            case Issue.DELIVERY:
                deliver_by = base.start_by + value
            case Issue.CHECKS:
                check_ppm = value
            case Issue.RP_STAKE:
                rp_stake = value
            case Issue.JC_STAKE:
                jc_stake = value
            case Issue.JURORS:
                jurors = max(1, min(value, len(base.mediators)))
            case Issue.FEE:
                fee = value
            case _:
                assert_never(issue)
    return replace(
        base,
        pay=pay,
        rate=pay,
        deliver_by=deliver_by,
        claim_until=base.claim_until + deliver_by - base.deliver_by,
        check_ppm=check_ppm,
        jurors=jurors,
        quorum=base.quorum if jurors == base.jurors else rules.quorum_of(jurors),
        fee=fee,
        rp_stake=pay * rp_stake // PERCENT,
        jc_stake=pay * jc_stake // PERCENT,
        cheat=rules.cheat_of(pay, jurors, fee),
    )
