"""Money from the command line: units, costs told beforehand, and one clear error for each thing that can be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from eth_hash.auto import keccak

from contracts.client import deploy
from contracts.journal import SqliteJournal
from contracts.profile import DEV
from contracts.rpc import Rpc
from contracts.sender import Sender
from node.amounts import parse_amount, show_amount
from node.errors import UserError
from node.keys import Key, new_key
from protocol.identity import show as show_address
from protocol.vault_book import Windows
from tests.contracts.test_token_vault import token_code
from tests.helpers.network import Chain, configuration, save_cheap_key
from tests.helpers.processes import User

COINS = 5 * 10**18


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("1", 1),
        ("1_000", 1000),
        ("1000 wei", 1000),
        ("20gwei", 20 * 10**9),
        ("1.5 ether", 15 * 10**17),
        ("1.5ETH", 15 * 10**17),
        (".5 fil", 5 * 10**17),
        ("3 nanofil", 3 * 10**9),
        ("1.000000000000000001 ether", 10**18 + 1),
        ("1.50 gwei", 1_500_000_000),
    ],
)
def test_amounts_have_units(text: str, units: int) -> None:
    assert parse_amount(text) == units
    assert show_amount(units).split()[0] == str(units)


@pytest.mark.parametrize(
    "text",
    [
        *("", "ether", "-1", "0", "0.0 ether", "1.5", "1.5 wei", "1e18", "0x10", "1 dollar", "1 2", "1,5 ether", "nan"),
        *("1__0", "1_", "1_.5 ether", "_1"),
        *("\u0663", "0.0000000000000000001 ether", "1" * 90, "99999999999999 ether", "1 ether extra"),
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse_amount(text)


@pytest.fixture(scope="module")
def rich() -> Key:
    return new_key()


@pytest.fixture(scope="module")
def chain(rich: Key) -> Iterator[Chain]:
    running = Chain({rich.address: COINS}, {})
    yield running
    running.end()


@pytest.fixture
def owner(user: User, chain: Chain, rich: Key) -> User:
    """Somebody with coins, whose chain wants two confirmations."""
    save_cheap_key(rich, user.home / "key.json")
    (user.here / "lilypad.toml").write_text(configuration(chain) + "[networks.devnet.chain]\nconfirmations = 2\n")
    return user


def test_money_goes_in_and_out(owner: User, rich: Key) -> None:
    cost = owner.lilypad("wallet", "deposit", "1.5", "ether", "--dry-run", "--json").document
    assert int(cost["total"]) == 15 * 10**17 + int(cost["fee"])
    told = owner.lilypad("wallet", "deposit", "1.5", "ether")
    assert told.code == 0, told.err
    assert "deposit 1500000000000000000 (1.5 ether): about" in told.err
    assert "2 of 2 confirmations" in told.err
    assert f"free in the vault: {15 * 10**17}" in told.out
    back = owner.lilypad("wallet", "withdraw", "0.5ether", "--json").document
    assert back["ok"]
    assert back["free"] == str(10**18)
    assert int(back["gas"]) > 21_000
    taken = owner.lilypad("wallet", "withdraw", "all", "--to", "0x" + "12" * 20, "--json").document
    assert taken["free"] == "0"
    shown = owner.lilypad("wallet", "show", "--json").document
    assert shown["address"] == "0x" + rich.address.hex()
    assert 0 < COINS - 10**18 - int(shown["coins"]) < 10**15, "one ether is elsewhere, the rest was gas"


def test_a_document_of_a_move_has_what_it_really_took(owner: User, rich: Key) -> None:
    before = owner.lilypad("wallet", "show", "--json").document
    forecast = owner.lilypad("wallet", "deposit", "1000", "--dry-run", "--json").document
    told = owner.lilypad("wallet", "deposit", "1000", "--json").document
    after = owner.lilypad("wallet", "show", "--json").document
    assert {key: type(value) for key, value in told.items() if key in forecast} == {
        key: type(value) for key, value in forecast.items()
    }, "the same form as beforehand"
    assert int(told["fee"]) == told["gas"] * int(told["gas_price"])
    assert int(told["total"]) == int(told["fee"]) + 1000 == int(before["coins"]) - int(after["coins"])
    assert (told["coins"], told["free"], told["to"]) == (after["coins"], after["free"], "0x" + rich.address.hex())
    back = owner.lilypad("wallet", "withdraw", "all", "--json").document
    assert (back["amount"], back["to"]) == (after["free"], "0x" + rich.address.hex())
    assert int(back["total"]) == int(back["fee"])
    owner.lilypad("wallet", "deposit", "1000")
    said = owner.lilypad("wallet", "withdraw", "all", "--to", "0x" + "12" * 20)
    assert f"withdrew 1000 to 0x{'12' * 20}" in said.out


def test_the_vault_is_no_place_to_withdraw_to(owner: User, chain: Chain) -> None:
    assert owner.lilypad("wallet", "deposit", "10").code == 0
    ended = owner.lilypad("wallet", "withdraw", "1", "--to", chain.vault)
    assert ended.code == 2
    assert "the vault's own address" in ended.complaint
    assert owner.lilypad("wallet", "withdraw", "all", "--json").document["ok"]


def test_with_one_of_two_endpoints_nothing_is_believed_and_nothing_sent(owner: User, chain: Chain) -> None:
    file = owner.here / "lilypad.toml"
    file.write_text(file.read_text().replace(f'"{chain.url}"', f'["{chain.url}", "http://127.0.0.1:9"]'))
    for command in (("show",), ("deposit", "5"), ("withdraw", "all")):
        ended = owner.lilypad("wallet", *command)
        assert ended.code == 9
        assert "1 of 2 endpoints answered, 2 are needed" in ended.complaint
        assert "rpc and quorum" in ended.err
        assert "sent 0x" not in ended.err


def test_too_little_money_is_said_before_anything_is_sent(owner: User, chain: Chain) -> None:
    before = chain.call("eth_blockNumber")
    poor = owner.lilypad("wallet", "deposit", "100", "ether")
    assert poor.code == 8
    assert "send coins to" in poor.err
    assert "holds" in poor.complaint
    nothing = owner.lilypad("wallet", "withdraw", "7")
    assert nothing.code == 8
    assert "not enough free in the vault: 0 free" in nothing.complaint
    assert owner.lilypad("wallet", "withdraw", "all").code == 8
    assert chain.call("eth_getTransactionCount", "0x" + "00" * 20, "latest") == "0x0"
    assert int(chain.call("eth_blockNumber"), 16) >= int(before, 16)


def test_the_wrong_passphrase_chain_vault_or_endpoint_is_named(owner: User, chain: Chain) -> None:
    file = owner.here / "lilypad.toml"
    good = file.read_text()
    owner.environment = {"LILYPAD_PASSPHRASE": "wrong"}
    ended = owner.lilypad("wallet", "deposit", "5")
    assert (ended.code, "passphrase" in ended.complaint) == (8, True)
    owner.environment = {}
    for change, word in (
        ((f"chain_id = {chain.chain_id}", "chain_id = 7"), "serves chain 1337, not 7"),
        ((chain.vault, "0x" + "77" * 20), "no contract"),
        ((chain.url, "http://127.0.0.1:9"), "127.0.0.1:9"),
    ):
        file.write_text(good.replace(*change))
        for command in (("deposit", "5"), ("show",)):
            ended = owner.lilypad("wallet", *command)
            assert ended.code == 9, ended.err
            assert word in ended.complaint
    file.write_text(good)


def test_a_chain_that_began_anew_is_refused(owner: User, chain: Chain, rich: Key) -> None:
    assert owner.lilypad("wallet", "deposit", "5").code == 0
    other = Chain({rich.address: COINS}, {})
    try:
        file = owner.here / "lilypad.toml"
        file.write_text(file.read_text().replace(chain.url, other.url))
        ended = owner.lilypad("wallet", "deposit", "5")
        assert (ended.code, "began anew" in ended.complaint) == (9, True)
        assert "copy key.json into it" in ended.err
        examined = owner.lilypad("doctor")
        assert f"{other.url}: this chain 1337 is not the one" in examined.out
        again = User(owner.folder / "again")
        save_cheap_key(rich, again.home / "key.json")
        (again.here / "lilypad.toml").write_text(file.read_text())
        assert again.lilypad("wallet", "deposit", "5").code == 0, "the way out that is named works"
    finally:
        other.end()


def test_a_key_is_made_and_kept(user: User, tmp_path: Path) -> None:
    made = user.lilypad("wallet", "new", "--json").document
    copy = tmp_path / "copy.json"
    assert user.lilypad("wallet", "export", "-o", copy).code == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert json.loads(copy.read_text()) == json.loads((user.home / "key.json").read_text())
    assert user.lilypad("wallet", "export", "-o", copy).code == 2, "never written over"
    secret = user.lilypad("wallet", "export", "--secret")
    assert "can take all money" in secret.err
    assert "0x" + Key(bytes.fromhex(secret.out.strip()[2:])).address.hex() == made["address"]
    user.environment = {"LILYPAD_PASSPHRASE": "wrong"}
    assert user.lilypad("wallet", "export", "--secret").code == 8


async def _with_a_token(url: str, key: Key, folder: Path) -> tuple[str, str]:
    """Put a token and its vault on the chain, and give the key 50 of it; their addresses."""
    async with Rpc(url) as rpc, trio.open_nursery() as nursery:
        sender = Sender(rpc, SqliteJournal(folder / "maker", DEV.chain_id, key.address), key.private, DEV)
        nursery.start_soon(sender.run)
        token = (await sender.wait(await sender.submit("token", None, token_code()))).created
        assert token is not None
        vault = await deploy(sender, Windows(60, 600), token)
        mint = keccak(b"mint(address,uint256)")[:4] + key.address.rjust(32, b"\0") + (50).to_bytes(32, "big")
        await sender.wait(await sender.submit("mint", token, mint))
        nursery.cancel_scope.cancel()
    return show_address(token), show_address(vault)


def test_a_vault_for_a_token_is_let_take_it_and_then_paid_in(owner: User, rich: Key, chain: Chain) -> None:
    file = owner.here / "lilypad.toml"
    assert owner.lilypad("wallet", "approve", "5").code == 2, "a vault of coins needs no approval"
    token, vault = trio.run(_with_a_token, chain.url, rich, owner.here)
    file.write_text(file.read_text().replace(chain.vault, vault).replace("chain_id", f'token = "{token}"\nchain_id'))
    early = owner.lilypad("wallet", "deposit", "7")
    assert early.code == 8
    assert "lilypad wallet approve 7" in early.err
    assert owner.lilypad("wallet", "deposit", "51").code == 8
    assert owner.lilypad("wallet", "approve", "7", "--json").document["ok"]
    assert owner.lilypad("wallet", "deposit", "7", "--json").document["free"] == "7"
    assert owner.lilypad("wallet", "withdraw", "3", "--json").document["free"] == "4"
    shown = owner.lilypad("wallet", "show", "--json").document
    assert (shown["free"], shown["tokens"]) == ("4", "46")
