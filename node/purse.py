"""Watches a peer's money and says in time when there is too little of it to go on: in the vault, and for gas.

::

    looked at every half minute ──something is missing──► told once, shown by `node status` until it is mended
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass

import trio

from contracts.balances import read_money
from contracts.connection import Connection
from contracts.errors import ChainError
from node.setup import Setup
from protocol.identity import show
from protocol.rules import PERCENT

log = logging.getLogger("lilypad.money")

EVERY = 30.0
"""Seconds between two looks."""
GAS_OF_A_DISPUTE = 600_000
"""Gas that a peer should be able to pay for: one deal and all the calls of its dispute."""


@dataclass(frozen=True, slots=True)
class Lack:
    """What is missing, and the command that mends it."""

    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.what}; {self.mend}"


class Purse:
    """One peer's money; start `run`."""

    def __init__(self, setup: Setup, line: Connection) -> None:
        self.lacks: tuple[Lack, ...] = ()
        self._setup = setup
        self._line = line

    async def run(self) -> None:
        """Look for as long as the node lives."""
        while True:
            with suppress(ChainError):  # whoever reads the chain complains about it
                await self.look()
            await trio.sleep(EVERY)

    async def look(self) -> tuple[Lack, ...]:
        """What is missing now; raises `ChainError`."""
        me = self._setup.key.address
        money = await read_money(self._line, me)
        account, coins = money.account, money.coins
        gas = GAS_OF_A_DISPUTE * await self._line.client.gas_price()
        lacks = []
        needed = self.least_share()
        if account.free < needed:
            lacks.append(
                Lack(
                    f"{account.free} are free in the vault, and the smallest deal this node is here for locks {needed}",
                    f"run `lilypad wallet deposit {needed - account.free}` or more",
                )
            )
        if coins < gas:
            lacks.append(
                Lack(
                    f"{coins} coins are at {show(me)}, and the gas of one deal with a dispute costs about {gas}",
                    "send some there: without gas no claim can be answered",
                )
            )
        for lack in lacks:
            if lack.mend not in {known.mend for known in self.lacks}:
                log.warning("%s", lack)
        self.lacks = tuple(lacks)
        return self.lacks

    def least_share(self) -> int:
        """What must be free for the cheapest deal of this peer's roles, base units."""
        rules, shop = self._setup.rules, self._setup.shop
        least = 1 if self._setup.client else 0
        if shop is not None and shop.sheets:
            floor = min(sheet.floor for sheet in shop.sheets)
            stakes = floor * rules.rp_stake_percent // PERCENT + rules.cheat_of(floor, rules.jurors, rules.fee)
            least = max(least, stakes)
        return least
