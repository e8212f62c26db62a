"""Sends transactions of one key so that none is lost and none is sent twice.

    submit --journal--> sent --receipt--> mined --deep enough--> done
                         │ unmined: the same bytes again; while the chain goes on without it, the same nonce, dearer
                         │ its nonce is taken but nobody has a receipt: `contracts.tracing` reads the block itself
                         │ forgotten in a reorganisation, even one deeper than "done": the same bytes again
                         ╰ mined as refused: done, and its name is free for another try

An intent's name is the caller's promise that it is one thing: submitting it again gives the first transaction back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import trio
from coincurve import PrivateKey

from contracts.errors import ChainError, ChainReborn, Disagreement, Garbled, NoCoins, NotSent, Reverted, RpcRefused
from contracts.journal import Attempt, JournalStore, Receipt
from contracts.profile import ChainProfile
from contracts.reading import counted, data, field, quantity, read_receipt
from contracts.rpc import Endpoint
from contracts.tracing import Foreign, trace
from contracts.transaction import Transaction, sign
from protocol.identity import Address, address_of_public_key, show

log = logging.getLogger("lilypad.sender")

_KNOWN = ("already known", "already imported", "known transaction", "already exists", "alreadyknown")
_USED = ("nonce too low", "nonce is too low", "invalid nonce", "old nonce", "minimum expected nonce")
_NO_COINS = ("insufficient funds", "insufficient balance", "not enough funds")
_NEVER = (
    *("intrinsic gas", "gas limit", "oversized", "invalid sender", "chain id", "invalid signature", "rlp:"),
    *("type not supported", "unsupported transaction type", "exceeds the configured cap"),
)
"""Refusals of a transaction itself: it will be in no block. All others (a full pool, a hurry) may pass."""
_UNDERPRICED = ("underpriced", "replacement", "too low to replace")
_USUAL_TIP = 100_000_000
"""Offered, in wei a unit of gas, where the endpoint has no opinion."""
_DEAREST = 8
"""A replacement pays at most so many times what the chain asks for now: beyond that the price is not what holds it."""
_STUCK_BLOCKS = 2
"""Blocks that the chain must have made without a transaction before it is replaced: a chain that stands still is no
reason to pay more."""
_FILLER = "gap:"
_MOST_FILLED = 16
"""Missing nonces that are filled at one look."""
_LOOK_AROUND = 5.0
"""Seconds between two looks, while nothing is on its way, whether the chain has forgotten something."""


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
        self._seen_at: dict[bytes, tuple[int, float]] = {}
        """The newest block, and trio's clock, when an unmined transaction was first looked for, by its hash."""
        self._gap: tuple[int, int, float] | None = None
        """A nonce that is missing, and since which block and moment (trio's clock)."""

    async def check(self) -> None:
        """Raises `ChainReborn` where the journal was written for a chain with another first block."""
        try:
            birth = data(field(await self._rpc.call("eth_getBlockByNumber", "0x0", False), "hash"))
        except (RpcRefused, Garbled):
            return  # some endpoints keep no such old block
        if not self._journal.is_of_chain(birth):
            raise ChainReborn(self.profile.chain_id)

    async def submit(
        self, intent: str, to: Address | None, data: bytes, value: int = 0, *, gas: int | None = None
    ) -> Sent:
        """Journal and send; the same intent again only returns what was sent, unless it was mined as refused.

        Without ``gas`` the call is tried first, so `Reverted` comes before anything is signed. Raises `NotSent` where
        no endpoint will ever take it (`NoCoins`: not before there are more), any other `ChainError` only before the
        journal holds it: once it does, it is sent as soon as an endpoint takes it.
        """
        async with self._turn:
            before = self._journal.attempts(intent)
            done = self._journal.receipt(intent)
            if before and (done is None or done.status == 1):
                return Sent(intent, before[-1].hash)
            attempt = await self._prepare(intent, to, data, value, gas)
            if done is not None:
                self._journal.retire(intent)
            self._journal.save(attempt)
            try:
                await self._send(attempt)
            except RpcRefused as error:
                told = error.message.lower()
                if any(words in told for words in (*_NO_COINS, *_NEVER)):
                    self._journal.forget(attempt)
                    kind = NoCoins if any(words in told for words in _NO_COINS) else NotSent
                    raise kind(error.message) from error
            except ChainError:
                pass  # it may have arrived or not; `run` sends the same bytes again
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

    async def depth(self, intent: str) -> int:
        """How many blocks lie on an intent's transaction by now, its own counted; 0: it is in none yet."""
        attempts = self._journal.attempts(intent)
        head, *receipts = await self._rpc.batch(
            [
                ("eth_blockNumber", ()),
                *(("eth_getTransactionReceipt", ("0x" + attempt.hash.hex(),)) for attempt in attempts),
            ]
        )
        found = [read_receipt(raw, attempt.hash) for attempt, raw in zip(attempts, receipts, strict=True)]
        mined = [receipt.block for receipt in found if receipt is not None]
        return max(0, counted(head) - mined[0] + 1) if mined else 0

    async def run(self) -> None:
        """Look after everything on its way, for ever; begins with what a crash or a reorganisation left behind."""
        is_same = False
        while True:
            changed = self._changed  # from before the journal is read: what comes in meanwhile must not wait
            attempts = self._journal.unfinished()
            try:
                if not is_same:  # nothing is taken back or sent again on the word of a chain that began anew
                    await self.check()
                    is_same = True
                await self._look_after(attempts)
            except ChainError:
                await trio.sleep(min(1.0, self.profile.poll * 20))
            with trio.move_on_after(self.profile.poll if attempts else max(_LOOK_AROUND, self.profile.poll)):
                if attempts:
                    await trio.sleep_forever()
                await changed.wait()

    async def _prepare(self, intent: str, to: Address | None, data: bytes, value: int, gas: int | None) -> Attempt:
        me = show(self.address)
        call = {"from": me, "data": "0x" + data.hex(), "value": hex(value)}
        if to is not None:
            call["to"] = show(to)
        count, price, tip, estimate = await self._rpc.batch(
            [
                ("eth_getTransactionCount", (me, "latest")),
                ("eth_gasPrice", ()),
                ("eth_maxPriorityFeePerGas", ()),
                ("eth_chainId", ()) if gas is not None else ("eth_estimateGas", (call,)),
            ]
        )
        if gas is None:
            raise_no_coins(estimate)
            gas = allowed(counted(estimate), self.profile.gas_margin_percent)
        most, reward = fees(price, tip)
        return self._sign(intent, self._free_nonce(count), to, value, data, gas, most, reward)

    def _free_nonce(self, count: Any) -> int:
        """The next to sign with. Where too few endpoints tell the count, the journal knows what this key has used."""
        known = self._journal.next_nonce()
        if isinstance(count, Disagreement) and known:
            return known
        return self._journal.free_nonce(counted(count))

    def _sign(
        self, intent: str, nonce: int, to: Address | None, value: int, data: bytes, gas: int, max_fee: int, tip: int
    ) -> Attempt:
        signed = sign(Transaction(self.profile.chain_id, nonce, to, value, data, gas, max_fee, tip), self._key)
        return Attempt(intent, nonce, signed.hash, signed.raw, to, value, data, gas, max_fee, tip, time.time())

    async def _send(self, attempt: Attempt) -> None:
        """Raises `RpcRefused` where it is not taken; known bytes and a nonce that was used since are no refusal."""
        self._touched[attempt.intent] = trio.current_time()
        try:
            await self._rpc.call("eth_sendRawTransaction", "0x" + attempt.raw.hex())
        except RpcRefused as error:
            if not any(words in error.message.lower() for words in (*_KNOWN, *_USED)):
                raise

    async def _look_after(self, attempts: Sequence[Attempt]) -> None:
        head, count, *receipts = await self._rpc.batch(
            [
                ("eth_blockNumber", ()),
                ("eth_getTransactionCount", (show(self.address), "latest")),
                *(("eth_getTransactionReceipt", ("0x" + attempt.hash.hex(),)) for attempt in attempts),
            ]
        )
        if isinstance(count, Disagreement):  # too few are there to decide anything by; the same bytes do no harm
            await self._resend(attempts)
            return
        number, used = counted(head), counted(count)
        if used < self._journal.next_nonce() and self._journal.reopen(used):
            return  # they are in no block: what was done is undone, and goes out again at the next look
        await self._mind_the_gap(attempts, used, number)
        by_intent: dict[str, list[tuple[Attempt, Any]]] = {}
        for attempt, receipt in zip(attempts, receipts, strict=True):
            by_intent.setdefault(attempt.intent, []).append((attempt, receipt))
        for intent, tries in by_intent.items():
            try:
                await self._look_at(intent, tries, used, number)
            except ChainError as error:  # what an endpoint says of one must not hold up the others
                log.debug("%s: %s", intent, error)

    async def _look_at(self, intent: str, tries: Sequence[tuple[Attempt, Any]], used: int, number: int) -> None:
        mined = None
        for attempt, raw in tries:
            mined = mined or (None if isinstance(raw, RpcRefused) else read_receipt(raw, attempt.hash))
        if mined is None:
            await self._push([attempt for attempt, _ in tries], used, number)
        elif number - mined.block + 1 >= self.profile.confirmations:
            self._finish(intent, mined)

    async def _resend(self, attempts: Sequence[Attempt]) -> None:
        for attempt in {attempt.intent: attempt for attempt in attempts}.values():
            if trio.current_time() - self._touched.get(attempt.intent, float("-inf")) >= self.profile.resend_after:
                with suppress(ChainError):
                    await self._send(attempt)

    async def _mind_the_gap(self, attempts: Sequence[Attempt], used: int, number: int) -> None:
        """Nonces below ours that nobody uses hold everything up: after a while an empty transfer to ourselves does.

        It comes from an endpoint that lied about the count, or from another program with this key whose transactions
        a reorganisation dropped. Ours can't be signed anew with the free nonce: the old bytes would still be good. What
        is submitted meanwhile takes the missing nonces too.
        """
        if not attempts or min(attempt.nonce for attempt in attempts) <= used:
            self._gap = None
            return
        if self._gap is None or self._gap[0] != used:
            self._gap = used, number, trio.current_time()
        waited = trio.current_time() - self._gap[2]
        if waited < self.profile.stuck_after or number - self._gap[1] < _STUCK_BLOCKS:
            return
        me = show(self.address)
        price, tip, gas = await self._rpc.batch(
            [
                ("eth_gasPrice", ()),
                ("eth_maxPriorityFeePerGas", ()),
                ("eth_estimateGas", ({"from": me, "to": me, "value": "0x0"},)),
            ]
        )
        most, reward = fees(price, tip)
        limit = allowed(counted(gas), self.profile.gas_margin_percent)
        async with self._turn:
            for nonce in range(used, min(used + _MOST_FILLED, min(attempt.nonce for attempt in attempts))):
                if self._journal.free_nonce(nonce) == nonce:
                    filler = self._sign(f"{_FILLER}{nonce}", nonce, self.address, 0, b"", limit, most, reward)
                    self._journal.save(filler)
                    with suppress(ChainError):  # it is looked after like all others from now on
                        await self._send(filler)

    def _finish(self, intent: str, receipt: Receipt) -> None:
        self._journal.finish(intent, receipt)
        self._touched.pop(intent, None)
        for attempt in self._journal.attempts(intent):
            self._seen_at.pop(attempt.hash, None)
        self._wake()

    async def _push(self, tries: Sequence[Attempt], used: int, number: int) -> None:
        newest = tries[-1]
        block, moment = self._seen_at.setdefault(newest.hash, (number, trio.current_time()))
        since = trio.current_time() - self._touched.get(newest.intent, float("-inf"))
        if since < self.profile.resend_after:
            return
        try:
            if newest.nonce < used:
                await self._find(tries, number)
            elif self._is_stuck(newest, used, number - block, trio.current_time() - moment):
                await self._replace(newest)
            else:
                await self._send(newest)
        except RpcRefused as error:
            # not now (no funds, a full pool); it stays journalled and is tried again
            log.warning("%s is not taken, and is tried again: %s", newest.intent, error)

    def _is_stuck(self, attempt: Attempt, used: int, blocks: int, seen: float) -> bool:
        # the machine's clock may have been put back since; what this process has seen pass counts too
        waited = max(seen, time.time() - attempt.sent_at)
        return attempt.nonce == used and waited > self.profile.stuck_after and blocks >= _STUCK_BLOCKS

    async def _replace(self, old: Attempt) -> None:
        price, tip = await self._rpc.batch([("eth_gasPrice", ()), ("eth_maxPriorityFeePerGas", ())])
        most, reward = fees(price, tip)
        bumped = [max(1, fee * self.profile.bump_percent // 100 + 1) for fee in (old.max_fee, old.tip)]
        if bumped[0] > _DEAREST * most:
            await self._send(old)
            return
        async with self._turn:
            max_fee, tip = max(most, bumped[0]), max(reward, bumped[1])
            new = self._sign(old.intent, old.nonce, old.to, old.value, old.data, old.gas, max_fee, min(tip, max_fee))
            self._journal.save(new)
            try:
                await self._send(new)
            except RpcRefused as error:
                if not any(words in error.message.lower() for words in _UNDERPRICED):
                    self._journal.forget(new)
                # a pool may have dropped it, and a replacement that is refused brings nothing back
                await self._send(old)
                raise

    async def _find(self, tries: Sequence[Attempt], number: int) -> None:
        """Its nonce is used, and nobody has a receipt: it was mined, or another program used the key."""
        newest = tries[-1]
        self._touched[newest.intent] = trio.current_time()
        found = await trace(self._rpc, self.address, tries, number - self.profile.confirmations + 1)
        if isinstance(found, Receipt):
            self._finish(newest.intent, found)
        elif isinstance(found, Foreign) and newest.intent.startswith(_FILLER):
            self._finish(newest.intent, Receipt(found.hash, number, 0, 1))  # there was no gap after all
        elif isinstance(found, Foreign):
            # our bytes can never be mined now, so signing anew can't do it twice
            async with self._turn:
                count = await self._rpc.call("eth_getTransactionCount", show(self.address), "latest")
                nonce = self._free_nonce(count)
                price, tip = await self._rpc.batch([("eth_gasPrice", ()), ("eth_maxPriorityFeePerGas", ())])
                most, reward = fees(price, tip)
                new = self._sign(newest.intent, nonce, newest.to, newest.value, newest.data, newest.gas, most, reward)
                self._journal.save(new)
                await self._send(new)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def fees(price: Any, tip: Any) -> tuple[int, int]:
    """The most to pay and the tip, for a unit of gas: room for the price to double before it must be replaced.

    ``price`` and ``tip`` as an endpoint tells them; raises `ChainError` in a price's place.
    """
    now = quantity(price)
    reward = _USUAL_TIP if isinstance(tip, RpcRefused) else min(quantity(tip), now)  # a price has the tip in it
    return 2 * now + reward, min(reward, 2 * now + reward)


def allowed(estimate: int, margin_percent: int) -> int:
    """The limit of gas to sign for an estimate."""
    return estimate * margin_percent // 100


def raise_no_coins(estimate: Any) -> None:
    """Raise `NoCoins` where an estimate was refused because the sender holds too little."""
    if isinstance(estimate, RpcRefused) and not isinstance(estimate, Reverted):
        told = estimate.message.lower()
        if any(words in told for words in _NO_COINS):
            raise NoCoins(estimate.message)
