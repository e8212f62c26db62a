"""What the vault remembers, packed as the contract packs it: a word an account and a deal, three words a lock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag

_LOW24 = (1 << 24) - 1
_LOW96 = (1 << 96) - 1
_LOW40 = (1 << 40) - 1
_LOW128 = (1 << 128) - 1


class State(IntEnum):
    """Where a deal stands."""

    NONE = 0
    """Never opened here."""
    OPEN = 1
    """No claim is running."""
    ABSENT = 2
    """The job creator says that nothing was delivered; the provider has until the deadline to answer."""
    DELIVERED = 3
    """The provider says that it delivered; the job creator has until the deadline to pay or contest."""
    JURY = 4
    """A jury is to be drawn or sits, until the deadline."""
    RULED = 5
    """A jury ruled; until the deadline the ruling can be appealed."""
    CLOSED = 6
    """Nothing is locked any more."""
    LINE = 7
    """A standing line: its shares are for one deal after another; see `vault_lines`."""


class Flag(IntFlag):
    """What else is known about a deal."""

    PAID = 1
    """The job creator's share has left."""
    STARTED = 2
    """The claim of absence came with the provider's signature that it held every input."""
    CONTESTED = 4
    """The dispute is about a delivery the provider claimed on chain; else about an accusation."""
    REFILLED = 8
    """The seats of silent jurors were filled once."""
    APPEALED = 16
    """The ruling was appealed: the second jury is due."""
    BY_PROVIDER = 32
    """It was the provider that appealed."""
    DRAWN = 64
    """The jury due at this stage has been drawn."""
    UNPROVEN = 128
    """At most half of the votes that a ruling takes rest on anything: no stake is lost over it."""


class Outcome(IntEnum):
    """How a closed deal ended; the first three are a jury's rulings."""

    NONE = 0
    RIGHT = 1
    WRONG = 2
    NOT_FETCHABLE = 3
    SPLIT = 4
    """A silent jury: half the pay each."""
    DONE = 5
    """Paid, and nobody complained."""
    VANISHED = 6
    """The provider did not answer a claim of absence."""
    LAPSED = 7
    """The inputs never came."""
    EXPIRED = 8
    """Nobody claimed anything in time: all went home."""
    PARTED = 9
    """Both agreed to end it."""
    RESUMED = 10
    """A standing line: its latest deal goes on alone."""


NO_FLAGS = Flag(0)


@dataclass(frozen=True, slots=True)
class Account:
    """One party's money in the vault, in base units."""

    balance: int = 0
    locked: int = 0
    """How much of the balance is locked in deals, bonds and jury stakes."""

    @property
    def free(self) -> int:
        """What can be withdrawn or locked."""
        return self.balance - self.locked

    def word(self) -> int:
        """Balance in the low 128 bits, locked in the high 128."""
        return self.balance | self.locked << 128

    @staticmethod
    def of(word: int) -> Account:
        """Unpack an account's word."""
        return Account(word & _LOW128, word >> 128)


@dataclass(frozen=True, slots=True)
class Lock:
    """What one side locked for many deals at once, under the root of a tree of their shares."""

    root: bytes = bytes(32)
    total: int = 0
    """The sum of all shares under the root, base units."""
    since: int = 0
    """Moment it was made."""
    until: int = 0
    """Last moment of its life; after it the next lock takes its place."""
    number: int = 0
    """Counts the locks of a slot from 1; 0: there never was one."""
    left: int = 0
    """What is still locked here, base units."""
    gone: int = 0
    """A bit for each seat whose share has left."""

    def has_left(self, position: int) -> bool:
        """Whether a seat's share was paid, or went to a deal of its own."""
        return bool(self.gone >> position & 1)

    def without(self, position: int, share: int) -> Lock:
        """The lock after a share left it."""
        return replace(self, left=self.left - share, gone=self.gone | 1 << position)

    def words(self) -> bytes:
        """Three words: the root; total 96 bits, since 40, until 40, number 40; left 96, then a bit a seat."""
        terms = self.total | self.since << 96 | self.until << 136 | self.number << 176
        return self.root + terms.to_bytes(32, "big") + (self.left | self.gone << 96).to_bytes(32, "big")

    @staticmethod
    def of(words: bytes) -> Lock:
        """Unpack a lock's three words."""
        terms, left = int.from_bytes(words[32:64], "big"), int.from_bytes(words[64:96], "big")
        times = (terms >> 96 & _LOW40, terms >> 136 & _LOW40, terms >> 176)
        return Lock(words[:32], terms & _LOW96, *times, left & _LOW96, left >> 96)


@dataclass(frozen=True, slots=True)
class Mediator:
    """One mediator's stake, in base units."""

    stake: int = 0
    busy: int = 0
    """How much of it its votes put at risk in disputes that are not over."""
    leaves: int = 0
    """Moment after which what is not at risk may leave; 0 for one that stays."""

    @property
    def ready(self) -> int:
        """What can still be put at risk."""
        return self.stake - self.busy

    @property
    def pledged(self) -> int:
        """With how much it can be drawn into a jury: nothing once it has said that it leaves."""
        return 0 if self.leaves else self.stake

    def word(self) -> int:
        """Stake in the low 96 bits, busy in the next 96, then the moment."""
        return self.stake | self.busy << 96 | self.leaves << 192

    @staticmethod
    def of(word: int) -> Mediator:
        """Unpack a mediator's word."""
        return Mediator(word & _LOW96, word >> 96 & _LOW96, word >> 192)


@dataclass(frozen=True, slots=True)
class DealState:
    """One deal's standing. Each set of jurors is a bit set over the positions in the pool."""

    state: State = State.NONE
    flags: Flag = NO_FLAGS
    deadline: int = 0
    """Moment until which the running claim or stage lasts; 0 without one."""
    block: int = 0
    """Number of the block whose hash draws the jury; of a line, the number of the successor that was shown."""
    sitting: int = 0
    """Jurors of the present jury."""
    former: int = 0
    """Jurors of the jury whose ruling was appealed."""
    out: int = 0
    """Jurors who lost their seat in this dispute: silent, or exposed."""
    voted: int = 0
    """Jurors of the present jury whose vote arrived."""
    winners: int = 0
    """Jurors whose votes made the first ruling."""
    outcome: Outcome = Outcome.NONE
    """The ruling so far, or how a closed deal ended."""
    present: int = 0
    """Jurors of the present jury who promised to vote."""

    def word(self) -> int:
        """The contract's word, lowest field first: 8 bits, 8, 40, 40, five times 24, 8, 24."""
        return (
            int(self.state)
            | int(self.flags) << 8
            | self.deadline << 16
            | self.block << 56
            | self.sitting << 96
            | self.former << 120
            | self.out << 144
            | self.voted << 168
            | self.winners << 192
            | int(self.outcome) << 216
            | self.present << 224
        )

    @staticmethod
    def of(word: int) -> DealState:
        """Unpack a deal's word."""
        return DealState(
            State(word & 255),
            Flag(word >> 8 & 255),
            word >> 16 & _LOW40,
            word >> 56 & _LOW40,
            word >> 96 & _LOW24,
            word >> 120 & _LOW24,
            word >> 144 & _LOW24,
            word >> 168 & _LOW24,
            word >> 192 & _LOW24,
            Outcome(word >> 216 & 255),
            word >> 224 & _LOW24,
        )

    @property
    def paid(self) -> bool:
        """Whether the job creator's share has left."""
        return bool(self.flags & Flag.PAID)
