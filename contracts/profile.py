"""What differs from chain to chain: how long a block takes and how deep a fact must lie before it counts."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.identity import Address


@dataclass(frozen=True, slots=True)
class ChainProfile:
    """One chain's habits. Spans in seconds."""

    chain_id: int
    confirmations: int
    """Blocks, the transaction's own counted, before a transaction is done."""
    poll: float
    """Between two looks at what is on its way."""
    resend_after: float
    """Until the same bytes are sent again."""
    stuck_after: float
    """Until an unmined transaction is replaced by one that pays more."""
    gas_margin_percent: int = 125
    """What is allowed of the estimate; FEVM burns a part of what is not used."""
    block_time: float = 1.0
    """Usual seconds between two blocks."""
    bump_percent: int = 125
    """What a replacement pays of the one before; nodes ask for at least 110."""
    secured_by_a_block: int | None = None
    """How much money, base units, each further block of depth is good for; None: a fact's depth is ever the same."""
    most_confirmations: int = 1_000
    """Depth that is good for any sum."""

    def depth(self, money: int) -> int:
        """Blocks, its own counted, under which a fact that puts ``money`` at stake counts.

        Rewriting a block costs about its reward, so a cheat that has more to win would rewrite more of them.
        """
        if self.secured_by_a_block is None:
            return self.confirmations
        needed = -(-money // self.secured_by_a_block)
        return min(max(self.confirmations, needed), max(self.confirmations, self.most_confirmations))


DEV = ChainProfile(chain_id=1337, confirmations=1, poll=0.01, resend_after=2.0, stuck_after=10.0)
"""The dev chain: it mines at once and forgets nothing."""
ETHEREUM = ChainProfile(
    chain_id=1,
    confirmations=3,
    poll=2.0,
    resend_after=30.0,
    stuck_after=90.0,
    block_time=12.0,
    secured_by_a_block=5 * 10**16,
    most_confirmations=64,
)
"""Ethereum and chains like it; two epochs (64 blocks) are final. Source: Ethereum consensus specification, "Casper"."""
FILECOIN = ChainProfile(
    chain_id=314,
    confirmations=5,
    poll=5.0,
    resend_after=60.0,
    stuck_after=180.0,
    block_time=30.0,
    secured_by_a_block=10**19,
    most_confirmations=120,
)
"""FEVM: tipsets of 30 s. Its own rule calls 900 of them final, hours that no job waits for; five rarely reorganise."""


@dataclass(frozen=True, slots=True)
class ChainAccess:
    """How a chain is reached."""

    urls: tuple[str, ...]
    """JSON-RPC endpoints, best of different makers; each may lie, lag or drop alone where there are three or more."""
    profile: ChainProfile = DEV
    quorum: int | None = None
    """How many endpoints must agree; None: more than half."""
    token: Address | None = None
    """The ERC-20 token that the vault holds; None where it holds the chain's coin."""


KINDS = {"dev": DEV, "ethereum": ETHEREUM, "filecoin": FILECOIN}
_KIND_OF = {1337: "dev", 31337: "dev", 314: "filecoin", 314159: "filecoin"}


def usual_kind(chain_id: int) -> str:
    """Which of `KINDS` a chain is taken for where its configuration says nothing."""
    return _KIND_OF.get(chain_id, "ethereum")
