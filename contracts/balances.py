"""Somebody's money, inside the vault and outside: as a quorum of the endpoints says of one block, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from contracts.asking import ask_all
from contracts.client import Head, VaultClient
from contracts.connection import Connection
from contracts.errors import ChainError, ChainUnreachable, Disagreement, NoToken
from protocol.identity import Address, show
from protocol.vault_state import Account, Mediator

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Money:
    """All that one address has, in base units."""

    head: Head
    """The block that it is told of."""
    account: Account
    stake: Mediator
    """What it has at stake as a mediator."""
    coins: int
    """Outside the vault, for gas."""
    tokens: int | None
    """Outside the vault, of the token that the vault holds; None where it holds the chain's coin."""


async def read_money(line: Connection, who: Address) -> Money:
    """The newest that a quorum agrees on; raises `Disagreement` where fewer answer, or say the same, and `NoToken`."""
    seen = await line.witnesses.read_at((who,), (), await line.witnesses.height(), (who,))
    block = seen.head.number
    coins = await _agreed(line, lambda client: client.coins(who, block), f"the coins of block {block}")
    return Money(seen.head, seen.accounts[0], seen.mediators[0], coins, await _tokens(line, who, block))


async def _tokens(line: Connection, who: Address, block: int) -> int | None:
    token = line.client.token
    if token is None:
        return None
    try:
        return await _agreed(line, lambda client: client.tokens(who, block), f"the tokens of block {block}")
    except ChainError:
        if await _agreed(line, lambda client: client.has_code(token), "the code at an address"):
            raise
        raise NoToken(f"there is no contract at {show(token)}, so it is no token") from None


async def price_paid(line: Connection, transaction: bytes) -> int | None:
    """What a unit of gas of a mined transaction cost, base units of the coin; None where the endpoints don't tell."""
    try:
        return await _agreed(line, lambda client: client.price_paid(transaction), "the price of a transaction")
    except ChainError:
        return None


async def _agreed(line: Connection, question: Callable[[VaultClient], Awaitable[T]], what: str) -> T:
    quorum = line.witnesses.quorum

    def agree(told: Sequence[T]) -> bool:
        return any(count >= quorum for count in Counter(told).values())

    answers = await ask_all(line.readers, question, agree)
    told: Counter[T] = Counter()
    for answer in answers:
        if answer is not None and not isinstance(answer, ChainError):
            told[answer] += 1
    for answer, count in told.most_common(1):
        if count >= quorum:
            return answer
    if not told:
        raise next((answer for answer in answers if isinstance(answer, ChainError)), ChainUnreachable("no answer"))
    raise Disagreement(f"no {quorum} of {len(line.readers)} endpoints say the same of {what}")
