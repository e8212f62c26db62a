"""What one side wants: its hard limits on the price, and what every other issue is worth to it in money.

Preferences are linear and additive: a proposal is worth how far its price is from one's limit, plus, for each `Wish`,
the share of its worth that the proposal grants. Money is the common measure, so the price makes up for the rest: for
each combination of the other issues' values (a `Row`, worked out once for all talks with the same wishes) one division
finds the price at which the whole is worth a given utility.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from itertools import chain, product
from math import ceil
from typing import Literal, assert_never

from protocol.prices import rate_at
from protocol.rules import PERCENT, Rules
from protocol.terms import Terms
from protocol.types import Amount

MOST_ROWS = 4096
"""Combinations of values beside the price; more would make every offer slow."""

SLACK = 1.1e-5
"""Of all that can be gained, the reserve included; as much as NegMAS allows when it looks for an outcome."""

Role = Literal["buyer", "seller"]
Lean = Literal["near", "price", "rest", "least"]
"""Which of the terms that are worth the same: nearest to the other side's last ones; keeping the price and giving in on
the rest; keeping the rest and giving in on the price; or those worth least above the mark."""


class Issue(Enum):
    """What can be haggled about beside the price, inside the bounds of `Rules.objection`."""

    START = "start"
    """``start_by``, a moment; users wish for it in seconds from now, see `in_talk`."""
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
    PAYER = "check_payer"
    """Who pays a mediator that re-runs a result: the provider's share, in percent."""

    def of(self, terms: Terms) -> int:
        """This issue's value in these terms."""
        match self:
            case Issue.START:
                return terms.start_by
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
            case Issue.PAYER:
                return terms.check_payer
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
        """Whether the value may be signed; where the worst is the best, nothing else may."""
        if self.best == self.worst:
            return value == self.worst
        return value >= self.worst if self.best >= self.worst else value <= self.worst

    def clamped(self, value: int) -> int:
        """The nearest value that may be proposed."""
        low, high = sorted((self.worst, self.best))
        return min(high, max(low, value))


def in_talk(wishes: tuple[Wish, ...], began: int) -> tuple[Wish, ...]:
    """A user's wishes in a talk that began at this moment: the start deadline is counted from there."""
    return tuple(
        replace(wish, worst=began + wish.worst, best=began + wish.best) if wish.issue is Issue.START else wish
        for wish in wishes
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One combination of values of the wished-for issues."""

    values: tuple[int, ...]
    shares: tuple[float, ...]
    worth: int
    """What it grants, base units."""


@dataclass(frozen=True, slots=True)
class Rows:
    """All combinations, sorted in the two ways in which they are looked up."""

    by_worth: tuple[Row, ...]
    worths: tuple[int, ...]
    by_rest: tuple[Row, ...]
    """By what their worth leaves over when it is divided by the step of the price."""
    rests: tuple[int, ...]


@lru_cache(maxsize=1024)
def rows_of(wishes: tuple[Wish, ...], step: int) -> Rows:
    """Every combination of the wishes' values, as coarse as `MOST_ROWS` wants it."""
    most = max(1, int(MOST_ROWS ** (1 / max(1, len(wishes)))) - 1)
    grids = []
    for wish in wishes:
        span = wish.best - wish.worst
        steps = max(1, min(wish.steps, most, abs(span)))
        grids.append(sorted({wish.worst + span * cut // steps for cut in range(steps + 1)}))
    rows = []
    for values in product(*grids):
        shares = tuple(wish.share(value) for wish, value in zip(wishes, values, strict=True))
        worth = sum(wish.worth * share for wish, share in zip(wishes, shares, strict=True))
        rows.append(Row(values, shares, int(worth)))
    by_worth = tuple(sorted(rows, key=lambda row: row.worth))
    by_rest = tuple(sorted(rows, key=lambda row: row.worth % step))
    return Rows(by_worth, tuple(row.worth for row in by_worth), by_rest, tuple(row.worth % step for row in by_rest))


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
        steps, row = self._place(utility, theirs, lean)
        pay = self.worst_pay + (-steps if self.role == "buyer" else steps) * self.step
        return shaped(
            rules, base, pay, {wish.issue: value for wish, value in zip(self.wishes, row.values, strict=True)}
        )

    def _place(self, utility: float, theirs: Terms | None, lean: Lean) -> tuple[int, Row]:
        """The steps of the price from its worst, and the row, that together are worth this much."""
        step = self.step
        need = ceil(min(1.0, max(0.0, utility)) * self.total - 1e-9) + self.reserve
        most = abs(self.best_pay - self.worst_pay) // step
        rows = rows_of(self.wishes, step)
        first = bisect_left(rows.worths, need - most * step)  # rows before it are too poor at any price
        last = bisect_left(rows.worths, need + step)  # rows from it on are worth more at the worst price already
        if first >= last:
            return (0, rows.by_worth[last]) if last < len(rows.by_worth) else (most, rows.by_worth[-1])
        if lean == "least" and step > 1:
            # the price rounds up by the least where the worth's rest is the next above that of what is needed
            begin = bisect_left(rows.rests, need % step)
            for row in chain(rows.by_rest[begin:], rows.by_rest[:begin]):
                steps = -((row.worth - need) // step)
                if 0 <= steps <= most:
                    return steps, row
        if lean == "near" and theirs is not None and last - first > 1:
            return self._nearest(rows.by_worth[first:last], need, most, theirs)
        if lean == "price":
            row = rows.by_worth[first]
            return -((row.worth - need) // step), row
        steps = max(0, -((rows.worths[last - 1] - need) // step))
        row = rows.by_worth[max(first, bisect_left(rows.worths, need - steps * step))]  # the poorest at that price
        return steps, row

    def _nearest(self, rows: tuple[Row, ...], need: int, most: int, theirs: Terms) -> tuple[int, Row]:
        saved = self.worst_pay - theirs.pay if self.role == "buyer" else theirs.pay - self.worst_pay
        price = saved / (self.step * most) if most else 0.0
        shares = [wish.share(wish.issue.of(theirs)) for wish in self.wishes]

        def distance(it: tuple[int, Row]) -> float:
            steps, row = it
            rest = sum((a - b) ** 2 for a, b in zip(row.shares, shares, strict=True))
            return rest + ((steps / most - price) ** 2 if most else 0.0)

        return min(((-((row.worth - need) // self.step), row) for row in rows), key=distance)

    @property
    def lowest(self) -> float:
        """The utility of the least that can be proposed at all."""
        return _lowest(self)

    @property
    def slack(self) -> float:
        """How far below a wanted utility terms may lie, so that rounding doesn't skip those that lie on it."""
        return SLACK * (self.total + self.reserve) / self.total if self.total > 0 else 0.0

    @property
    def outcomes(self) -> int:
        """How many different proposals there are."""
        return (abs(self.best_pay - self.worst_pay) // self.step + 1) * len(rows_of(self.wishes, self.step).worths)

    def holding(self, rules: Rules, terms: Terms, start_by: int = 0) -> Mandate:
        """This mandate, holding to where the rules start what these terms have moved and this side never wished for.

        So whoever gives no thought to stakes or juries can still deal with somebody who does: at the usual ones. A
        buyer holds to its own ``start_by``, too.
        """
        wished = {wish.issue.value for wish in self.wishes}
        moved = [Issue(name) for name in rules.moved(terms) if name not in wished]
        if start_by not in (0, terms.start_by) and Issue.START.value not in wished:
            moved.append(Issue.START)
        if not moved:
            return self
        start = replace(rules.started(terms), start_by=start_by or terms.start_by)
        held = tuple(Wish(issue, issue.of(start), issue.of(start), 0) for issue in moved)
        return replace(self, wishes=(*self.wishes, *held))

    def within(self, rules: Rules, base: Terms, wanted: Terms) -> Terms:
        """What a strategy wanted to propose, pressed into the mandate: only what is haggled about may differ."""
        pay = min(wanted.pay, self.worst_pay) if self.role == "buyer" else max(wanted.pay, self.worst_pay)
        values = {wish.issue: wish.clamped(wish.issue.of(wanted)) for wish in self.wishes}
        return shaped(rules, base, pay, values)


@lru_cache(maxsize=1024)
def _lowest(mandate: Mandate) -> float:
    steps, row = mandate._place(0.0, None, "least")
    total = mandate.total
    return min(1.0, max(0.0, (steps * mandate.step + row.worth - mandate.reserve) / total)) if total > 0 else 1.0


def shaped(rules: Rules, base: Terms, pay: int, values: dict[Issue, int]) -> Terms:
    """Terms at this price and with these values; what is not named stays as in ``base``, and the rest follows."""
    start_by = values.get(Issue.START, base.start_by)
    deliver_by, jurors, fee = base.deliver_by + start_by - base.start_by, base.jurors, base.fee
    rp_stake, jc_stake = rules.rp_stake_percent, rules.jc_stake_percent
    if base.rp_stake != base.pay * rp_stake // PERCENT:
        rp_stake = _percent(base.rp_stake, base.pay)
    if base.jc_stake != base.pay * jc_stake // PERCENT:
        jc_stake = _percent(base.jc_stake, base.pay)
    check_ppm, check_payer = base.check_ppm, base.check_payer
    for issue, value in values.items():
        match issue:
            case Issue.START:
                pass  # what else is counted from there has moved with it
            case Issue.DELIVERY:
                deliver_by = start_by + value
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
            case Issue.PAYER:
                check_payer = value
            case _:
                assert_never(issue)
    return replace(
        base,
        pay=pay,
        rate=rate_at(pay, base.unit, base.most),
        start_by=start_by,
        deliver_by=deliver_by,
        claim_until=base.claim_until + deliver_by - base.deliver_by,
        check_ppm=check_ppm,
        check_payer=check_payer,
        jurors=jurors,
        quorum=base.quorum if jurors == base.jurors else rules.quorum_of(jurors),
        fee=fee,
        rp_stake=pay * rp_stake // PERCENT,
        jc_stake=pay * jc_stake // PERCENT,
        cheat=rules.cheat_of(pay, jurors, fee),
    )
