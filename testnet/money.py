"""Where every unit of money went: what everybody has in the vault, block by block, and the calls that moved it.

The chain is asked for each block that carries transactions, for the function that each calls, and for all accounts and
stakes as they stood before and after. Nothing that the peers say is taken on trust.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from contracts.artifact import vault_artifact
from contracts.client import VaultClient
from contracts.reading import quantity
from contracts.rpc import Rpc
from protocol.identity import Address
from testnet.layout import DEPOSIT
from testnet.plan import Plan

_AT_ONCE = 100
"""Blocks asked for in one request."""


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that one block moved, to or from one peer."""

    block: int
    calls: tuple[str, ...]
    """Functions of the vault that the block's transactions called."""
    amount: int
    """Base units; negative: it left."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One peer's account from its deposit on."""

    peer: str
    role: str
    kind: str
    began: int
    ended: int
    locked: int
    """Of what it ended with: still locked in deals, bonds and stakes."""
    moved: tuple[Movement, ...]

    @property
    def explained(self) -> bool:
        """Whether its movements add up to what it has."""
        return self.began + sum(move.amount for move in self.moved) == self.ended


@dataclass(frozen=True, slots=True)
class Books:
    """Everybody's statements."""

    statements: tuple[Statement, ...]
    held: int
    """What the vault holds, as the chain counts it."""
    gas: int
    """Of all transactions to the vault since the deposits."""
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def explained(self) -> bool:
        """Whether every unit is where its movements say, and the vault holds just that; false while a dispute runs."""
        total = sum(statement.ended for statement in self.statements)
        return total == self.held and all(each.explained for each in self.statements)

    @property
    def slashed(self) -> list[str]:
        """Honest providers and mediators that lost money: nothing but a penalty takes money from these."""
        return [
            each.peer
            for each in self.statements
            if each.kind == "honest" and each.role != "client" and any(move.amount < 0 for move in each.moved)
        ]


async def read_books(plan: Plan) -> Books:
    """Ask the chain; raises `ChainError`."""
    names, who = _functions(), [Address(bytes.fromhex(member.address[2:])) for member in plan.members]
    moved: defaultdict[str, list[Movement]] = defaultdict(list)
    gas, calls = 0, Counter[str]()
    async with Rpc(plan.rpc) as rpc:
        vault = VaultClient(rpc, plan.chain_id, Address(bytes.fromhex(plan.vault[2:])))

        async def wealth(block: int | None) -> list[int]:
            stakes = await vault.mediators(who, block)
            accounts = (await vault.read(who, (), block)).accounts
            return [account.balance + each.stake for account, each in zip(accounts, stakes, strict=True)]

        head = quantity(await rpc.call("eth_blockNumber"))
        for first in range(0, head + 1, _AT_ONCE):
            numbers = range(first, min(head + 1, first + _AT_ONCE))
            for block in await rpc.batch([("eth_getBlockByNumber", (hex(number), True)) for number in numbers]):
                sent = [each for each in block["transactions"] if (each["to"] or "").lower() == plan.vault.lower()]
                found = tuple(names.get(each["input"][:10], "?") for each in sent)
                if not set(found) - {"deposit"}:
                    continue
                number = quantity(block["number"])
                before, after = await wealth(number - 1), await wealth(number)
                calls.update(found)
                for member, old, new in zip(plan.members, before, after, strict=True):
                    if new != old:
                        moved[member.name].append(Movement(number, found, new - old))
                receipts = await rpc.batch([("eth_getTransactionReceipt", (each["hash"],)) for each in sent])
                gas += sum(quantity(receipt["gasUsed"]) for receipt in receipts)
        now, snapshot = await wealth(None), await vault.read(who, ())
        held = quantity(await rpc.call("eth_getBalance", plan.vault, "latest"))
    statements = [
        Statement(m.name, m.role, m.kind, DEPOSIT, ended, account.locked, tuple(moved[m.name]))
        for m, ended, account in zip(plan.members, now, snapshot.accounts, strict=True)
    ]
    return Books(tuple(statements), held, gas, dict(calls))


def _functions() -> dict[str, str]:
    """The vault's functions by their selectors."""
    from eth_utils.abi import function_abi_to_4byte_selector

    abi: list[Any] = [entry for entry in vault_artifact().abi if entry["type"] == "function"]
    return {"0x" + function_abi_to_4byte_selector(entry).hex(): str(entry["name"]) for entry in abi}
