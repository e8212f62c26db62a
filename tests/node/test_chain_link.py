"""A node's line to a real dev chain: calls are made once, changes are heard, deadlines follow the chain's clock."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from agents.events import OWN_FUNDS, ChainSaw, Event, Refused
from contracts.batching import Policy
from contracts.chain_process import run_devchain
from contracts.client import Intent
from contracts.connection import connect
from contracts.profile import DEV, ChainAccess, ChainProfile
from contracts.rpc import Rpc
from node.chain_link import ChainLink, Landed
from node.clock import Clock
from node.errors import UserError
from node.keys import Key, new_key
from node.lock import only_one_sender
from node.store import Store
from node.supervision import Tasks
from protocol.deal import Deal
from protocol.eip712 import Domain, digest
from protocol.job import Job, Resources
from protocol.rules import Rules
from protocol.terms import deal_of
from protocol.vault_calls import Deliver, Open, Payment, Settle
from protocol.vault_state import State
from tests.helpers.waiting import until

FREE = 1_000_000


class Line:
    """One party's link, and what it has told."""

    def __init__(self, key: Key, link: ChainLink, clock: Clock, rpc: Rpc, rules: Rules, access: ChainAccess) -> None:
        self.key = key
        self.link = link
        self.clock = clock
        self.rpc = rpc
        self.rules = rules
        self.access = access
        self.heard: list[Event] = []
        self.landed: list[Landed] = []
        link.landed = self.landed.append

    async def until(self, count: int) -> Event:
        """Wait for so many events; the newest."""
        await until(lambda: len(self.heard) >= count)
        return self.heard[-1]


@asynccontextmanager
async def open_line(
    folder: Path, jc: Key, rp: Key, *, poll: float = 0.1, profile: ChainProfile = DEV, batching: Policy | None = None
) -> AsyncIterator[Line]:
    people = (jc.address, rp.address)
    store, clock = Store(folder / "state.sqlite"), Clock()
    async with run_devchain(fund=dict.fromkeys(people, 10**20), deposits=dict.fromkeys(people, FREE)) as chain:
        assert chain.vault is not None
        domain = Domain(chain.chain_id, chain.vault)
        access = ChainAccess((chain.url,), profile)
        async with (
            Rpc(chain.url) as rpc,
            connect(access, domain, store.connection, jc.private) as line,
            trio.open_nursery() as nursery,
        ):
            link = ChainLink(line, clock, poll, Tasks(nursery), me=jc.address, batching=batching)
            nursery.start_soon(link.run)
            yield Line(jc, link, clock, rpc, Rules(domain), access)
            nursery.cancel_scope.cancel()
    store.close()


def make_deal(rules: Rules, jc: Key, rp: Key, pay: int) -> Deal:
    job = Job("sha256:" + "a" * 64, "m", "i", "wasm", Resources(1, 1, 1, 0, 0, 10), "exact", bytes(32))
    return deal_of(rules.terms(time.time(), job, pay, 0, ()), jc.address, rp.address, b"\x03" * 32)


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
        line.link.jumped = jumps.append
        await trio.sleep(0.3)
        assert abs(line.clock.now() - time.time()) < 5
        await line.rpc.call("evm_increaseTime", 3600)
        await line.rpc.call("evm_mine")
        await until(lambda: jumps)
        assert 3500 < line.clock.now() - time.time() < 3700
        assert 3500 < sum(jumps) < 3700


async def test_a_deal_counts_when_it_lies_deep_enough_for_its_sum(tmp_path: Path) -> None:
    jc, rp = new_key(), new_key()
    careful = replace(DEV, confirmations=2, secured_by_a_block=200, most_confirmations=50)
    async with open_line(tmp_path, jc, rp, profile=careful) as line:
        deal = make_deal(line.rules, jc, rp, 1000)
        assert careful.depth(deal.jc_share) == 6
        line.link.watch(deal, line.heard.append)
        bond = rp.sign(digest(line.rules.domain, deal))
        line.link.transact(deal.id(line.rules.domain), Open(deal, bond), line.heard.append)
        first = await line.until(1)
        assert isinstance(first, ChainSaw)
        assert first.standing.state is State.NONE
        while len(line.heard) < 2:
            await line.rpc.call("evm_mine")
            await trio.sleep(0.05)
        second = line.heard[1]
        assert isinstance(second, ChainSaw)
        assert second.standing.state is State.OPEN
        (landed,) = line.landed
        receipt = await line.rpc.call("eth_getTransactionReceipt", "0x" + landed.hash.hex())
        assert (await line.link.client.head()).number >= int(receipt["blockNumber"], 16) + 5


async def test_a_claim_is_told_from_the_newest_block_and_warned_of(tmp_path: Path) -> None:
    jc, rp = new_key(), new_key()
    careful = replace(DEV, confirmations=3)
    async with open_line(tmp_path, jc, rp, profile=careful) as line:
        deal = make_deal(line.rules, jc, rp, 1000)
        name = deal.id(line.rules.domain)
        line.link.transact(name, Open(deal, rp.sign(digest(line.rules.domain, deal))), line.heard.append)
        await until(lambda: line.landed)
        other = Store(tmp_path / "other.sqlite")
        async with connect(line.access, line.rules.domain, other.connection, rp.private) as theirs:
            await theirs.client.submit(Intent("claim", Deliver(deal, b"\x05" * 32, None)))
            line.link.watch(deal, line.heard.append)
            await until(lambda: line.link.claims)
            told = line.heard[-1]
            assert isinstance(told, ChainSaw)
            assert told.standing.state is State.DELIVERED
            assert "a claim runs against it (delivered)" in line.link.claims[name]
            window = deal.answer
            await line.rpc.call("evm_increaseTime", window * 3 // 4 + 1)
            await line.rpc.call("evm_mine")
            await until(lambda: "75 %" in line.link.claims[name])
        other.close()


async def test_payments_keep_each_other_company(tmp_path: Path) -> None:
    jc, rp = new_key(), new_key()
    async with open_line(tmp_path, jc, rp, batching=Policy(wait=2)) as line:
        deals = [make_deal(line.rules, jc, rp, 1000 + number) for number in range(4)]
        for deal in deals:
            name = deal.id(line.rules.domain)
            line.link.transact(name, Open(deal, rp.sign(digest(line.rules.domain, deal))), line.heard.append)
        await until(lambda: len(line.landed) == 4)
        for _ in range(2):  # asked for again, as after a restart
            for deal in deals:
                payment = Payment(deal, deal.pay, final=True)
                line.link.transact(deal.id(line.rules.domain), Settle((payment,)), line.heard.append)
        await until(lambda: len(line.landed) == 12)
        settled = {landed.hash for landed in line.landed if landed.call == "settle"}
        assert len(settled) == 1, "one call for all"
        (account,) = await line.link.client.accounts((rp.address,))
        assert account.free == FREE + sum(deal.pay for deal in deals)
        assert not line.heard
        again = deals[0]
        line.link.transact(
            again.id(line.rules.domain), Settle((Payment(again, again.pay, final=True),)), line.heard.append
        )
        await until(lambda: len(line.landed) == 13)
        assert {landed.hash for landed in line.landed if landed.call == "settle"} == settled


async def test_a_call_mined_as_refused_says_why_and_may_be_made_again(tmp_path: Path) -> None:
    jc, rp = new_key(), new_key()
    async with open_line(tmp_path, jc, rp) as line:
        await line.rpc.call("evm_setAutomine", False)
        # both look good, only one can be: there is money for one
        deals = [make_deal(line.rules, jc, rp, FREE // 12 - number) for number in range(2)]
        for deal in deals:
            name = deal.id(line.rules.domain)
            line.link.transact(name, Open(deal, rp.sign(digest(line.rules.domain, deal))), line.heard.append)
        await trio.sleep(1)
        await line.rpc.call("evm_setAutomine", True)
        await line.rpc.call("evm_mine")
        await line.until(1)
        (refused,) = [event for event in line.heard if isinstance(event, Refused)]
        assert refused.reason == "the provider has not enough free in the vault"
        assert len(line.landed) == 1
        assert isinstance(refused.call, Open)
        won = next(deal for deal in deals if deal != refused.call.deal)
        line.link.transact(won.id(line.rules.domain), Settle((Payment(won, won.pay, final=True),)), print)
        await until(lambda: len(line.landed) == 2)
        lost = refused.call.deal
        line.link.transact(lost.id(line.rules.domain), refused.call, line.heard.append)
        await until(lambda: len(line.landed) == 3)


async def test_two_processes_on_one_key_are_refused() -> None:
    with only_one_sender(1337, new_key().address), only_one_sender(1337, (mine := new_key()).address):
        with pytest.raises(UserError, match="uses the key"), only_one_sender(1337, mine.address):
            pass
        with only_one_sender(1, mine.address):
            pass
    with only_one_sender(1337, mine.address):
        pass


@pytest.mark.parametrize("mines", [True, False], ids=["goes on", "stands still"])
async def test_a_clock_that_is_fast_is_put_right_by_a_chain_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mines: bool
) -> None:
    honest = time.time
    monkeypatch.setattr("node.clock.time.time", lambda: honest() + 3600)
    fast = Clock()
    monkeypatch.undo()
    async with run_devchain(vault=True, block_time=0.2 if mines else 0) as chain:
        assert chain.vault is not None
        async with (
            connect(ChainAccess((chain.url,)), Domain(chain.chain_id, chain.vault)) as line,
            trio.open_nursery() as nursery,
        ):
            with trio.fail_after(20):
                await ChainLink(line, fast, 0.1, Tasks(nursery)).ask_the_time()
            nursery.cancel_scope.cancel()
    ahead = fast.now() - time.time()
    assert (abs(ahead) < 5) if mines else (3595 < ahead < 3605)
