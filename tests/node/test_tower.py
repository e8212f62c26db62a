"""A node that is the watchtower of a sleeping provider answers out of a copy of its state file."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import trio

from agents import sale as selling
from agents.effects import Save
from contracts.chain_process import run_devchain
from contracts.client import Intent
from contracts.connection import connect
from contracts.profile import ChainAccess
from contracts.rpc import Rpc
from node.keys import new_key
from node.store import Store
from node.tower import Tower, open_deals
from protocol.deal import DealId, Receipt
from protocol.eip712 import Domain, digest
from protocol.job import Job, Resources, Run
from protocol.messages import sealed
from protocol.rules import Rules
from protocol.terms import deal_of
from protocol.vault_calls import Absent, Delegate, Open
from protocol.vault_state import State

FREE = 10**9


async def test_a_tower_answers_out_of_a_copy_of_the_state(tmp_path: Path) -> None:
    jc, rp, tower = new_key(), new_key(), new_key()
    people = (jc.address, rp.address, tower.address)
    money = (dict.fromkeys(people, 10**20), dict.fromkeys(people, FREE))
    stores = {key.address: Store(tmp_path / f"{name}.sqlite") for name, key in zip("jrt", (jc, rp, tower), strict=True)}
    async with run_devchain(*money) as chain, Rpc(chain.url) as rpc:
        assert chain.vault is not None
        domain, access = Domain(chain.chain_id, chain.vault), ChainAccess((chain.url,))
        job = Job("sha256:" + "a" * 64, "m", "i", "wasm", Resources(1, 1, 1, 0, 0, 10), "exact", bytes(32))
        terms = Rules(domain).terms(time.time(), job, 1000, 0, ())
        deal = deal_of(terms, jc.address, rp.address, b"\x03" * 32)
        name = deal.id(domain)
        run = Run("bafy", 0, 1, "", "")
        receipt = jc.sign(digest(domain, Receipt(name, sealed(run.cid, b"\x01" * 32))))
        sale = selling.opened(deal, DealId(name), job, terms, 1, b"\x01" * 32, bytes(32))
        sale = replace(sale, stage=selling.Waiting(run, receipt, b"", 0, deal.deliver_by))
        stores[rp.address].change("provider", Save("sale", sale))
        # what a customer's file holds beside it, broken or forged, keeps the tower from nothing
        for kind in ("Sale", "sale", "Nothing"):
            broken = "INSERT INTO records VALUES ('provider', ?, ?, x'82a161')"
            stores[rp.address].connection.execute(broken, (f"broken {kind}", kind))
        assert [record.id for record in open_deals(tmp_path / "r.sqlite")] == [name]
        async with (
            connect(access, domain, stores[jc.address].connection, jc.private) as payer,
            connect(access, domain, stores[rp.address].connection, rp.private) as provider,
            connect(access, domain, stores[tower.address].connection, tower.private) as line,
            trio.open_nursery() as nursery,
        ):
            await payer.client.wait(await payer.client.submit(Intent("open", Open(deal, rp.sign(name)))))
            await provider.client.wait(
                await provider.client.submit(Intent("delegate", Delegate(tower.address, may=True)))
            )
            nursery.start_soon(Tower(line, [tmp_path / "r.sqlite", tmp_path / "none"], 0.2).run)
            await rpc.call("evm_setNextBlockTimestamp", deal.deliver_by + deal.grace + 1)
            await rpc.call("evm_mine")
            await payer.client.wait(await payer.client.submit(Intent("absent", Absent(deal, None))))
            with trio.fail_after(60):
                while (await payer.client.deals([name]))[0].state is not State.DELIVERED:  # noqa: ASYNC110
                    await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
    for store in stores.values():
        store.close()
