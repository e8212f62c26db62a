"""Disputes in the model vault: mediators' stakes, how a jury is drawn, votes, appeals, and what a ruling moves.

    OPEN --accuse--> JURY <--contest-- DELIVERED
    JURY --draw--> JURY, drawn --vote (quorum)--> RULED --finalize / the loser's consent--> CLOSED
                   JURY, drawn --vote (quorum; no appeal agreed, or this is one)--> CLOSED
                   JURY, drawn --finalize, some were silent--> JURY, refilled (once) --> CLOSED by the agreed default
    RULED --appeal--> JURY, appealed --vote / finalize--> CLOSED

Only what a mediator signs can cost it anything: its vote puts a stake at risk (one stake, one vote at a time), and its
silence costs one only after it promised to vote. Otherwise strangers could drain mediators with disputes they never
heard of, or keep them busy while a jury is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from eth_hash.auto import keccak

from protocol.deal import Deal, DealId, Result, Silence, Vote
from protocol.eip712 import digest
from protocol.identity import Address
from protocol.vault_book import Book, Call, bond, need
from protocol.vault_state import NO_FLAGS, Account, DealState, Flag, Mediator, Outcome, State

SEED_DELAY = 2
"""Blocks from a dispute to the one whose hash draws its jury."""
LONGEST_DISPUTE = 7
"""Windows a dispute can take: draw, judge, draw again, judge, appeal, draw, judge."""
_REMEMBERED = 256
_ADDRESS = 20
_SEATS = 24
"""Bits of a set of seats; in a tally those whose vote rests on something, and above them those whose doesn't."""


@dataclass(frozen=True, slots=True)
class Bearing:
    """Who bears the fees of a ruling, base units."""

    fees: int = 0
    """From the dispute itself: bond or collateral."""
    by_appellant: int = 0
    """From the appellant's bond to the jurors."""
    to_other: int = 0
    """From the appellant's bond to the other side."""


class Disputes(Book):
    """The calls that a jury is needed for."""

    # mediators

    def join(self, call: Call, amount: int) -> None:
        """Add free money to the caller's stake as a mediator; takes back a wish to leave."""
        self._take_free(call.sender, amount)
        mediator = self.mediator(call.sender)
        self.mediators[call.sender] = Mediator(mediator.stake + amount, mediator.busy)

    def leave(self, call: Call) -> None:
        """Say that the caller takes its stake out, which it can after the longest dispute there may be."""
        leaves = call.now + LONGEST_DISPUTE * self.windows.longest
        self.mediators[call.sender] = replace(self.mediator(call.sender), leaves=leaves)

    def collect(self, call: Call) -> None:
        """After the time to leave: all of the stake that is not at risk becomes free money."""
        mediator = self.mediator(call.sender)
        need(mediator.leaves != 0, "not leaving")
        need(call.now > mediator.leaves, "too early")
        self.mediators[call.sender] = replace(mediator, stake=mediator.busy)
        self._credit(call.sender, mediator.ready)

    # a jury is summoned and drawn

    def contest(self, call: Call, deal: Deal, pool: bytes) -> None:
        """The job creator denies a delivery, with a bond; ``pool`` only where the jury is all of it."""
        name, standing = self._standing(deal)
        need(standing.state is State.DELIVERED, "no such claim")
        self._need_party(call, deal.jc)
        need(call.now <= standing.deadline, "too late")
        self._summon(call, deal, name, Flag.CONTESTED, pool)

    def accuse(self, call: Call, deal: Deal, result: Result, signature: bytes | None, pool: bytes) -> None:
        """The job creator says that the result is wrong, also after paying, with a bond.

        The provider's signature is not looked at where it claimed the same result here itself.
        """
        name, standing = self._standing(deal)
        need(standing.state is State.OPEN, "not open")
        self._accuse(call, deal, name, standing, result, signature, pool)

    def _accuse(
        self,
        call: Call,
        deal: Deal,
        name: DealId,
        standing: DealState,
        result: Result,
        signature: bytes | None,
        pool: bytes,
    ) -> None:
        self._need_party(call, deal.jc)
        need(call.now <= deal.claim_until, "too late")
        stood_for = result.sealed != bytes(32) and self.sealed.get(name) == result.sealed
        if not stood_for:
            need(signature is not None and self._signed(replace(result, deal=name), signature, deal.rp), "not signed")
        self._summon(call, deal, name, standing.flags & Flag.PAID, pool)
        self.sealed[name] = result.sealed

    def draw(self, call: Call, deal: Deal, pool: bytes) -> None:
        """Anybody seats the jury by the hash of a block younger than the dispute; an old one is named anew."""
        name, standing = self._standing(deal)
        need(standing.state is State.JURY and Flag.DRAWN not in standing.flags, "not due")
        need(keccak(pool) == deal.pool, "pool")
        need(call.now <= standing.deadline, "too late")
        need(call.block > standing.block, "too early")
        if call.block > standing.block + _REMEMBERED:
            self.deals[name] = replace(standing, block=call.block + SEED_DELAY)
            return
        wanted = 2 * deal.jurors + 1 if Flag.APPEALED in standing.flags else deal.jurors - _count(standing.sitting)
        seed = keccak(name + self._block_hash(standing.block))
        seated = self._seat(deal, standing, pool, wanted, seed)
        self.deals[name] = replace(
            standing,
            flags=standing.flags | Flag.DRAWN,
            deadline=call.now + deal.judge,
            sitting=standing.sitting | seated,
        )

    def _summon(self, call: Call, deal: Deal, name: DealId, flags: Flag, pool: bytes) -> None:
        need(self.account(deal.jc).free >= bond(deal), "not enough free")
        standing = DealState(State.JURY, flags, call.now + deal.judge, call.block + SEED_DELAY)
        if pool:
            need(keccak(pool) == deal.pool, "pool")
            need(len(pool) == _ADDRESS * deal.jurors, "not named")
            seated = self._seat(deal, standing, pool, deal.jurors, name)
            standing = replace(standing, flags=flags | Flag.DRAWN, sitting=seated)
        self._lock(deal.jc, bond(deal))
        self.deals[name] = standing

    def _seat(self, deal: Deal, standing: DealState, pool: bytes, wanted: int, seed: bytes) -> int:
        members = jury_order(pool, seed)
        barred = standing.sitting | standing.former | standing.out
        seated = 0
        for position, who in members:
            if _count(seated) == wanted:
                break
            if barred >> position & 1 or who in (deal.jc, deal.rp):
                continue
            mediator = self.mediator(who)
            if mediator.leaves or mediator.stake < deal.juror_stake:
                continue
            seated |= 1 << position
        return seated

    # it votes

    def vote(
        self, call: Call, deal: Deal, pool: bytes, ruling: int, commitments: bytes, votes: dict[int, bytes]
    ) -> None:
        """Anybody hands in signed votes for one ruling over the same commitments; a quorum decides.

        Ruling 0 is a promise to vote. Without commitments a vote (for "wrong" it counts as any other) says that its
        juror had nothing to judge by; such jurors win only with a ruling that the others could hardly have made, and
        then nobody's stake depends on it. ``votes`` are signatures by the voter's position in the pool; who has voted
        meanwhile, or has no stake left for it, is skipped.
        """
        name, standing = self._standing(deal)
        need(standing.state is State.JURY and Flag.DRAWN in standing.flags, "not due")
        need(keccak(pool) == deal.pool, "pool")
        need(call.now <= standing.deadline, "too late")
        need(ruling <= Outcome.NOT_FETCHABLE, "ruling")
        appealed = Flag.APPEALED in standing.flags
        vote = Vote(name, int(appealed), ruling, commitments)
        due = standing.sitting & ~standing.voted
        heard = 0
        for position in sorted(votes):
            need(len(pool) >= _ADDRESS * (position + 1), "")
            who = _member(pool, position)
            need(self._signed(vote, votes[position], who), "not signed")
            if due >> position & 1 and self.mediator(who).ready >= deal.juror_stake:
                heard |= 1 << position
        need(heard != 0, "not their turn")
        if ruling == 0:
            self.deals[name] = replace(standing, present=standing.present | heard)
            return
        for position in range(heard.bit_length()):
            if heard >> position & 1:
                mediator = self.mediator(_member(pool, position))
                busy = mediator.busy + deal.juror_stake
                self.mediators[_member(pool, position)] = replace(mediator, busy=busy)
        ballot, rests_on_nothing = digest(self.domain, vote), False
        if ruling != Outcome.WRONG:  # such votes add up, whatever each rests on
            ballot, rests_on_nothing = _ballot(name, ruling), commitments == bytes(32)
        tally = self.tallies.get(ballot, 0) & (standing.sitting | standing.sitting << _SEATS)
        tally |= heard << _SEATS if rests_on_nothing else heard
        standing = replace(standing, voted=standing.voted | heard)
        quorum = deal.jurors + 1 if appealed else deal.quorum
        if _count(tally) < quorum:
            self.tallies[ballot] = tally
            self.deals[name] = standing
            return
        tally, without = tally & (1 << _SEATS) - 1, tally >> _SEATS
        if _count(tally) <= quorum // 2:
            tally |= without
            standing = replace(standing, flags=standing.flags | Flag.UNPROVEN)
        if appealed:
            self._end_appeal(deal, name, standing, pool, Outcome(ruling), tally)
        elif deal.appeal == 0:
            bearing = Bearing(deal.fee * _count(tally))
            self._end(deal, name, standing, pool, Outcome(ruling), bearing, paid=tally)
        else:
            self.deals[name] = replace(
                standing,
                state=State.RULED,
                deadline=call.now + deal.appeal,
                winners=tally,
                outcome=Outcome(ruling),
            )

    def appeal(self, call: Call, deal: Deal, pool: bytes, for_provider: bool) -> None:
        """Either party has a ruling judged again, once, by 2n + 1 others of the pool, whose fees it locks."""
        name, standing = self._standing(deal)
        need(standing.state is State.RULED, "no ruling")
        need(keccak(pool) == deal.pool, "pool")
        need(call.now <= standing.deadline, "too late")
        party = deal.rp if for_provider else deal.jc
        self._need_party(call, party)
        used = _count(standing.sitting | standing.out)
        need(len(pool) // _ADDRESS >= used + 2 * deal.jurors + 1, "pool too small")
        self._lock(party, _appeal_bond(deal))
        self._dismiss(deal, pool, standing.voted & ~standing.winners & ~standing.out)
        flags = standing.flags & (Flag.PAID | Flag.CONTESTED | Flag.UNPROVEN) | Flag.APPEALED
        self.deals[name] = DealState(
            State.JURY,
            flags | Flag.BY_PROVIDER if for_provider else flags,
            call.now + deal.judge,
            call.block + SEED_DELAY,
            former=standing.sitting,
            out=standing.out,
            winners=standing.winners,
            outcome=standing.outcome,
        )

    def expose(self, call: Call, deal: Deal, pool: bytes, position: int, first: Ballot, second: Ballot) -> None:
        """Anybody shows two different votes signed by one sitting juror: its stake goes half to each party."""
        name, standing = self._standing(deal)
        need(standing.state in (State.JURY, State.RULED), "no jury")
        need(keccak(pool) == deal.pool, "pool")
        need(position < 24 and bool(standing.sitting >> position & 1), "not sitting")
        need(first.ruling != 0 and second.ruling != 0, "no vote")
        names_another_run = first.ruling == Outcome.WRONG and first.commitments != second.commitments
        need(first.ruling != second.ruling or names_another_run, "the same vote")
        turn = int(Flag.APPEALED in standing.flags)
        for ballot in (first, second):
            vote = Vote(name, turn, ballot.ruling, ballot.commitments)
            need(self._signed(vote, ballot.signature, _member(pool, position)), "not signed")
        seat = 1 << position
        self.deals[name] = replace(standing, sitting=standing.sitting & ~seat, out=standing.out | seat)
        if standing.voted & seat:
            self._share_out(deal, self._dismiss(deal, pool, seat, slashed=seat))
        else:
            self._fine(deal, pool, seat)

    # it ends

    def _finalize_dispute(self, call: Call, deal: Deal, pool: bytes) -> None:
        name, standing = self._standing(deal)
        # where nobody was ever seated the pool may be one that nobody can show: the money comes home all the same
        seated = standing.sitting | standing.former | standing.out
        need(seated == 0 or keccak(pool) == deal.pool, "pool")
        winners = standing.winners & ~standing.out
        silent = 0
        if standing.state is State.JURY and Flag.DRAWN in standing.flags:
            silent = standing.sitting & ~standing.voted
        # who never promised to vote may never have heard of the dispute: it is only replaced
        self._fine(deal, pool, silent & standing.present)
        if standing.outcome is not Outcome.NONE:
            # not appealed, or the second jury did not decide: it stands
            bearing = Bearing(deal.fee * _count(winners))
            self._end(deal, name, standing, pool, standing.outcome, bearing, paid=winners)
        elif silent and Flag.REFILLED not in standing.flags and len(pool) > _ADDRESS * deal.jurors:
            self.deals[name] = replace(
                standing,
                flags=(standing.flags | Flag.REFILLED) & ~Flag.DRAWN,
                deadline=call.now + deal.judge,
                block=call.block + SEED_DELAY,
                sitting=standing.sitting & ~silent,
                out=standing.out | silent,
            )
        else:
            outcome = Outcome(deal.silence) if deal.silence != Silence.SPLIT else Outcome.SPLIT
            self._end(deal, name, standing, pool, outcome, Bearing())

    def _end_appeal(
        self, deal: Deal, name: DealId, standing: DealState, pool: bytes, ruling: Outcome, tally: int
    ) -> None:
        first = standing.winners & ~standing.out
        fees = deal.fee * _count(tally)
        if ruling is standing.outcome:
            bearing = Bearing(deal.fee * _count(first), fees, _appeal_bond(deal) - fees)
            self._end(deal, name, standing, pool, ruling, bearing, paid=first | tally)
        else:
            own = min(fees, bond(deal))
            # what a jury was shown may change from one to the next, at a party's will: that is no juror's fault
            slashed = 0 if Flag.UNPROVEN in standing.flags else first
            self._end(deal, name, standing, pool, ruling, Bearing(own, fees - own), paid=tally, slashed=slashed)

    def _end(
        self,
        deal: Deal,
        name: DealId,
        standing: DealState,
        pool: bytes,
        outcome: Outcome,
        bearing: Bearing,
        *,
        paid: int = 0,
        slashed: int = 0,
    ) -> None:
        pay = 0 if standing.paid else deal.pay
        jc_free = bond(deal) + (0 if standing.paid else deal.jc_share)
        rp_free = deal.rp_share
        to_jc = to_rp = jc_fees = rp_fees = 0
        match outcome:
            case Outcome.SPLIT:
                to_rp = pay // 2
            case Outcome.RIGHT if Flag.CONTESTED in standing.flags:
                # the jury could fetch it and the job creator could not: fault can't be told
                to_rp, rp_fees = pay, bearing.fees // 2
                jc_fees = bearing.fees - rp_fees
            case Outcome.RIGHT:
                to_rp, jc_fees = pay + bond(deal) - bearing.fees, bearing.fees
            case Outcome.WRONG:
                to_jc, rp_fees = deal.cheat - bearing.fees, bearing.fees
            case _:
                to_jc, rp_fees = deal.rp_share - bearing.fees, bearing.fees
        if Flag.BY_PROVIDER in standing.flags:
            rp_free += _appeal_bond(deal)
            rp_fees += bearing.by_appellant
            to_jc += bearing.to_other
        elif Flag.APPEALED in standing.flags:
            jc_free += _appeal_bond(deal)
            jc_fees += bearing.by_appellant
            to_rp += bearing.to_other
        seats = (standing.voted | standing.winners) & ~standing.out
        lost = self._dismiss(deal, pool, seats, paid=paid, slashed=slashed)
        self.deals[name] = DealState(State.CLOSED, Flag.PAID if standing.paid else NO_FLAGS, outcome=outcome)
        self._move(deal, jc_free, rp_free, to_jc=to_jc, to_rp=to_rp)
        jc, rp = self.account(deal.jc), self.account(deal.rp)
        self.accounts[deal.jc] = Account(jc.balance - jc_fees, jc.locked)
        self.accounts[deal.rp] = Account(rp.balance - rp_fees, rp.locked)
        self._share_out(deal, lost)

    def _dismiss(self, deal: Deal, pool: bytes, seats: int, *, paid: int = 0, slashed: int = 0) -> int:
        lost = 0
        for position in range(seats.bit_length()):
            if not seats >> position & 1:
                continue
            who = _member(pool, position)
            mediator = self.mediator(who)
            stake = mediator.stake
            if slashed >> position & 1:
                stake -= deal.juror_stake
                lost += deal.juror_stake
            elif paid >> position & 1:
                stake += deal.fee
            self.mediators[who] = replace(mediator, stake=stake, busy=mediator.busy - deal.juror_stake)
        return lost

    def _fine(self, deal: Deal, pool: bytes, seats: int) -> None:
        lost = 0
        for position in range(seats.bit_length()):
            if seats >> position & 1:
                who = _member(pool, position)
                mediator = self.mediator(who)
                amount = min(mediator.ready, deal.juror_stake)
                self.mediators[who] = replace(mediator, stake=mediator.stake - amount)
                lost += amount
        self._share_out(deal, lost)

    def _share_out(self, deal: Deal, lost: int) -> None:
        self._credit(deal.jc, lost - lost // 2)
        self._credit(deal.rp, lost // 2)


@dataclass(frozen=True, slots=True)
class Ballot:
    """One juror's signed vote, as evidence against it."""

    ruling: int
    commitments: bytes
    signature: bytes


def jury_order(pool: bytes, seed: bytes) -> list[tuple[int, Address]]:
    """Positions and addresses of a pool, shuffled by a seed (Fisher and Yates, from the front).

    The seed alone decides the order and those who can't serve are passed over, so nobody gains a place by joining or
    leaving once the seed is known.
    """
    order = list(range(len(pool) // _ADDRESS))
    for i in range(len(order)):
        j = i + int.from_bytes(keccak(seed + i.to_bytes(32, "big")), "big") % (len(order) - i)
        order[i], order[j] = order[j], order[i]
    return [(position, _member(pool, position)) for position in order]


def _ballot(name: DealId, ruling: int) -> bytes:
    return (int.from_bytes(name, "big") ^ ruling).to_bytes(32, "big")


def _member(pool: bytes, position: int) -> Address:
    return Address(pool[_ADDRESS * position : _ADDRESS * (position + 1)])


def _count(seats: int) -> int:
    return seats.bit_count()


def _appeal_bond(deal: Deal) -> int:
    return (2 * deal.jurors + 1) * deal.fee
