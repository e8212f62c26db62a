"""The rules of one network: its vault, the windows that its chain allows, and the stakes that its peers start from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from protocol.deal import Silence
from protocol.eip712 import Domain
from protocol.identity import Address
from protocol.job import Job
from protocol.offers import VaultRef
from protocol.prices import PARTS, most_parts, rate_at
from protocol.terms import MILLION, Terms

PERCENT = 100


@dataclass(frozen=True, slots=True)
class Rules:
    """Starting rules; what is called a multiple is in percent of the pay. Spans in seconds."""

    domain: Domain
    lock_within: int = 30
    """From the proposal to the deal's lock in the vault."""
    transfer: int = 60
    """For inputs and results, on top of the job's own time limit."""
    grace: int = 60
    answer: int = 60
    """On top of the job's own time limit."""
    judge: int = 120
    """On top of four times the job's own time limit."""
    appeal: int = 0
    claim: int = 300
    """From the end of the grace to ``claim_until``."""
    cheat_percent: int = 10 * PERCENT
    rp_stake_percent: int = PERCENT
    jc_stake_percent: int = 20
    most_stake_percent: int = 4 * PERCENT
    """What two sides may raise either stake to."""
    jurors: int = 3
    quorum: int = 2
    fee: int = 0
    """Of one juror."""
    most_fee: int = 0
    """What two sides may raise it to; nothing below ``fee``."""
    juror_stake: int = 0
    check_fee: int = 0
    """Of one re-run that no dispute forces."""
    check_payer: int = 0
    """The provider's share of that, in percent; two sides may agree on any."""
    hold: int = 10
    """How long a provider keeps its accepted capacity for a buyer."""

    @property
    def vault(self) -> VaultRef:
        """The vault of this network, as offers name it."""
        return VaultRef(self.domain.chain_id, self.domain.vault)

    def terms(
        self, now: float, job: Job, pay: int, check_ppm: int, mediators: tuple[Address, ...], unit: str = "job"
    ) -> Terms:
        """The terms that these rules give a job that costs this much at most."""
        start_by = int(now) + self.lock_within
        deliver_by = start_by + job.resources.timeout + self.transfer
        # with an empty pool the jury stays silent, and a dispute ends as `silence` says
        jurors = max(1, min(self.jurors, len(mediators)))
        base = Terms(
            pay=0,
            unit=unit,
            rate=0,
            most=most_parts(unit, job.resources),
            jc_stake=0,
            rp_stake=0,
            cheat=0,
            fee=self.fee,
            juror_stake=self.juror_stake,
            start_by=start_by,
            deliver_by=deliver_by,
            claim_until=deliver_by + self.grace + self.claim,
            grace=self.grace,
            # long enough for a check by one re-run, and for jurors to run the job twice
            answer=self.answer + job.resources.timeout,
            judge=self.judge + 4 * job.resources.timeout,
            appeal=self.appeal,
            mediators=mediators,
            jurors=jurors,
            quorum=self.quorum_of(jurors),
            silence=Silence.SPLIT,
            check_ppm=check_ppm,
            check_fee=self.check_fee,
            check_payer=self.check_payer,
        )
        return self.repriced(base, pay)

    def repriced(self, terms: Terms, pay: int) -> Terms:
        """The same terms at another price: the stakes follow the pay."""
        return replace(
            terms,
            pay=pay,
            rate=rate_at(pay, terms.unit, terms.most),
            jc_stake=pay * self.jc_stake_percent // PERCENT,
            rp_stake=pay * self.rp_stake_percent // PERCENT,
            cheat=self.cheat_of(pay, terms.jurors, terms.fee),
        )

    def quorum_of(self, jurors: int) -> int:
        """How many of a jury must agree: what the rules say, but always more than half."""
        return max(min(self.quorum, jurors), jurors // 2 + 1)

    def cheat_of(self, pay: int, jurors: int, fee: int) -> int:
        """The collateral that a provider loses when a jury finds its result wrong."""
        return max(pay * self.cheat_percent // PERCENT, pay + jurors * fee)

    def objection(self, now: float, job: Job, terms: Terms) -> str | None:
        """What in these terms, the price aside, no peer under these rules can sign; None if nothing.

        Deadlines may differ by the two peers' clocks and the length of their talk. Stakes, fee and jury may be raised
        within bounds: whether a side wants that is for its mandate to say, see `moved`.
        """
        if terms.unit not in PARTS:
            return f"nothing is priced by '{terms.unit}'; known are {', '.join(PARTS)}"
        wanted = self.terms(now, job, terms.pay, terms.check_ppm, terms.mediators, terms.unit)
        fixed = ("grace", "answer", "judge", "appeal", "silence", "most", "rate", "juror_stake")
        bound = replace(
            wanted,
            quorum=self.quorum_of(terms.jurors),
            cheat=self.cheat_of(terms.pay, terms.jurors, terms.fee),
        )
        for name in (*fixed, "quorum", "cheat"):
            if getattr(terms, name) != getattr(bound, name):
                return f"{name} is {getattr(terms, name)}, the rules of this network make it {getattr(bound, name)}"
        most = terms.pay * self.most_stake_percent // PERCENT
        ranges = {
            "jc_stake": (wanted.jc_stake, max(most, wanted.jc_stake)),
            "rp_stake": (wanted.rp_stake, max(most, wanted.rp_stake)),
            "jurors": (wanted.jurors, max(len(terms.mediators), wanted.jurors)),
            "fee": (self.fee, max(self.most_fee, self.fee)),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(terms, name) <= high:
                return f"{name} is {getattr(terms, name)}, the rules of this network want {low} to {high}"
        if list(terms.mediators) != sorted(set(terms.mediators)):
            return "the mediators are not sorted, or one stands twice"
        if terms.check_ppm > MILLION:
            return "more checks than results"
        if terms.check_fee != self.check_fee:
            return f"check_fee is {terms.check_fee}, the rules of this network make it {self.check_fee}"
        if terms.check_payer > PERCENT:
            return f"check_payer is {terms.check_payer}, and a share in percent is at most {PERCENT}"
        return self.mistimed(now, job, terms)

    def mistimed(self, now: float, job: Job, terms: Terms) -> str | None:
        """What in the deadlines does not suit this moment, as in `objection`; None if nothing.

        It says nothing of the next talk: one of two clocks may just have jumped.
        """
        wanted = self.terms(now, job, terms.pay, terms.check_ppm, terms.mediators, terms.unit)
        if not now < terms.start_by <= now + 2 * self.lock_within:
            return "start_by is not soon"
        if terms.deliver_by < terms.start_by + job.resources.timeout:
            return "deliver_by leaves no time for the run"
        if terms.deliver_by > wanted.deliver_by + self.lock_within:
            return "deliver_by ties capacity and stakes for too long"
        if not terms.deliver_by + terms.grace < terms.claim_until <= wanted.claim_until + self.lock_within:
            return "claim_until is out of range"
        return None

    def moved(self, terms: Terms) -> list[str]:
        """Which of the issues that may be moved differ from where these rules start them."""
        start = self.started(terms)
        names = ("jc_stake", "rp_stake", "jurors", "fee", "check_payer")
        return [name for name in names if getattr(terms, name) != getattr(start, name)]

    def started(self, terms: Terms) -> Terms:
        """The same terms with stakes, jury, fee and payer of checks where these rules start them."""
        jurors = max(1, min(self.jurors, len(terms.mediators)))
        start = replace(terms, jurors=jurors, quorum=self.quorum_of(jurors), fee=self.fee, check_payer=self.check_payer)
        return self.repriced(start, terms.pay)
