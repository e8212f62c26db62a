"""The vault as the rest of the program sees it: typed calls in, typed state out; no filters and no logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from contracts.artifact import token_vault_artifact, vault_artifact
from contracts.encoding import (
    accounts_query,
    allowance_query,
    deals_query,
    encode_approval,
    encode_call,
    encode_token_deposit,
    lock_query,
    mediators_query,
    sealed_query,
    tokens_query,
    words,
)
from contracts.errors import Garbled, NotSent, NoVault, WrongChain
from contracts.journal import Receipt
from contracts.profile import DEV
from contracts.reading import counted, data, field, quantity
from contracts.rpc import Endpoint
from contracts.sender import Sender, Sent, allowed, fees, raise_no_coins
from protocol.deal import DealId
from protocol.eip712 import Domain
from protocol.identity import Address, show
from protocol.vault_book import Windows
from protocol.vault_calls import Deposit, VaultCall
from protocol.vault_state import Account, DealState, Lock, Mediator

_MOST_WORDS = 256
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block."""

    number: int
    timestamp: int
    """Seconds of Unix time: the clock that decides every deadline."""
    hash: bytes


@dataclass(frozen=True, slots=True)
class Intent:
    """Something to be done once, under a name that survives restarts."""

    id: str
    call: VaultCall
    gas: int | None = None
    """Skips the estimate, for a call that needs an earlier one which is not mined yet."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one batch read; the head was read first, so the state is at least as new."""

    head: Head
    accounts: tuple[Account, ...]
    deals: tuple[DealState, ...]
    mediators: tuple[Mediator, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What a call would cost."""

    gas: int
    price: int
    """Of a unit of gas, base units of the coin."""
    value: int
    """Coins that the call itself takes along."""
    most: int
    """What the sender's coins must cover for gas, should the price rise before it is mined; base units."""

    @property
    def fee(self) -> int:
        """What the chain takes, base units."""
        return self.gas * self.price

    @property
    def total(self) -> int:
        """Everything that leaves the caller's coins."""
        return self.fee + self.value


class VaultClient:
    """One vault on one chain, read through an endpoint and, given a sender, called with its key."""

    def __init__(
        self, rpc: Endpoint, chain_id: int, vault: Address, sender: Sender | None = None, token: Address | None = None
    ) -> None:
        """``token`` where the vault holds that token and not the chain's coin."""
        self.domain = Domain(chain_id, vault)
        self.vault = vault
        self.token = token
        self._rpc = rpc
        self._sender = sender
        self._profile = DEV if sender is None else sender.profile

    async def check(self) -> None:
        """Raises `WrongChain`, `ChainReborn` for one that began anew since, `NoVault` where there is none."""
        found = quantity(await self._rpc.call("eth_chainId"))
        if found != self.domain.chain_id:
            raise WrongChain(self.domain.chain_id, found)
        if self._sender is not None:
            await self._sender.check()
        if not await self.has_code(self.vault):
            raise NoVault(f"there is no contract at {show(self.vault)} on chain {found}")

    async def submit(self, intent: Intent) -> Sent:
        """Send once; see `Sender.submit` for the errors."""
        payload, value = self._encode(intent.call)
        return await self._sending().submit(intent.id, self.vault, payload, value, gas=intent.gas)

    async def approve(self, name: str, amount: int) -> Sent:
        """Let the vault take so many tokens by the next deposits; ``name`` as an intent's."""
        return await self._sending().submit(name, self._token(), encode_approval(self.vault, amount))

    async def allowance(self, who: Address) -> int:
        """How many of somebody's tokens the vault may still take."""
        return await self._ask_token(allowance_query(who, self.vault))

    async def tokens(self, who: Address, block: int | None = None) -> int:
        """How many tokens an address holds outside the vault; as of an older block where one is named."""
        return await self._ask_token(tokens_query(who), block)

    async def wait(self, sent: Sent | bytes) -> Receipt:
        """Until it lies deep enough; look at ``status``, a race may have made the vault refuse."""
        return await self._sending().wait(sent)

    async def depth(self, intent: str) -> int:
        """How many blocks lie on what was sent for an intent, its own counted; 0: it is in none yet."""
        return await self._sending().depth(intent)

    async def head(self) -> Head:
        """The newest block."""
        return _head(await self._rpc.call("eth_getBlockByNumber", "latest", False))

    async def block_hash(self, number: int) -> bytes | None:
        """The hash of a block, 32 bytes; None where the chain has no such block. Raises `ChainError`."""
        raw = await self._rpc.call("eth_getBlockByNumber", hex(number), False)
        found = raw.get("hash") if isinstance(raw, dict) else None
        return bytes.fromhex(str(found)[2:]) if found else None

    async def coins(self, who: Address, block: int | None = None) -> int:
        """What an address holds outside the vault, base units; as of an older block where one is named."""
        return quantity(await self._rpc.call("eth_getBalance", show(who), _tag(block)))

    async def has_code(self, who: Address) -> bool:
        """Whether there is a contract at an address."""
        return bool(data(await self._rpc.call("eth_getCode", show(who), "latest")))

    async def price_paid(self, transaction: bytes) -> int | None:
        """What a unit of gas of a mined transaction cost, base units; None where the endpoint does not tell."""
        raw = await self._rpc.call("eth_getTransactionReceipt", "0x" + transaction.hex())
        told = raw.get("effectiveGasPrice") if isinstance(raw, dict) else None
        return None if told is None else quantity(told)

    async def gas_price(self) -> int:
        """What a unit of gas costs now, base units of the coin."""
        return quantity(await self._rpc.call("eth_gasPrice"))

    async def accounts(self, addresses: Sequence[Address]) -> tuple[Account, ...]:
        """Money in the vault, in order."""
        return (await self.read(addresses, ())).accounts

    async def deals(self, ids: Sequence[DealId]) -> tuple[DealState, ...]:
        """Where deals stand, in order; `State.NONE` where one was never opened."""
        return (await self.read((), ids)).deals

    async def read(
        self,
        addresses: Sequence[Address],
        ids: Sequence[DealId],
        block: int | None = None,
        mediators: Sequence[Address] = (),
    ) -> Snapshot:
        """Head, accounts, deals and mediators' stakes in one batch.

        As of an older block where one is named, which is then the head.
        """
        people, names, judges = _chunks(addresses), _chunks(ids), _chunks(mediators)
        tag = _tag(block)
        head, *answers = await self._rpc.batch(
            [
                ("eth_getBlockByNumber", (tag, False)),
                *(self._view(accounts_query(chunk), tag) for chunk in people),
                *(self._view(deals_query(chunk), tag) for chunk in names),
                *(self._view(mediators_query(chunk), tag) for chunk in judges),
            ]
        )
        found = zip(answers, [*people, *names, *judges], strict=True)
        read = iter([words(data(raw), len(chunk)) for raw, chunk in found])
        return Snapshot(
            _head(head),
            tuple(Account.of(word) for part in islice(read, len(people)) for word in part),
            tuple(_standing(word) for part in islice(read, len(names)) for word in part),
            tuple(Mediator.of(word) for part in read for word in part),
        )

    async def mediators(self, addresses: Sequence[Address], block: int | None = None) -> tuple[Mediator, ...]:
        """Mediators' stakes, in order; as of an older block where one is named."""
        return (await self.read((), (), block, addresses)).mediators

    async def sealed(self, deal: DealId) -> bytes:
        """The sealed CID that the provider stands for in a claim; 32 zero bytes before one."""
        method, params = self._view(sealed_query(deal))
        return data(await self._rpc.call(method, *params))

    async def lock(self, owner: Address, slot: int) -> Lock:
        """What somebody locked for many deals at once."""
        method, params = self._view(lock_query(owner, slot))
        return Lock.of(data(await self._rpc.call(method, *params)))

    async def preview(self, call: VaultCall, by: Address | None = None) -> Preview:
        """What a call would cost now; raises `NoCoins`, or `Reverted` with the vault's reason to refuse it."""
        return await self._preview(self.vault, *self._encode(call), by)

    async def preview_approval(self, amount: int, by: Address | None = None) -> Preview:
        """What `approve` would cost now; raises as `preview`."""
        return await self._preview(self._token(), encode_approval(self.vault, amount), 0, by)

    async def _preview(self, to: Address, payload: bytes, value: int, by: Address | None) -> Preview:
        sender = self._sending().address if by is None else by
        what = {"from": show(sender), "to": show(to), "data": "0x" + payload.hex(), "value": hex(value)}
        gas, price, tip = await self._rpc.batch(
            [("eth_estimateGas", (what,)), ("eth_gasPrice", ()), ("eth_maxPriorityFeePerGas", ())]
        )
        raise_no_coins(gas)
        most = allowed(counted(gas), self._profile.gas_margin_percent) * fees(price, tip)[0]
        return Preview(counted(gas), quantity(price), value, most)

    def _encode(self, call: VaultCall) -> tuple[bytes, int]:
        if self.token is not None and isinstance(call, Deposit):
            return encode_token_deposit(call.to, call.value), 0
        return encode_call(call)

    def _view(self, payload: bytes, tag: str = "latest") -> tuple[str, tuple[object, ...]]:
        return "eth_call", ({"to": show(self.vault), "data": "0x" + payload.hex()}, tag)

    def _token(self) -> Address:
        if self.token is None:
            raise NotSent("this vault holds the chain's coin, which needs no approval")
        return self.token

    async def _ask_token(self, payload: bytes, block: int | None = None) -> int:
        call = {"to": show(self._token()), "data": "0x" + payload.hex()}
        return quantity(await self._rpc.call("eth_call", call, _tag(block)))

    def _sending(self) -> Sender:
        if self._sender is None:
            raise NotSent("this client only reads")
        return self._sender


async def deploy(sender: Sender, windows: Windows, token: Address | None = None) -> Address:
    """Put a new vault on the chain, for the coin or a token; the same key, windows and token give the same vault again.

    Needs `Sender.run` running.
    """
    artifact = vault_artifact() if token is None else token_vault_artifact()
    code = artifact.bytecode + windows.shortest.to_bytes(32, "big") + windows.longest.to_bytes(32, "big")
    name = f"deploy {artifact.source_sha256} {windows}"
    if token is not None:
        code += token.rjust(32, b"\0")
        name += f" {show(token)}"
    sent = await sender.submit(name, None, code)
    receipt = await sender.wait(sent)
    if receipt.status != 1 or receipt.created is None:
        raise NotSent("the vault could not be deployed")
    return receipt.created


def _standing(word: int) -> DealState:
    try:
        return DealState.of(word)
    except ValueError as error:  # no vault ever says that: an endpoint that lies, or another contract
        raise Garbled(f"{word:#x} is no standing of a deal") from error


def _tag(block: int | None) -> str:
    return "latest" if block is None else hex(block)


def _head(raw: object) -> Head:
    return Head(counted(field(raw, "number")), counted(field(raw, "timestamp")), data(field(raw, "hash")))


def _chunks(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[at : at + _MOST_WORDS] for at in range(0, len(items), _MOST_WORDS)]
