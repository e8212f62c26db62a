"""A user's own moves of money: into the vault, out of it, and who may speak for this peer there.

Both the command line (no node running) and the node itself (asked by the command line) go through here, so a key has
one journal and one sender at any time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from contracts.client import Intent, Preview
from contracts.connection import Connection
from contracts.errors import NoCoins, Reverted
from node.amounts import show_amount
from node.errors import ExitCode, UserError
from protocol.identity import Address, show
from protocol.vault_calls import Delegate, Deposit, VaultCall, Withdraw

_PREFIX = "wallet:"
APPROVE = "approve"
"""The one move that is no call of the vault's: it lets the vault take tokens."""


class Moves:
    """Moves of one key's money."""

    def __init__(self, line: Connection, me: Address) -> None:
        self._line = line
        self._me = me

    async def preview(self, wish: Mapping[str, Any]) -> dict[str, str]:
        """What a move would cost and take, in base units; raises `UserError` where it can't be made."""
        if wish["what"] == APPROVE:
            amount = self._approval(wish)
            cost = await self._told(self._line.client.preview_approval(amount, self._me), 0)
        else:
            call = await self._call(wish)
            amount = getattr(call, "amount", getattr(call, "value", 0))
            cost = await self._cost(call)
        coins = await self._line.client.coins(self._me)
        if cost.value + cost.most > coins:
            raise _too_few_coins(self._me, coins, cost)
        return {
            "amount": str(amount),
            "gas": str(cost.gas),
            "gas_price": str(cost.price),
            "fee": str(cost.fee),
            "total": str(cost.total),
            "coins": str(coins),
        }

    async def begin(self, name: str, wish: Mapping[str, Any]) -> dict[str, str]:
        """Send it, once for this name; its hash."""
        if wish["what"] == APPROVE:
            approved = await self._line.client.approve(_PREFIX + name, self._approval(wish))
            return {"hash": "0x" + approved.hash.hex()}
        call = await self._call(wish)
        try:
            sent = await self._line.client.submit(Intent(_PREFIX + name, call))
        except Reverted as error:
            raise await self._refused(call, error) from error
        except NoCoins:
            raise _too_few_coins(self._me, await self._line.client.coins(self._me), await self._cost(call)) from None
        return {"hash": "0x" + sent.hash.hex()}

    async def progress(self, name: str) -> dict[str, Any]:
        """How far a move has come; with ``done`` its receipt and the money afterwards."""
        journal = self._line.journal
        assert journal is not None
        attempts = journal.attempts(_PREFIX + name)
        if not attempts:
            raise UserError(ExitCode.USAGE, "no such move of money", "look at `lilypad wallet show`")
        receipt = journal.receipt(_PREFIX + name)
        needed = self._line.profile.confirmations
        if receipt is None:
            depth = await self._line.client.depth(_PREFIX + name)
            return {"done": False, "confirmations": min(depth, needed), "needed": needed}
        (account,) = await self._line.client.accounts((self._me,))
        return {
            "done": True,
            "confirmations": needed,
            "needed": needed,
            "hash": "0x" + receipt.hash.hex(),
            "block": receipt.block,
            "gas": receipt.gas_used,
            "ok": receipt.status == 1,
            "free": str(account.free),
            "locked": str(account.locked),
        }

    async def _call(self, wish: Mapping[str, Any]) -> VaultCall:
        to = Address(bytes.fromhex(wish["to"])) if wish.get("to") else self._me
        match wish["what"]:
            case "deposit":
                await self._may_take(_units(wish))
                return Deposit(to, _units(wish))
            case "withdraw":
                if wish["amount"] is not None:
                    return Withdraw(_units(wish), to)
                (account,) = await self._line.client.accounts((self._me,))
                if not account.free:
                    raise UserError(ExitCode.FUNDS_OR_KEY, f"nothing is free in the vault ({account.locked} locked)")
                return Withdraw(account.free, to)
            case "delegate":
                return Delegate(to, bool(wish.get("may", True)))
            case other:
                raise UserError(ExitCode.USAGE, f"'{other}' is no move of money")

    def _approval(self, wish: Mapping[str, Any]) -> int:
        if self._line.client.token is None:
            raise UserError(
                ExitCode.USAGE,
                "this network's vault holds the chain's coin, which needs no approval",
                "deposit at once; for a vault of a token set `token` in the network's table",
            )
        return _units(wish)

    async def _may_take(self, amount: int) -> None:
        """A vault for a token takes what it was let take; raises `UserError`."""
        client = self._line.client
        if client.token is None:
            return
        held = await client.tokens(self._me)
        if held < amount:
            raise UserError(
                ExitCode.FUNDS_OR_KEY, f"{show(self._me)} holds {held} of the token", f"send some to {show(self._me)}"
            )
        allowed = await client.allowance(self._me)
        if allowed < amount:
            raise UserError(
                ExitCode.FUNDS_OR_KEY,
                f"the vault may take {allowed} of your tokens, not {amount}",
                f"run `lilypad wallet approve {amount}` first",
            )

    async def _cost(self, call: VaultCall) -> Preview:
        value = call.value if isinstance(call, Deposit) and self._line.client.token is None else 0
        try:
            return await self._told(self._line.client.preview(call, self._me), value)
        except Reverted as error:
            raise await self._refused(call, error) from error

    async def _told(self, preview: Awaitable[Preview], value: int) -> Preview:
        try:
            return await preview
        except NoCoins as error:
            coins = await self._line.client.coins(self._me)
            raise UserError(
                ExitCode.FUNDS_OR_KEY,
                f"{show(self._me)} holds {show_amount(coins)}, and this takes {show_amount(value)} and its gas",
                f"send coins to {show(self._me)}",
            ) from error

    async def _refused(self, call: VaultCall, error: Reverted) -> UserError:
        if isinstance(call, Withdraw):
            (account,) = await self._line.client.accounts((self._me,))
            return UserError(
                ExitCode.FUNDS_OR_KEY,
                f"not enough free in the vault: {account.free} free, {account.locked} locked in deals",
                "withdraw less (or `all`), or wait for open deals to end",
            )
        return UserError(ExitCode.FUNDS_OR_KEY, f"the vault refuses: {error.reason or 'no reason given'}")


def _units(wish: Mapping[str, Any]) -> int:
    try:
        return int(wish["amount"])
    except (TypeError, ValueError, KeyError):
        raise UserError(ExitCode.USAGE, "no amount of base units", 'write "amount": "1000"') from None


def _too_few_coins(me: Address, coins: int, cost: Preview) -> UserError:
    return UserError(
        ExitCode.FUNDS_OR_KEY,
        f"{show(me)} holds {show_amount(coins)}, and this takes {show_amount(cost.value)} and up to "
        f"{show_amount(cost.most)} for gas (usually {show_amount(cost.fee)})",
        f"send coins to {show(me)}",
    )
