"""Standing lines in the model vault: a pair's later deals, agreed on without the chain, and how the latest gets there.

    NONE --open (no terms)--> LINE --show (a later successor, any number of times)--> LINE, until a deadline
                              LINE --resume (after the deadline)--> CLOSED, and the successor's deal is OPEN
                              LINE --part--> CLOSED: both agree on what was earned (see `vault`)
                              LINE --release (long after claim_until)--> CLOSED: all home

A line is a deal without terms: it locks for the dearest job that may come, and its ``pay`` is the most that its jobs
may earn together. What stands on it at the moment is a `Successor` that both signed: the job's deal, and what is
owed for all jobs before. No claim can be made about a line, so a dispute begins with showing the latest successor; the
other side has a window to show a later one, and what then stands becomes a deal like any other, for any claim.
"""

from __future__ import annotations

from protocol.deal import Deal, Successor
from protocol.eip712 import struct_hash
from protocol.vault_batches import Batches
from protocol.vault_book import Call, need
from protocol.vault_state import Account, DealState, Outcome, State

_LATEST = (1 << 40) - 1


class Lines(Batches):
    """The calls about standing lines."""

    def show(
        self, call: Call, line: Deal, number: int, deal: bytes, owed: int, signatures: tuple[bytes, bytes]
    ) -> None:
        """Show what stands on a line by both signatures, the payer's first; a later one replaces it until `resume`."""
        name, standing = self._standing(line)
        need(standing.state is State.LINE, "no line")
        need(call.now <= line.claim_until, "too late")
        need(standing.block < number <= _LATEST, "not later")
        need(owed <= line.pay, "amount")
        successor = Successor(name, number, deal, owed)
        for signature, party in zip(signatures, (line.jc, line.rp), strict=True):
            need(self._signed(successor, signature, party), "not signed")
        self.sealed[name] = struct_hash(successor)
        self.deals[name] = DealState(State.LINE, deadline=call.now + line.answer, block=number)

    def resume(self, call: Call, line: Deal, deal: Deal, owed: int) -> None:
        """After the window: pay what is owed; the successor's deal goes on alone, locked out of what the line held."""
        name, standing = self._standing(line)
        need(standing.state is State.LINE, "no line")
        need(call.now > standing.deadline, "too early")
        current = self._agreed(call, deal)
        need(owed <= line.pay, "no successor")  # more was never shown
        need(self.sealed.get(name) == struct_hash(Successor(name, standing.block, current, owed)), "no successor")
        need((deal.jc, deal.rp) == (line.jc, line.rp) and deal.claim_until <= line.claim_until, "no successor")
        need(deal.jc_seat | deal.rp_seat == 0, "seat")
        jc, rp = self.account(line.jc), self.account(line.rp)
        jc = Account(jc.balance - owed, jc.locked - line.jc_share + deal.jc_share)
        rp = Account(rp.balance + owed, rp.locked - line.rp_share + deal.rp_share)
        need(jc.free >= 0, "not enough free")
        need(rp.free >= 0, "not enough free")
        self.accounts[line.jc], self.accounts[line.rp] = jc, rp
        self._close(name, Outcome.RESUMED)
        self.deals[current] = DealState(State.OPEN)
