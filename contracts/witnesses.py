"""Several endpoints asked for one fact: before work starts on it, most of them must say the same about an old block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from contracts.asking import ask_all
from contracts.client import Snapshot, VaultClient
from contracts.errors import ChainError, ChainUnreachable, Disagreement, WrongChain
from protocol.deal import DealId
from protocol.identity import Address
from protocol.vault_state import Mediator

T = TypeVar("T")
_NULL_ROUNDS = 4
"""Heights in a row at which a chain may have no block."""


class Witnesses:
    """Clients of one vault through endpoints of different makers; each is allowed to lie, lag or drop alone."""

    def __init__(self, clients: Sequence[VaultClient], quorum: int | None = None) -> None:
        """``quorum`` of them must agree; by default more than half (2 of 3)."""
        self._clients = tuple(clients)
        self.quorum = len(self._clients) // 2 + 1 if quorum is None else quorum

    async def height(self) -> int:
        """The newest block that a quorum has reached; raises `Disagreement` where fewer answer."""
        heads = await self._ask(_height, self._are_enough)
        if len(heads) < self.quorum:
            raise Disagreement(f"{len(heads)} of {len(self._clients)} endpoints answered, {self.quorum} are needed")
        # an endpoint that claims blocks which nobody else has must not move the block that is asked about
        return sorted(heads, reverse=True)[self.quorum - 1]

    async def read_at(
        self, addresses: Sequence[Address], ids: Sequence[DealId], block: int, mediators: Sequence[Address] = ()
    ) -> Snapshot:
        """What a quorum says of one block, or of the one before where a null round has none at that height.

        They must agree on the block's hash too, so two answers from both sides of a fork don't count together. Raises
        `Disagreement`.
        """
        if block < 0:
            raise Disagreement("the chain is not that deep yet")
        for height in range(block, max(-1, block - _NULL_ROUNDS), -1):
            question = partial(VaultClient.read, addresses=addresses, ids=ids, block=height, mediators=mediators)
            answers = await self._ask(question, self._agree)
            for answer, count in Counter(answers).most_common(1):
                if count >= self.quorum and 0 <= height - answer.head.number < _NULL_ROUNDS:
                    return answer
            if len(answers) >= self.quorum:
                break
        raise Disagreement(f"no {self.quorum} of {len(self._clients)} endpoints say the same of block {block}")

    async def read(self, addresses: Sequence[Address], ids: Sequence[DealId], depth: int) -> Snapshot:
        """As `read_at`, of the newest block that lies ``depth`` deep (1: the head)."""
        return await self.read_at(addresses, ids, await self.height() - depth + 1)

    async def mediators(self, addresses: Sequence[Address]) -> tuple[Mediator, ...]:
        """Mediators' stakes at the newest block, in order, as a quorum says; raises `Disagreement`."""
        return (await self.read_at((), (), await self.height(), addresses)).mediators

    async def sealed(self, deal: DealId) -> bytes:
        """The sealed CID that a claim is about, as a quorum says; raises as `agreed`."""
        return await self.agreed(lambda client: client.sealed(deal), "a claim")

    async def agreed(self, question: Callable[[VaultClient], Awaitable[T]], what: str) -> T:
        """What a quorum answers to one question; raises `Disagreement`, or why nobody answers at all."""
        answers = await ask_all(self._clients, question, self._agree)
        told = [answer for answer in answers if answer is not None and not isinstance(answer, ChainError)]
        for answer, count in Counter(told).most_common(1):
            if count >= self.quorum:
                return answer
        if not told:
            raise next((answer for answer in answers if isinstance(answer, ChainError)), ChainUnreachable("no answer"))
        raise Disagreement(f"no {self.quorum} of {len(self._clients)} endpoints say the same of {what}")

    async def check(self) -> None:
        """Raises `WrongChain` where any of them that answers serves another chain, `ChainUnreachable` if none does."""
        answers = await ask_all(self._clients, VaultClient.check, lambda told: len(told) == len(self._clients))
        for answer in answers:
            if isinstance(answer, WrongChain):
                raise answer
        if all(isinstance(answer, ChainError) for answer in answers):
            raise next(answer for answer in answers if isinstance(answer, ChainError))

    def _are_enough(self, answers: Sequence[int]) -> bool:
        return len(answers) >= self.quorum

    def _agree(self, answers: Sequence[object]) -> bool:
        return any(count >= self.quorum for count in Counter(answers).values())

    async def _ask(
        self, question: Callable[[VaultClient], Awaitable[T]], is_enough: Callable[[Sequence[T]], bool]
    ) -> list[T]:
        answers = await ask_all(self._clients, question, is_enough)
        return [answer for answer in answers if answer is not None and not isinstance(answer, ChainError)]


async def _height(client: VaultClient) -> int:
    return (await client.head()).number
