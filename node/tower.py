"""A watchtower: answers claims for a peer that sleeps, out of a copy of what that peer has written down.

::

    the peer's state.sqlite ──copied by its owner, as often as it likes──► read again and again ──► `contracts.watch`

The peer names the tower's address by `lilypad wallet delegate`; the vault then takes its claims and answers, and pays
only the parties. The file holds statements that others signed and no key. A provider's tower shows at once what proves
its delivery. What the copy does not know is said only in the last quarter of the time to answer, since the owner may
come back and know better: for a provider that the inputs never came, for a job creator that nothing was delivered.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import trio

from agents import purchase_stages as buying
from agents import sale as selling
from agents.purchase_stages import Purchase, named_jury
from agents.sale import Sale
from contracts.client import Snapshot
from contracts.connection import Connection
from contracts.watch import Answer, NotAnswered, Notice, Side, Watch, WindowMissed, run_watch
from node.store import read_records
from protocol.deal import DealId
from protocol.errors import PeerFault
from protocol.vault_calls import Contest, NoInputs, VaultCall
from protocol.vault_state import State

log = logging.getLogger("lilypad.tower")

EVERY = 10.0
"""Seconds between two looks at the copies."""
LAST_QUARTER = 75


class Tower:
    """Watches over the deals in some peers' state files; start `run`."""

    def __init__(self, line: Connection, files: Sequence[Path], poll: float) -> None:
        """``poll``: seconds between two looks at the chain."""
        self.watch = Watch()
        self._line = line
        self._files = tuple(files)
        self._poll = poll

    async def run(self) -> None:
        """For as long as the node lives."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_watch, self._line.client, self._look, self.watch, self._tell, self._poll)
            while True:
                for file in self._files:
                    self.read(file)
                await trio.sleep(EVERY)

    def read(self, file: Path) -> None:
        """Take over what a copy holds; one that can't be read now is read later."""
        try:
            for record in open_deals(file):
                self._guard(record)
        except (sqlite3.Error, OSError) as error:
            log.warning("%s can't be read: %s", file, error)

    async def _look(self, names: Sequence[DealId]) -> Snapshot:
        return await self._line.witnesses.read((), names, 1)

    def _guard(self, record: Sale | Purchase) -> None:
        name = DealId(record.id)
        if isinstance(record, Sale):
            answers = provider_answers(record)
            is_sure = not any(isinstance(call, NoInputs) for call in answers.values())
            self.watch.add(name, record.deal, Side.PROVIDER, answers, patience=0 if is_sure else LAST_QUARTER)
        else:
            self.watch.add(name, record.deal, Side.PAYER, payer_answers(record), patience=LAST_QUARTER)

    async def _tell(self, notice: Notice) -> None:
        words = f"deal {notice.deal.hex()[:16]} ({notice.standing.state.name.lower()})"
        match notice:
            case Answer(call=call):
                log.warning("%s: answered by %s", words, type(call).__name__)
            case NotAnswered(call=call, reason=reason):
                log.error("%s: %s could not be sent, and is tried again: %s", words, type(call).__name__, reason)
            case WindowMissed():
                log.error("%s: the time to answer is over", words)
            case _:
                log.warning("%s: %s", words, notice)


def open_deals(file: Path) -> list[Sale | Purchase]:
    """Deals in a peer's state file that are not over, but for those that can't be read; raises `sqlite3.Error`."""

    def skip(fault: PeerFault) -> None:
        log.warning("a record in %s can't be read, and is left out: %s", file, fault)

    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        records = [*read_records(database, "provider", skip), *read_records(database, "client", skip)]
    return [
        record
        for record in records
        if isinstance(record, Sale | Purchase) and not isinstance(record.stage, selling.Over | buying.Over)
    ]


def provider_answers(sale: Sale) -> Mapping[State, VaultCall]:
    """What proves the opposite of a claimed absence."""
    match sale.stage:
        case selling.Waiting() as stage if stage.receipt or stage.voucher:
            return {State.ABSENT: selling.proof_of_delivery(sale, stage)}
        case selling.Bound() | selling.Preparing() | selling.GivenUp():
            return {State.ABSENT: NoInputs(sale.deal)}
        case _:
            return {}


def payer_answers(purchase: Purchase) -> Mapping[State, VaultCall]:
    """A delivery is denied where nothing of it has arrived."""
    match purchase.stage:
        case buying.Awaiting() | buying.Claiming():
            return {State.DELIVERED: Contest(purchase.deal, named_jury(purchase))}
        case _:
            return {}
