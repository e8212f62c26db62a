"""Terms: everything that the two sides haggle about, and the deal that agreed terms become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from eth_hash.auto import keccak

from protocol.deal import NO_SEAT, Deal
from protocol.identity import Address
from protocol.types import Amount, Count, Large, Limit, Moment, Party, Small, Span, Text

MOST_MEDIATORS = 21
"""The largest pool that the vault can draw from."""

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Terms:
    """One proposal's worth: money, moments, stakes and who judges."""

    pay: Amount
    """The most that the provider earns for the job."""
    unit: Text
    """What the price is quoted by: job, gigafuel, second or gib."""
    rate: Amount
    """The price of one unit; equal to ``pay`` when the unit is the job."""
    most: Large
    """How much of the unit the pay covers, in its parts (see `protocol.prices`): all that the job's limits allow."""
    jc_stake: Amount
    rp_stake: Amount
    cheat: Amount
    fee: Amount
    juror_stake: Amount
    start_by: Moment
    deliver_by: Moment
    claim_until: Moment
    grace: Span
    answer: Span
    judge: Span
    appeal: Span
    mediators: Annotated[tuple[Party, ...], Limit(MOST_MEDIATORS)]
    """The pool, sorted."""
    jurors: Small
    quorum: Small
    silence: Small
    check_ppm: Count
    """The share of delivered results that are re-run, in millionths."""
    check_fee: Amount
    """What a mediator earns for such a re-run."""
    check_payer: Small = 0
    """Who bears that: the provider's share in percent, which comes off its bill. 0: the job creator all of it, 50: each
    side half."""

    @property
    def check_cut(self) -> int:
        """What a mediator's re-run takes off the provider's bill, never more than the pay: base units."""
        return min(self.pay, self.check_fee * self.check_payer // 100)


def pool_hash(mediators: tuple[Address, ...]) -> bytes:
    """How a deal names its pool of mediators: Keccak-256 over their 20-byte addresses, as in the vault."""
    return keccak(b"".join(mediators))


def deal_of(terms: Terms, jc: Address, rp: Address, agreement: bytes) -> Deal:
    """The deal that these terms become; ``agreement`` is the digest of the proposal that both sides accept."""
    return Deal(
        jc=jc,
        rp=rp,
        pay=terms.pay,
        jc_stake=terms.jc_stake,
        rp_stake=terms.rp_stake,
        cheat=terms.cheat,
        fee=terms.fee,
        juror_stake=terms.juror_stake,
        start_by=terms.start_by,
        deliver_by=terms.deliver_by,
        claim_until=terms.claim_until,
        grace=terms.grace,
        answer=terms.answer,
        judge=terms.judge,
        appeal=terms.appeal,
        pool=pool_hash(terms.mediators),
        jurors=terms.jurors,
        quorum=terms.quorum,
        silence=terms.silence,
        jc_seat=NO_SEAT,
        rp_seat=NO_SEAT,
        terms=agreement,
    )
