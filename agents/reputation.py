"""What this peer thinks of others, from its own deals alone: who kept its word, who broke it, and how long ago.

Nothing of it comes from hearsay, so nobody can be praised or slandered here. Each entry rests on something the other
side signed (its `Bind`, and then a delivery or the lack of one), and weighs half after `HALF_LIFE`: people mend their
machines, and sell their keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.identity import Address
from protocol.types import Large, Moment, Party

HALF_LIFE = 7 * 86400.0
"""Seconds after which a memory weighs half."""
UNIT = 1_000_000
"""Weights are kept in millionths, since what is saved holds no fractions."""
MOST_PEERS = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """One peer's record, as it weighed at a moment."""

    peer: Party
    kept: Large
    broken: Large
    at: Moment

    def aged(self, now: float) -> Standing:
        """The same record, as it weighs now."""
        factor = 0.5 ** (max(0.0, now - self.at) / HALF_LIFE)
        return Standing(self.peer, int(self.kept * factor), int(self.broken * factor), int(max(now, self.at)))


def key(peer: Address) -> str:
    """Where a standing is saved."""
    return f"standing:{peer.hex()}"


class Reputation:
    """All standings that one buyer keeps."""

    def __init__(self) -> None:
        self._standings: dict[Address, Standing] = {}

    def restore(self, standing: Standing) -> None:
        """Take back what was saved."""
        self._standings[standing.peer] = standing

    def note(self, now: float, peer: Address, *, kept: bool) -> Standing:
        """A deal with this peer has ended well, or not; gives what is to be saved."""
        before = self._standings.get(peer, Standing(peer, 0, 0, int(now))).aged(now)
        after = Standing(peer, before.kept + UNIT * kept, before.broken + UNIT * (not kept), before.at)
        self._standings.pop(peer, None)
        if len(self._standings) >= MOST_PEERS:
            del self._standings[next(iter(self._standings))]  # the one not dealt with for longest
        self._standings[peer] = after
        return after

    def doubt(self, now: float, peer: Address) -> float:
        """How likely this peer is to break its word, in [0, 1): 0 for one never dealt with.

        Strangers get the benefit of the doubt, else nobody new would ever be bought from; what protects a buyer from
        them is the vault.
        """
        standing = self._standings.get(peer)
        if standing is None:
            return 0.0
        now_ = standing.aged(now)
        return now_.broken / (now_.broken + now_.kept + UNIT)
