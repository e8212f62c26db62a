"""Several endpoints as one: what matters is asked of all of them, so that one that lies, lags or drops does no harm.

::

    sending            to all; good if one takes it
    counts, heights    the highest that a quorum reaches
    prices, estimates  the middle one; "it would be refused" only where nobody says otherwise
    receipts           what most of them tell, if a quorum does
    everything else    the first that answers; who does not is asked last from then on

What is read of the vault's state before work starts on it goes by `witnesses`, block by block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from contracts.asking import ask_all
from contracts.errors import ChainError, ChainUnreachable, Garbled, RpcRefused
from contracts.reading import quantity
from contracts.rpc import Endpoint, Request

_SEND = "eth_sendRawTransaction"
_REACHED = frozenset({"eth_blockNumber", "eth_getTransactionCount"})
_MIDDLE = frozenset({"eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_estimateGas"})
_RECEIPT = "eth_getTransactionReceipt"
_ASKED_OF_ALL = frozenset({_SEND, _RECEIPT, *_REACHED, *_MIDDLE})


class Fallback:
    """An `Endpoint` made of several; the same signed bytes may reach more than one, which does no harm."""

    def __init__(self, endpoints: Sequence[Endpoint], quorum: int | None = None) -> None:
        """``quorum``: how many must agree on a fact; by default more than half. Fewer where fewer answer."""
        self._endpoints = list(endpoints)
        self.quorum = len(self._endpoints) // 2 + 1 if quorum is None else quorum

    async def call(self, method: str, *params: Any) -> Any:
        """As `Rpc.call`."""
        (result,) = await self.batch([(method, params)])
        if isinstance(result, ChainError):
            raise result
        return result

    async def batch(self, requests: Sequence[Request]) -> list[Any]:
        """As `Rpc.batch`; raises what the last of them did where none answered."""
        if len(self._endpoints) == 1 or not any(method in _ASKED_OF_ALL for method, _ in requests):
            return await self._first(requests)
        answers = await ask_all(self._endpoints, lambda endpoint: endpoint.batch(requests), self.quorum)
        heard = [answer for answer in answers if isinstance(answer, list)]
        if not heard:
            raise next((a for a in answers if isinstance(a, ChainError)), ChainUnreachable("no endpoint answers"))
        quorum = min(self.quorum, len(heard))
        return [
            _merge(method, [answer[place] for answer in heard], quorum) for place, (method, _) in enumerate(requests)
        ]

    async def _first(self, requests: Sequence[Request]) -> list[Any]:
        failure: ChainError = ChainUnreachable("there is no endpoint")
        for endpoint in tuple(self._endpoints):
            try:
                return await endpoint.batch(requests)
            except (ChainUnreachable, Garbled) as error:
                failure = error
                self._endpoints.remove(endpoint)
                self._endpoints.append(endpoint)
        raise failure


def _merge(method: str, told: list[Any], quorum: int) -> Any:
    good = [one for one in told if not isinstance(one, ChainError)]
    if method == _RECEIPT:
        return _agreed([one for one in good if one is None or isinstance(one, dict)], quorum)
    if not good:
        # a transaction that one of them knows already is on its way, whatever the others dislike about it
        known = [one for one in told if isinstance(one, RpcRefused) and "known" in one.message.lower()]
        said = Counter(str(one) for one in known or told)
        return max(known or told, key=lambda one: said[str(one)])
    if method in _REACHED | _MIDDLE:
        numbers = sorted(number for one in good if (number := _number(one)) is not None)
        if not numbers:
            return Garbled("no endpoint tells a number")
        if method in _MIDDLE:
            return hex(numbers[(len(numbers) - 1) // 2])
        return hex(numbers[-min(quorum, len(numbers))])
    return good[0]


def _agreed(receipts: list[Any], quorum: int) -> Any:
    by_words: dict[str, list[Any]] = {}
    for receipt in receipts:
        if receipt is not None:
            words = str([receipt.get(name) for name in ("blockHash", "status", "transactionHash")])
            by_words.setdefault(words, []).append(receipt)
    return next((same[0] for same in by_words.values() if len(same) >= quorum), None)


def _number(raw: Any) -> int | None:
    try:
        return quantity(raw)
    except ChainError:
        return None
