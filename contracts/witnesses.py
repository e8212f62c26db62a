"""Several endpoints asked for one fact: before work starts on it, most of them must say the same about an old block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import trio

from contracts.client import Snapshot, VaultClient
from contracts.errors import ChainError, Disagreement
from protocol.deal import DealId
from protocol.identity import Address

T = TypeVar("T")


class Witnesses:
    """Clients of one vault through endpoints of different makers; each is allowed to lie, lag or drop alone."""

    def __init__(self, clients: Sequence[VaultClient], quorum: int | None = None) -> None:
        """``quorum`` of them must agree; by default more than half (2 of 3)."""
        self._clients = tuple(clients)
        self.quorum = len(self._clients) // 2 + 1 if quorum is None else quorum

    async def read(self, addresses: Sequence[Address], ids: Sequence[DealId], depth: int) -> Snapshot:
        """What a quorum says of the newest block that lies ``depth`` deep (1: the head) for a quorum.

        They must agree on the block's hash too, so two answers from both sides of a fork don't count together. Raises
        `Disagreement`.
        """
        heads = await self._ask(_height)
        if len(heads) < self.quorum:
            raise Disagreement(f"{len(heads)} of {len(self._clients)} endpoints answered, {self.quorum} are needed")
        # An endpoint that claims blocks which nobody else has must not move the block that is asked about.
        height = sorted(heads, reverse=True)[self.quorum - 1]
        block = height - depth + 1
        if block < 0:
            raise Disagreement("the chain is not that deep yet")
        answers = await self._ask(lambda client: client.read(addresses, ids, block))
        for answer, count in Counter(answers).most_common(1):
            if count >= self.quorum and answer.head.number == block:
                return answer
        raise Disagreement(f"no {self.quorum} of {len(self._clients)} endpoints say the same of block {block}")

    async def _ask(self, question: Callable[[VaultClient], Awaitable[T]]) -> list[T]:
        answers: list[T] = []

        async def one(client: VaultClient) -> None:
            with suppress(ChainError):  # who does not answer has no voice this time
                answers.append(await question(client))

        async with trio.open_nursery() as nursery:
            for client in self._clients:
                nursery.start_soon(one, client)
        return answers


async def _height(client: VaultClient) -> int:
    return (await client.head()).number
