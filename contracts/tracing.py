"""Who used a nonce: found in the chain's blocks, for endpoints that keep no receipt or not yet (FEVM, IPC, an indexer
that lags). "No receipt" alone proves nothing: a payment signed anew on such a word would be made twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.errors import ChainError, Disagreement, Garbled, Reverted, RpcRefused
from contracts.journal import Attempt, Receipt
from contracts.reading import counted, data, field, quantity, read_receipt
from contracts.rpc import Endpoint
from protocol.identity import Address, show

_NULL_ROUNDS = 4
"""Heights in a row at which a chain may have no block; the state there is that of the block before."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """Another program used the key for this nonce."""

    hash: bytes


async def trace(rpc: Endpoint, who: Address, tries: Sequence[Attempt], newest: int) -> Receipt | Foreign | None:
    """What became of the nonce of the last of ``tries`` by block ``newest``; None while that can't be told.

    Raises `ChainError` where the endpoint is away.
    """
    nonce = tries[-1].nonce
    if (await _count(rpc, who, newest) or 0) <= nonce:
        return None
    low, high = 0, newest
    while low < high:  # the first block after which the nonce is used
        middle = (low + high) // 2
        count = await _count(rpc, who, middle)
        if count is not None and count > nonce:
            high = middle
        else:  # an endpoint that keeps no old states: then the block must be one of those it keeps
            low = middle + 1
    for entry in await _transactions(rpc, low):
        if data(field(entry, "from")) == who and quantity(field(entry, "nonce")) == nonce:
            name = data(field(entry, "hash"))
            ours = next((attempt for attempt in tries if attempt.hash == name), None)
            return Foreign(name) if ours is None else await _what_became(rpc, who, ours, low)
    return None


async def _count(rpc: Endpoint, who: Address, block: int) -> int | None:
    for height in range(block, max(-1, block - _NULL_ROUNDS), -1):
        try:
            return counted(await rpc.call("eth_getTransactionCount", show(who), hex(height)))
        except (RpcRefused, Garbled, Disagreement):
            continue
    return None


async def _transactions(rpc: Endpoint, block: int) -> list[Any]:
    try:
        found = field(await rpc.call("eth_getBlockByNumber", hex(block), True), "transactions")
    except (RpcRefused, Garbled):
        return []
    return found if isinstance(found, list) else []


async def _what_became(rpc: Endpoint, who: Address, attempt: Attempt, block: int) -> Receipt:
    """Its receipt if there is one by now; else its call tried on the state before its block tells whether it worked."""
    raw = await rpc.call("eth_getTransactionReceipt", "0x" + attempt.hash.hex())
    receipt = read_receipt(raw, attempt.hash)
    if receipt is not None:
        return receipt
    call = {"from": show(who), "data": "0x" + attempt.data.hex(), "value": hex(attempt.value), "gas": hex(attempt.gas)}
    if attempt.to is not None:
        call["to"] = show(attempt.to)
    status = 1
    try:
        await rpc.call("eth_call", call, hex(max(0, block - 1)))
    except Reverted:
        status = 0
    except ChainError:
        pass  # that state is gone; the contract's own state is what callers go by
    return Receipt(attempt.hash, block, attempt.gas, status)
