"""Several endpoints as one: what matters is asked of all of them, so that one that lies, lags or drops does no harm.

::

    sending            to all; good if one takes it, refused only if everybody whom it can have reached refuses it
    nonces             the highest that a quorum reaches; no answer where fewer than a quorum tell one
    heights            the same, of those who answer
    prices, estimates  the middle one; "it would be refused" only where nobody says otherwise
    receipts, blocks   what most of them tell, word for word, if a quorum does
    everything else    the first that answers; who does not is asked last from then on

What is read of the vault's state before work starts on it goes by `witnesses`, block by block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from contracts.asking import ask_all
from contracts.errors import ChainError, ChainUnreachable, Disagreement, Garbled, NeverAsked, RpcRefused
from contracts.reading import counted, data, field, quantity, read_receipt
from contracts.rpc import Endpoint, Request

_SEND = "eth_sendRawTransaction"
_NONCE = "eth_getTransactionCount"
_REACHED = frozenset({"eth_blockNumber", _NONCE})
_ESTIMATE = "eth_estimateGas"
_PRICES = frozenset({"eth_gasPrice", "eth_maxPriorityFeePerGas"})
_MIDDLE = _PRICES | {_ESTIMATE}
_RECEIPT = "eth_getTransactionReceipt"
_BLOCK = "eth_getBlockByNumber"


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
        if len(self._endpoints) == 1 or not any(map(_is_asked_of_all, requests)):
            return await self._first(requests)

        def is_enough(heard: Sequence[list[Any]]) -> bool:
            return len(heard) >= self.quorum and not any(
                isinstance(_agreed(request, [answer[place] for answer in heard], self.quorum), Disagreement)
                for place, request in enumerate(requests)
                if _is_voted_on(request)
            )

        answers = await ask_all(self._endpoints, lambda endpoint: endpoint.batch(requests), is_enough)
        heard = [answer for answer in answers if isinstance(answer, list)]
        if not heard:
            raise next((a for a in answers if isinstance(a, ChainError)), ChainUnreachable("no endpoint answers"))
        lost = any(not isinstance(answer, list | NeverAsked) for answer in answers)
        return [
            self._merge(request, [answer[place] for answer in heard], lost) for place, request in enumerate(requests)
        ]

    def _merge(self, request: Request, told: list[Any], lost: bool) -> Any:
        """One answer of several; ``lost``: somebody may have got the request, and was not heard."""
        method = request[0]
        quorum = min(self.quorum, len(told))
        good = [one for one in told if not isinstance(one, ChainError)]
        if _is_voted_on(request):
            return _agreed(request, told, quorum)
        if not good and method == _SEND:
            return _refused(told, lost)
        if not good:
            return _most_often(told)
        if method in _REACHED | _MIDDLE:
            numbers = sorted(number for one in good if (number := _number(one, method not in _PRICES)) is not None)
            if method == _NONCE and len(numbers) < self.quorum:
                return Disagreement(
                    f"{len(numbers)} of {len(self._endpoints)} endpoints tell a nonce, not {self.quorum}"
                )
            if not numbers:
                return Garbled("no endpoint tells a number")
            if method in _REACHED:
                return hex(numbers[-quorum] if quorum <= len(numbers) else numbers[0])
            # of two the lower price, since it can be raised, and the higher estimate, since too little gas fails
            return hex(numbers[(len(numbers) - (method != _ESTIMATE)) // 2])
        return good[0]

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


def _is_asked_of_all(request: Request) -> bool:
    return request[0] == _SEND or request[0] in _REACHED | _MIDDLE or _is_voted_on(request)


def _is_voted_on(request: Request) -> bool:
    """Receipts, and blocks with their transactions: what decides whether something is sent anew."""
    method, params = request
    return method == _RECEIPT or (method == _BLOCK and len(params) > 1 and params[1] is True)


def _agreed(request: Request, told: Sequence[Any], quorum: int) -> Any:
    """What a quorum says; None also where one of them knows of nothing, else a `Disagreement`."""
    by_words: dict[object, list[Any]] = {}
    for one in told:
        try:
            words = _receipt_words(request, one) if request[0] == _RECEIPT else _block_words(one)
        except ChainError:
            continue
        by_words.setdefault(words, []).append(one)
    most = max(by_words.values(), key=len, default=[])
    if len(most) >= quorum:
        return most[0]
    if not by_words and all(isinstance(one, RpcRefused) for one in told):
        return _most_often(told)
    return None if None in by_words else Disagreement(f"no {quorum} endpoints say the same of {request[0]}")


def _receipt_words(request: Request, raw: Any) -> object:
    receipt = read_receipt(raw, data(request[1][0]))
    return None if receipt is None else (receipt, raw.get("blockHash"))


def _block_words(raw: Any) -> object:
    if raw is None:
        return None
    entries = field(raw, "transactions")
    if not isinstance(entries, list):
        raise Garbled("a block without a list of transactions")
    return data(field(raw, "hash")), tuple(
        (data(field(entry, "hash")), data(field(entry, "from")), quantity(field(entry, "nonce"))) for entry in entries
    )


def _refused(told: Sequence[Any], lost: bool) -> ChainError:
    # a transaction that one of them knows already is on its way, whatever the others dislike about it
    known = [one for one in told if isinstance(one, RpcRefused) and "known" in one.message.lower()]
    if not known and (lost or not all(isinstance(one, RpcRefused) for one in told)):
        return ChainUnreachable("one endpoint has refused it, and another may have taken it")
    return _most_often(known or told)


def _most_often(told: Sequence[ChainError]) -> ChainError:
    said = Counter(str(one) for one in told)
    return max(told, key=lambda one: said[str(one)])


def _number(raw: Any, is_counted: bool) -> int | None:
    try:
        return counted(raw) if is_counted else quantity(raw)
    except ChainError:
        return None
