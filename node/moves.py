"""A user's own moves of money: into the vault, out of it, and who may speak for this peer there.

Both the command line (no node running) and the node itself (asked by the command line) go through here, so a key has
one journal and one sender at any time.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from typing import Any

from contracts.balances import Money, price_paid, read_money
from contracts.client import Intent, Preview
from contracts.connection import Connection
from contracts.errors import Disagreement, NoCoins, Reverted
from node.amounts import show_amount
from node.errors import ExitCode, UserError
from protocol.identity import Address, show
from protocol.vault_calls import Collect, Delegate, Deposit, Leave, VaultCall, Withdraw

_PREFIX = "wallet:"
NOT_ENOUGH = "not enough free"
"""The vault's own words."""
APPROVE = "approve"
"""The one move that is no call of the vault's: it lets the vault take tokens."""


class Moves:
    """Moves of one key's money."""

    def __init__(self, line: Connection, me: Address) -> None:
        self._line = line
        self._me = me

    async def preview(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """What a move would cost and take, in base units; raises `UserError` where it can't be made."""
        money = await self._money()
        if wish["what"] == APPROVE:
            amount, to = self._approval(wish), None
            cost = await self._told(self._line.client.preview_approval(amount, self._me), 0, money)
        else:
            call = await self._call(wish, money)
            amount, to = _amount(call, money), getattr(call, "to", getattr(call, "who", None))
            cost = await self._cost(call, money)
        if cost.value + cost.most > money.coins:
            raise _too_few_coins(self._me, money.coins, cost)
        return {
            "what": wish["what"],
            "amount": str(amount),
            **({} if to is None else {"to": show(to)}),
            "gas": cost.gas,
            "gas_price": str(cost.price),
            "fee": str(cost.fee),
            "total": str(cost.total),
            "coins": str(money.coins),
        }

    async def begin(self, name: str, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Send it, once for this name; its hash."""
        money = await self._money()
        if wish["what"] == APPROVE:
            approved = await self._line.client.approve(_PREFIX + name, self._approval(wish))
            return {"hash": "0x" + approved.hash.hex()}
        call = await self._call(wish, money)
        try:
            sent = await self._line.client.submit(Intent(_PREFIX + name, call))
        except Reverted as error:
            raise self._refused(call, error, money) from error
        except NoCoins:
            raise _too_few_coins(self._me, money.coins, await self._cost(call, money)) from None
        return {"hash": "0x" + sent.hash.hex()}

    async def progress(self, name: str) -> dict[str, Any]:
        """How far a move has come, and what it waits for; with ``done`` what it took, and the money afterwards."""
        journal = self._line.journal
        assert journal is not None
        attempts = journal.attempts(_PREFIX + name)
        if not attempts:
            raise UserError(ExitCode.USAGE, "no such move of money", "look at `lilypad wallet show`")
        receipt = journal.receipt(_PREFIX + name)
        if receipt is None:
            return await self._underway(name)
        money = await self._money()
        if money.head.number < receipt.block:
            return await self._underway(name)
        price = await price_paid(self._line, receipt.hash)
        fee = None if price is None else price * receipt.gas_used
        needed = self._line.profile.confirmations
        return {
            "done": True,
            "confirmations": needed,
            "needed": needed,
            "hash": "0x" + receipt.hash.hex(),
            "block": receipt.block,
            "gas": receipt.gas_used,
            "gas_price": None if price is None else str(price),
            "fee": None if fee is None else str(fee),
            "total": None if fee is None else str(fee + (attempts[-1].value if receipt.status == 1 else 0)),
            "ok": receipt.status == 1,
            **describe_money(money),
        }

    async def _underway(self, name: str) -> dict[str, Any]:
        needed, depth = self._line.profile.confirmations, 0
        try:
            await self._line.witnesses.height()  # with too few endpoints nothing is ever taken for done
            depth = min(await self._line.client.depth(_PREFIX + name), needed)
            waits = f"{depth} of {needed} confirmations" if depth else "no block has it yet"
        except Disagreement as error:
            waits = str(error)
        return {"done": False, "confirmations": depth, "needed": needed, "waits": waits}

    async def _money(self) -> Money:
        """Raises `Disagreement` where too few endpoints answer: what is sent then would never count as done."""
        return await read_money(self._line, self._me)

    async def _call(self, wish: Mapping[str, Any], money: Money) -> VaultCall:
        to = Address(bytes.fromhex(wish["to"].removeprefix("0x"))) if wish.get("to") else self._me
        match wish["what"]:
            case "deposit":
                await self._may_take(_units(wish), money)
                return Deposit(to, _units(wish))
            case "withdraw":
                if to == self._line.client.vault:
                    raise UserError(
                        ExitCode.USAGE, "--to is the vault's own address, which takes only deposits", "name another one"
                    )
                amount = money.account.free if wish["amount"] is None else _units(wish)
                if not amount or amount > money.account.free:
                    raise _too_little_free(money)
                return Withdraw(amount, to)
            case "delegate":
                return Delegate(to, bool(wish.get("may", True)))
            case "leave":
                return _leave(money)
            case "collect":
                return _collect(money)
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

    async def _may_take(self, amount: int, money: Money) -> None:
        """A vault for a token takes what it was let take; raises `UserError`."""
        client = self._line.client
        if money.tokens is None:
            return
        if money.tokens < amount:
            raise UserError(
                ExitCode.FUNDS_OR_KEY,
                f"{show(self._me)} holds {money.tokens} of the token",
                f"send some to {show(self._me)}",
            )
        allowed = await client.allowance(self._me)
        if allowed < amount:
            raise UserError(
                ExitCode.FUNDS_OR_KEY,
                f"the vault may take {allowed} of your tokens, not {amount}",
                f"run `lilypad wallet approve {amount}` first",
            )

    async def _cost(self, call: VaultCall, money: Money) -> Preview:
        value = call.value if isinstance(call, Deposit) and self._line.client.token is None else 0
        try:
            return await self._told(self._line.client.preview(call, self._me), value, money)
        except Reverted as error:
            raise self._refused(call, error, money) from error

    async def _told(self, preview: Awaitable[Preview], value: int, money: Money) -> Preview:
        try:
            return await preview
        except NoCoins as error:
            raise UserError(
                ExitCode.FUNDS_OR_KEY,
                f"{show(self._me)} holds {show_amount(money.coins)}, and this takes {show_amount(value)} and its gas",
                f"send coins to {show(self._me)}",
            ) from error

    def _refused(self, call: VaultCall, error: Reverted, money: Money) -> UserError:
        if isinstance(call, Withdraw) and error.reason == NOT_ENOUGH:
            return _too_little_free(money)
        if isinstance(call, Withdraw) and not error.reason:
            return UserError(
                ExitCode.FUNDS_OR_KEY,
                f"{show(call.to)} does not take it: a contract that refuses what is sent to it",
                "withdraw to another address",
            )
        return UserError(
            ExitCode.FUNDS_OR_KEY,
            f"the vault refuses: {error.reason or 'no reason given'}",
            "look at `lilypad wallet show`",
        )


def describe_money(money: Money) -> dict[str, str | int | None]:
    """An account as documents have it: amounts as texts, moments as Unix time."""
    tokens = {} if money.tokens is None else {"tokens": str(money.tokens)}
    return {
        "free": str(money.account.free),
        "locked": str(money.account.locked),
        "stake": str(money.stake.stake),
        "at_risk": str(money.stake.busy),
        "leaves": money.stake.leaves or None,
        "coins": str(money.coins),
        **tokens,
    }


def moment(unix: int) -> str:
    """A moment of the chain's clock as people read it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix))


def _amount(call: VaultCall, money: Money) -> int:
    match call:
        case Deposit(_, value):
            return value
        case Withdraw(amount, _):
            return amount
        case Leave():
            return money.stake.stake
        case Collect():
            return money.stake.ready
        case _:
            return 0


def _leave(money: Money) -> Leave:
    stake = money.stake
    if not stake.stake:
        raise UserError(ExitCode.FUNDS_OR_KEY, "nothing is at stake", "a mediator joins with `node start --stake N`")
    if stake.leaves:
        raise UserError(
            ExitCode.USAGE,
            f"it has said so already: the stake can be collected after {moment(stake.leaves)}",
            "then run `lilypad wallet collect`; saying it again would only put that off",
        )
    return Leave()


def _collect(money: Money) -> Collect:
    stake = money.stake
    if not stake.stake:
        raise UserError(ExitCode.FUNDS_OR_KEY, "nothing is at stake", "look at `lilypad wallet show`")
    if not stake.leaves:
        raise UserError(
            ExitCode.USAGE, f"{stake.stake} are at stake, and nobody has said that they leave", "`lilypad wallet leave`"
        )
    if money.head.timestamp <= stake.leaves:
        raise UserError(
            ExitCode.USAGE,
            f"too early: the stake can be collected after {moment(stake.leaves)}, and the chain's clock says "
            f"{moment(money.head.timestamp)}",
            "a juror stays liable for as long as a dispute may last; run it again then",
        )
    if not stake.ready:
        raise UserError(
            ExitCode.FUNDS_OR_KEY, f"all {stake.stake} are at risk in disputes that are not over", "wait for their end"
        )
    return Collect()


def _too_little_free(money: Money) -> UserError:
    account, stake = money.account, money.stake
    has = f"{account.free} free, {account.locked} locked in deals"
    mends = ["withdraw less (or `all`)"] if account.free else []
    if stake.stake:
        has += f", {stake.stake} at stake as a mediator"
        mends.append("take the stake back with `lilypad wallet leave`, and later `lilypad wallet collect`")
    if account.locked:
        mends.append("wait for open deals to end")
    mend = ", or ".join(mends) or "deposit something first: `lilypad wallet deposit N`"
    return UserError(ExitCode.FUNDS_OR_KEY, f"not enough free in the vault: {has}", mend)


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
