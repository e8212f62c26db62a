"""A client, its sender and a real dev chain: transactions arrive once, whatever happens between signing and mining."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from coincurve import PrivateKey

from contracts.chain_process import DevChain, run_devchain
from contracts.client import Intent, VaultClient, deploy
from contracts.errors import NotSent, Reverted
from contracts.journal import SqliteJournal
from contracts.profile import DEV
from contracts.rpc import Rpc
from contracts.sender import Sender
from protocol.deal import Deal
from protocol.eip712 import digest
from protocol.identity import Address, address_of_public_key
from protocol.vault import Windows
from protocol.vault_calls import Deposit, Open, Payment, Settle, Withdraw
from protocol.vault_state import Outcome, State

COIN = 10**18
JC, RP = PrivateKey(b"\x01" * 32), PrivateKey(b"\x02" * 32)


def address(key: PrivateKey) -> Address:
    return address_of_public_key(key.public_key.format())


def sign(key: PrivateKey, hash_: bytes) -> bytes:
    raw = key.sign_recoverable(hash_, hasher=None)
    return raw[:64] + bytes([27 + raw[64]])


def a_deal(now: int) -> Deal:
    return Deal(
        jc=address(JC),
        rp=address(RP),
        pay=1000,
        jc_stake=200,
        rp_stake=1000,
        cheat=10_000,
        fee=100,
        juror_stake=0,
        start_by=now + 100,
        deliver_by=now + 200,
        claim_until=now + 1000,
        grace=50,
        answer=60,
        judge=60,
        appeal=0,
        pool=bytes(32),
        jurors=3,
        quorum=2,
        silence=0,
        jc_seat=0,
        rp_seat=0,
        terms=b"\x07" * 32,
    )


@asynccontextmanager
async def a_chain() -> AsyncIterator[tuple[DevChain, Rpc]]:
    people = {address(JC): COIN, address(RP): COIN}
    async with run_devchain(people, people) as chain, Rpc(chain.url) as rpc:
        yield chain, rpc


@asynccontextmanager
async def running(*senders: Sender) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for sender in senders:
            nursery.start_soon(sender.run)
        yield
        nursery.cancel_scope.cancel()


async def test_a_lone_deal_is_opened_and_paid(tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        sender = Sender(rpc, SqliteJournal(tmp_path / "jc", 1337, address(JC)), JC, DEV)
        client = VaultClient(rpc, 1337, chain.vault, sender)
        await client.check()
        async with running(sender):
            deal = a_deal((await client.head()).timestamp)
            name = deal.id(client.domain)
            opened = await client.wait(await client.submit(Intent("open", Open(deal, sign(RP, name)))))
            assert opened.status == 1
            both = (deal.jc, deal.rp)
            seen = await client.read(both, [name])
            assert [account.locked for account in seen.accounts] == [deal.jc_share, deal.rp_share]
            assert seen.deals[0].state is State.OPEN
            paid = await client.wait(
                await client.submit(Intent("pay", Settle((Payment(deal, deal.pay, final=True),))))
            )
            jc, rp = await client.accounts(both)
            assert (jc.balance, jc.locked, rp.balance, rp.locked) == (COIN - 1000, 0, COIN + 1000, 0)
            assert (await client.deals([name]))[0].outcome is Outcome.DONE
            print("open", opened.gas_used, "settle", paid.gas_used, "together", opened.gas_used + paid.gas_used)
            assert opened.gas_used + paid.gas_used <= 125_000
