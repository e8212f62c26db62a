"""Configuration: who wins over whom, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config import LOCAL, load_config, load_shop
from node.errors import UserError

VAULT = "0x" + "ab" * 20


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "NETWORK", "RPC", "VAULT", "CHAIN_ID", "BOOTSTRAP"):
        monkeypatch.delenv(f"LILYPAD_{name}", raising=False)
    (tmp_path / "here").mkdir()
    (tmp_path / "config" / "lilypad").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_nothing_configured_means_a_market_on_this_machine() -> None:
    assert load_config().network == LOCAL


def test_a_flag_beats_the_variable_beats_this_folder_beats_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config" / "lilypad" / "lilypad.toml").write_text('network = "user"\nhome = "/of/user"')
    assert (load_config().network, load_config().home) == ("user", Path("/of/user"))
    Path("lilypad.toml").write_text('network = "folder"')
    assert (load_config().network, load_config().home) == ("folder", Path("/of/user"))
    monkeypatch.setenv("LILYPAD_NETWORK", "variable")
    monkeypatch.setenv("LILYPAD_HOME", "/of/variable")
    assert (load_config().network, load_config().home) == ("variable", Path("/of/variable"))
    assert load_config(Path("/of/flag"), "flag").network == "flag"
    assert load_config(Path("/of/flag"), "flag").home == Path("/of/flag")


def test_tables_of_both_files_add_up_and_variables_reach_into_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config" / "lilypad" / "lilypad.toml").write_text(f'[networks.a]\nrpc = "http://x"\nvault = "{VAULT}"')
    Path("lilypad.toml").write_text("[networks.a]\nchain_id = 7\n[networks.a.rules]\nlock_within = 40")
    network = load_config().load_network("a")
    assert (network.access.urls[0], network.rules.domain.chain_id, network.rules.lock_within) == ("http://x", 7, 40)
    assert network.rules.domain.vault == bytes.fromhex("ab" * 20)
    monkeypatch.setenv("LILYPAD_RPC", "http://y")
    monkeypatch.setenv("LILYPAD_CHAIN_ID", "8")
    monkeypatch.setenv("LILYPAD_BOOTSTRAP", "one,two")
    network = load_config().load_network("a")
    assert (network.access.urls[0], network.rules.domain.chain_id, network.bootstrap) == ("http://y", 8, ("one", "two"))


@pytest.mark.parametrize(
    "table",
    [
        "rpc = 'http://x'",
        f"vault = '{VAULT}'",
        "rpc = 'http://x'\nvault = '0x12'",
        f"rpc = 'http://x'\nvault = '{VAULT}'\nchain_id = 1.5",
        f"rpc = 'http://x'\nvault = '{VAULT}'\nbootstrap = 'one'",
        f"rpc = 'http://x'\nvault = '{VAULT}'\n[networks.a.rules]\ncolour = 1",
        f"rpc = 'http://x'\nvault = '{VAULT}'\n[networks.a.rules]\ngrace = 'long'",
        f"rpc = 'http://x'\nvault = '{VAULT}'\n[networks.a.rules]\ncheck_payer = 101",
        f"rpc = 'http://x'\nvault = '{VAULT}'\n[networks.a.rules]\ndomain = 1",
        f"rpc = 'http://x'\nvault = '0x{'00' * 20}'",
        "rpc = 'http://x'\nvault = '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD'",
        f"rpc = 'http://x'\nvault = '{VAULT}'\nchain_id = 314\n[networks.a.rules]\nlock_within = 59",
    ],
)
def test_half_a_network_and_one_that_can_not_work_are_refused(table: str) -> None:
    Path("lilypad.toml").write_text(f"[networks.a]\n{table}")
    with pytest.raises(UserError):
        load_config().load_network("a")


def test_an_address_with_the_right_capitals_or_none_is_taken() -> None:
    for vault in ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"):
        Path("lilypad.toml").write_text(f"[networks.a]\nrpc = 'http://x'\nvault = '{vault}'")
        assert load_config().load_network("a").rules.domain.vault[:2] == b"\x5a\xae"


def test_a_file_with_a_number_of_thousands_of_digits_is_refused_as_one_that_can_not_be_read() -> None:
    Path("lilypad.toml").write_text("a = " + "1" * 5000)
    with pytest.raises(UserError, match="can't be read"):
        load_config()


def test_an_offer_file_says_what_is_sold(tmp_path: Path) -> None:
    file = tmp_path / "offer.toml"
    file.write_text(
        "[capacity]\ncpu = 1.5\nmemory_mib = 100\n"
        '[[prices]]\nfloor = 5\n[[prices]]\nmodule = "sha256:aa"\nfloor = 7\nask = 8\n'
    )
    shop = load_shop(file)
    assert (shop.capacity.cpu_millis, shop.capacity.memory_mib, shop.capacity.gpus) == (1500, 100, ())
    assert [(sheet.module, sheet.floor, sheet.ask) for sheet in shop.sheets] == [("*", 5, 10), ("sha256:aa", 7, 8)]


def test_without_an_offer_file_something_modest_is_sold() -> None:
    assert load_shop(None).sheets[0].floor > 0
