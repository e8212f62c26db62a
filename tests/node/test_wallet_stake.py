"""A mediator's stake comes back by commands, and shows wherever money does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from contracts.client import Intent, VaultClient
from contracts.journal import SqliteJournal
from contracts.profile import DEV
from contracts.rpc import Rpc
from contracts.sender import Sender
from node.keys import Key, new_key
from protocol.identity import Address
from protocol.vault_calls import Join
from tests.helpers.network import Chain, configuration, save_cheap_key
from tests.helpers.processes import User


@pytest.fixture
def key() -> Key:
    return new_key()


@pytest.fixture
def chain(key: Key) -> Iterator[Chain]:
    running = Chain({key.address: 10**18}, {key.address: 1000})
    yield running
    running.end()


async def join(chain: Chain, key: Key, amount: int, journal: str) -> None:
    async with Rpc(chain.url) as rpc, trio.open_nursery() as nursery:
        sender = Sender(rpc, SqliteJournal(Path(journal), DEV.chain_id, key.address), key.private, DEV)
        nursery.start_soon(sender.run)
        client = VaultClient(rpc, DEV.chain_id, Address(bytes.fromhex(chain.vault[2:])), sender)
        await client.wait(await client.submit(Intent("join", Join(amount))))
        nursery.cancel_scope.cancel()


def test_a_stake_is_shown_left_with_and_collected(user: User, chain: Chain, key: Key) -> None:
    save_cheap_key(key, user.home / "key.json")
    (user.here / "lilypad.toml").write_text(configuration(chain))
    assert "nothing is at stake" in user.lilypad("wallet", "leave").complaint
    trio.run(join, chain, key, 800, str(user.here / "journal"))

    shown = user.lilypad("wallet", "show", "--json").document
    assert (shown["free"], shown["stake"], shown["at_risk"], shown["leaves"]) == ("200", "800", "0", None)
    assert "stake    800" in user.lilypad("wallet", "show").out
    assert "until you say that it leaves" in user.lilypad("wallet", "stake").out
    refused = user.lilypad("wallet", "withdraw", "900")
    assert refused.code == 8
    assert "200 free, 0 locked in deals, 800 at stake as a mediator" in refused.complaint
    assert "lilypad wallet leave" in refused.err
    assert "open deals" not in refused.err
    early = user.lilypad("wallet", "collect")
    assert (early.code, "lilypad wallet leave" in early.err) == (2, True)

    cost = user.lilypad("wallet", "leave", "--dry-run", "--json").document
    assert (cost["what"], cost["amount"]) == ("leave", "800")
    left = user.lilypad("wallet", "leave", "--json").document
    assert left["ok"]
    assert left["leaves"] == user.lilypad("wallet", "stake", "--json").document["leaves"]
    assert "can be collected after" in user.lilypad("wallet", "leave").complaint, "saying it again would put it off"
    early = user.lilypad("wallet", "collect")
    assert (early.code, "too early: the stake can be collected after 20" in early.complaint) == (2, True)

    chain.pass_time(left["leaves"] - int(chain.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + 1)
    done = user.lilypad("wallet", "collect")
    assert done.code == 0, done.err
    assert "collect 800: about" in done.err
    assert "collected 800 of the stake" in done.out
    assert user.lilypad("wallet", "show", "--json").document["free"] == "1000"
