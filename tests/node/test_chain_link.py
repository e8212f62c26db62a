"""A node's line to a real dev chain: calls are made once, changes are heard, deadlines follow the chain's clock."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import trio

from agents.events import OWN_FUNDS, ChainSaw, Event, Refused
from contracts.chain_process import run_devchain
from contracts.client import VaultClient
from contracts.journal import SqliteJournal
from contracts.profile import DEV
from contracts.rpc import Rpc
from contracts.sender import Sender
from node.chain_link import ChainLink, Landed
from node.clock import Clock
from node.keys import Key, new_key
from node.store import Store
from protocol.deal import Deal
from protocol.eip712 import Domain, digest
from protocol.job import Job, Resources
from protocol.rules import Rules
from protocol.terms import deal_of
from protocol.vault_calls import Open, Payment, Settle
from protocol.vault_state import State
from tests.helpers.waiting import until

FREE = 1_000_000


class Line:
    """One party's link, and what it has told."""

    def __init__(self, key: Key, link: ChainLink, clock: Clock, rpc: Rpc, rules: Rules) -> None:
        self.key = key
        self.link = link
        self.clock = clock
        self.rpc = rpc
        self.rules = rules
        self.heard: list[Event] = []
        self.landed: list[Landed] = []
        link.landed = self.landed.append

    async def until(self, count: int) -> Event:
        """Wait for so many events; the newest."""
        await until(lambda: len(self.heard) >= count)
        return self.heard[-1]


@asynccontextmanager
async def open_line(folder: Path, jc: Key, rp: Key, *, poll: float = 0.1) -> AsyncIterator[Line]:
    people = (jc.address, rp.address)
    async with (
        run_devchain(fund=dict.fromkeys(people, 10**20), deposits=dict.fromkeys(people, FREE)) as chain,
        Rpc(chain.url) as rpc,
        trio.open_nursery() as nursery,
    ):
        assert chain.vault is not None
        store, clock = Store(folder / "state.sqlite"), Clock()
        sender = Sender(rpc, SqliteJournal(store.connection, chain.chain_id, jc.address), jc.private, DEV)
        link = ChainLink(VaultClient(rpc, chain.chain_id, chain.vault, sender), clock, poll, nursery)
        nursery.start_soon(sender.run)
        nursery.start_soon(link.run)
        yield Line(jc, link, clock, rpc, Rules(Domain(chain.chain_id, chain.vault)))
        nursery.cancel_scope.cancel()
    store.close()


def make_deal(rules: Rules, jc: Key, rp: Key, pay: int) -> Deal:
    job = Job("sha256:" + "a" * 64, "m", "i", "wasm", Resources(1, 1, 1, 0, 0, 10), "exact", bytes(32))
    return deal_of(rules.terms(time.time(), job, pay, 0, ()), jc.address, rp.address, bytes(32))


async def test_a_deal_is_opened_once_and_every_change_is_heard(tmp_path: Path) -> None:
    jc, rp = new_key(), new_key()
    async with open_line(tmp_path, jc, rp) as line:
        deal = make_deal(line.rules, jc, rp, 1000)
        name = deal.id(line.rules.domain)
        bond = rp.sign(digest(line.rules.domain, deal))
        line.link.watch(deal, line.heard.append)
        first = await line.until(1)
        assert isinstance(first, ChainSaw)
        assert first.standing.state is State.NONE
        for _ in range(3):  # asked again, as after a crash
            line.link.transact(name, Open(deal, bond), line.heard.append)
        second = await line.until(2)
        assert isinstance(second, ChainSaw)
        assert second.standing.state is State.OPEN
        line.link.transact(name, Settle((Payment(deal, 1000, final=True),)), line.heard.append)
        third = await line.until(3)
        assert isinstance(third, ChainSaw)
        assert third.standing.state is State.CLOSED
        accounts = await line.link.client.accounts((jc.address, rp.address))
        assert [account.free for account in accounts] == [FREE - 1000, FREE + 1000]
        assert len({landed.hash for landed in line.landed}) == 2
        line.link.unwatch(deal, line.heard.append)


async def test_a_refusal_says_whose_money_was_missing(tmp_path: Path) -> None:
    jc, rp = new_key(), new_key()
    async with open_line(tmp_path, jc, rp) as line:
        for pay, expected in ((FREE, OWN_FUNDS), (FREE // 2, "the provider has not enough free in the vault")):
            deal = make_deal(line.rules, jc, rp, pay)
            bond = rp.sign(digest(line.rules.domain, deal))
            line.link.transact(deal.id(line.rules.domain), Open(deal, bond), line.heard.append)
            heard = await line.until(len(line.heard) + 1)
            assert isinstance(heard, Refused)
            assert heard.reason == expected


async def test_a_forged_bond_is_refused_in_the_vaults_words(tmp_path: Path) -> None:
    jc, rp = new_key(), new_key()
    async with open_line(tmp_path, jc, rp) as line:
        deal = make_deal(line.rules, jc, rp, 1000)
        bond = rp.sign(digest(line.rules.domain, replace(deal, pay=999)))
        line.link.transact(deal.id(line.rules.domain), Open(deal, bond), line.heard.append)
        heard = await line.until(1)
        assert isinstance(heard, Refused)
        assert heard.reason == "not signed"
        assert line.landed == []


async def test_the_clock_follows_a_chain_that_jumps_ahead(tmp_path: Path) -> None:
    async with open_line(tmp_path, new_key(), new_key()) as line:
        jumps: list[float] = []
        line.link.jumped = lambda: jumps.append(line.clock.now())
        await trio.sleep(0.3)
        assert abs(line.clock.now() - time.time()) < 5
        await line.rpc.call("evm_increaseTime", 3600)
        await line.rpc.call("evm_mine")
        await until(lambda: jumps)
        assert 3500 < line.clock.now() - time.time() < 3700
