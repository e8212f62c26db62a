"""Sends transactions of one key so that none is lost and none is sent twice.

    submit --journal--> sent --receipt--> mined --deep enough--> done
                         | unmined for long: the same bytes again, then the same nonce with a higher fee
                         | its receipt vanished in a reorganisation: sent again

An intent's name is the caller's promise that it is one thing: submitting it again gives the first transaction back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import trio
from coincurve import PrivateKey

from contracts.errors import ChainError, ChainUnreachable, Garbled, NotSent, RpcRefused
from contracts.journal import Attempt, JournalStore, Receipt
from contracts.profile import ChainProfile
from contracts.rpc import Endpoint
from contracts.transaction import Transaction, sign
from protocol.identity import Address, address_of_public_key, show

_KNOWN = ("already known", "already imported", "known transaction", "already exists", "alreadyknown")
_USED = ("nonce too low", "nonce is too low", "invalid nonce", "old nonce", "minimum expected nonce")
_USUAL_TIP = 100_000_000
"""Offered, in wei a unit of gas, where the endpoint has no opinion."""
_UNDERPRICED = ("underpriced", "replacement", "too low to replace")


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction on its way."""

    intent: str
    hash: bytes


class Sender:
    """All transactions of one key go through here; start `run` in a nursery before waiting for any."""

    def __init__(self, rpc: Endpoint, journal: JournalStore, key: PrivateKey, profile: ChainProfile) -> None:
        self.profile = profile
        self.address: Address = address_of_public_key(key.public_key.format())
        self._rpc = rpc
        self._journal = journal
        self._key = key
        self._turn = trio.Lock()
        self._changed = trio.Event()
        self._touched: dict[str, float] = {}
        """When an intent's bytes last left this process, trio's clock."""

    async def submit(
        self, intent: str, to: Address | None, data: bytes, value: int = 0, *, gas: int | None = None
    ) -> Sent:
        """Journal and send; the same intent again only returns what was sent.

        Without ``gas`` the call is tried first, so `Reverted` comes before anything is signed. Raises `NotSent` where
        the endpoint will not take it, `ChainUnreachable` only before the journal holds it: once it does, it is sent
        as soon as an endpoint answers.
        """
        async with self._turn:
            before = self._journal.attempts(intent)
            if before:
                return Sent(intent, before[-1].hash)
            attempt = await self._prepare(intent, to, data, value, gas)
            self._journal.save(attempt)
            try:
                await self._send(attempt)
            except (ChainUnreachable, Garbled):
                pass  # it may have arrived or not; `run` sends the same bytes again
            except RpcRefused as error:
                self._journal.forget(attempt)
                raise NotSent(error.message) from error
            self._wake()
            return Sent(intent, attempt.hash)

    async def wait(self, sent: Sent | bytes) -> Receipt:
        """Until it lies deep enough. A hash that was replaced gives the receipt of the one that was mined."""
        intent = sent.intent if isinstance(sent, Sent) else self._journal.intent_of(sent)
        if intent is None:
            raise NotSent("this key never sent that transaction")
        while (receipt := self._journal.receipt(intent)) is None:
            await self._changed.wait()
        return receipt

    async def run(self) -> None:
        """Look after everything on its way, for ever; begins with what a crash left behind."""
        while True:
            attempts = self._journal.unfinished()
            if not attempts:
                await self._changed.wait()
                continue
            try:
                await self._look_after(attempts)
            except ChainError:
                await trio.sleep(min(1.0, self.profile.poll * 20))
            await trio.sleep(self.profile.poll)

    async def _prepare(self, intent: str, to: Address | None, data: bytes, value: int, gas: int | None) -> Attempt:
        me = show(self.address)
        call = {"from": me, "data": "0x" + data.hex(), "value": hex(value)}
        if to is not None:
            call["to"] = show(to)
        count, head, tip, estimate = await self._rpc.batch(
            [
                ("eth_getTransactionCount", (me, "latest")),
                ("eth_getBlockByNumber", ("latest", False)),
                ("eth_maxPriorityFeePerGas", ()),
                ("eth_chainId", ()) if gas is not None else ("eth_estimateGas", (call,)),
            ]
        )
        if gas is None:
            gas = quantity(estimate) * self.profile.gas_margin_percent // 100
        reward = _USUAL_TIP if isinstance(tip, RpcRefused) else quantity(tip)
        most = 2 * quantity(field(head, "baseFeePerGas")) + reward
        nonce = max(quantity(count), self._journal.next_nonce())
        return self._sign(intent, nonce, to, value, data, gas, most, reward)

    def _sign(
        self, intent: str, nonce: int, to: Address | None, value: int, data: bytes, gas: int, max_fee: int, tip: int
    ) -> Attempt:
        signed = sign(Transaction(self.profile.chain_id, nonce, to, value, data, gas, max_fee, tip), self._key)
        return Attempt(intent, nonce, signed.hash, signed.raw, to, value, data, gas, max_fee, tip, time.time())

    async def _send(self, attempt: Attempt) -> bool:
        """Whether the chain still has a place for it; raises `RpcRefused` where it will not take it at all."""
        self._touched[attempt.intent] = trio.current_time()
        try:
            await self._rpc.call("eth_sendRawTransaction", "0x" + attempt.raw.hex())
        except RpcRefused as error:
            told = error.message.lower()
            if any(words in told for words in _KNOWN):
                return True
            if any(words in told for words in _USED):
                return False
            raise
        return True

    async def _look_after(self, attempts: Sequence[Attempt]) -> None:
        head, count, *receipts = await self._rpc.batch(
            [
                ("eth_blockNumber", ()),
                ("eth_getTransactionCount", (show(self.address), "latest")),
                *(("eth_getTransactionReceipt", ("0x" + attempt.hash.hex(),)) for attempt in attempts),
            ]
        )
        number, used = quantity(head), quantity(count)
        by_intent: dict[str, list[tuple[Attempt, Any]]] = {}
        for attempt, receipt in zip(attempts, receipts, strict=True):
            by_intent.setdefault(attempt.intent, []).append((attempt, receipt))
        for intent, tries in by_intent.items():
            mined = next((read_receipt(raw) for _, raw in tries if isinstance(raw, dict)), None)
            if mined is None:
                if not any(isinstance(raw, ChainError) for _, raw in tries):
                    await self._push([attempt for attempt, _ in tries], used)
            elif number - mined.block + 1 >= self.profile.confirmations:
                self._journal.finish(intent, mined)
                self._touched.pop(intent, None)
                self._wake()

    async def _push(self, tries: Sequence[Attempt], used: int) -> None:
        newest = tries[-1]
        since = trio.current_time() - self._touched.get(newest.intent, float("-inf"))
        if since < self.profile.resend_after:
            return
        stuck = newest.nonce == used and time.time() - newest.sent_at > self.profile.stuck_after
        try:
            if stuck:
                await self._replace(newest)
            elif not await self._send(newest) and newest.nonce < used:
                await self._take_a_new_nonce(tries)
        except RpcRefused:
            return  # not now (no funds, a full pool); it stays journalled and is tried again

    async def _replace(self, old: Attempt) -> None:
        raised = [max(1, fee * self.profile.bump_percent // 100 + 1) for fee in (old.max_fee, old.tip)]
        async with self._turn:
            new = self._sign(old.intent, old.nonce, old.to, old.value, old.data, old.gas, raised[0], raised[1])
            self._journal.save(new)
            try:
                await self._send(new)
            except RpcRefused as error:
                if not any(words in error.message.lower() for words in _UNDERPRICED):
                    self._journal.forget(new)
                raise

    async def _take_a_new_nonce(self, tries: Sequence[Attempt]) -> None:
        """Another program used the key: our bytes can never be mined now, so signing anew can't do it twice."""
        receipts = await self._rpc.batch([("eth_getTransactionReceipt", ("0x" + a.hash.hex(),)) for a in tries])
        if any(receipt is not None for receipt in receipts):
            return
        old = tries[-1]
        async with self._turn:
            count = quantity(await self._rpc.call("eth_getTransactionCount", show(self.address), "latest"))
            nonce = max(count, self._journal.next_nonce())
            new = self._sign(old.intent, nonce, old.to, old.value, old.data, old.gas, old.max_fee, old.tip)
            self._journal.save(new)
            await self._send(new)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def quantity(raw: Any) -> int:
    """A number in hex; raises the error that stands in its place, or `Garbled`."""
    if isinstance(raw, ChainError):
        raise raw
    if not isinstance(raw, str) or not raw.startswith("0x"):
        raise Garbled(f"{str(raw)[:60]} is no quantity")
    try:
        return int(raw, 16)
    except ValueError as error:
        raise Garbled(f"{raw[:60]} is no quantity") from error


def field(raw: Any, name: str) -> Any:
    """A field of an object; raises the error that stands in its place, or `Garbled`."""
    if isinstance(raw, ChainError):
        raise raw
    if not isinstance(raw, dict) or name not in raw:
        raise Garbled(f"no {name} in an answer")
    return raw[name]


def read_receipt(raw: dict[str, Any]) -> Receipt:
    """A receipt as an endpoint gives it."""
    created = raw.get("contractAddress")
    return Receipt(
        hash=data(field(raw, "transactionHash")),
        block=quantity(field(raw, "blockNumber")),
        gas_used=quantity(field(raw, "gasUsed")),
        status=quantity(field(raw, "status")),
        created=None if created is None else Address(data(created)),
    )


def data(raw: Any) -> bytes:
    """Bytes in hex; raises the error that stands in its place, or `Garbled`."""
    if isinstance(raw, ChainError):
        raise raw
    try:
        return bytes.fromhex(raw.removeprefix("0x"))
    except (AttributeError, ValueError) as error:
        raise Garbled(f"{str(raw)[:60]} are no bytes") from error
