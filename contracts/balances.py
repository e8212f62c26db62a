"""Somebody's money, inside the vault and outside: as a quorum of the endpoints says of one block, or not at all."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.client import Head
from contracts.connection import Connection
from contracts.errors import ChainError, NoToken
from protocol.identity import Address, show
from protocol.vault_state import Account, Mediator


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
    coins = await line.witnesses.agreed(lambda client: client.coins(who, block), f"the coins of block {block}")
    return Money(seen.head, seen.accounts[0], seen.mediators[0], coins, await _tokens(line, who, block))


async def _tokens(line: Connection, who: Address, block: int) -> int | None:
    token = line.client.token
    if token is None:
        return None
    try:
        return await line.witnesses.agreed(lambda client: client.tokens(who, block), f"the tokens of block {block}")
    except ChainError:
        if await line.witnesses.agreed(lambda client: client.has_code(token), "the code at an address"):
            raise
        raise NoToken(f"there is no contract at {show(token)}, so it is no token") from None


async def price_paid(line: Connection, transaction: bytes) -> int | None:
    """What a unit of gas of a mined transaction cost, base units of the coin; None where the endpoints don't tell."""
    try:
        return await line.witnesses.agreed(lambda client: client.price_paid(transaction), "the price of a transaction")
    except ChainError:
        return None
