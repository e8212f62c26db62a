"""The local market on either make of chain, as asked for by flag or variable."""

from __future__ import annotations

import os

import pytest

from contracts.anvil import find_anvil
from tests.helpers.processes import User


@pytest.mark.skipif(find_anvil() is None, reason="anvil is not installed")
def test_a_market_on_anvil_where_it_is_found(user: User) -> None:
    user.environment = {"LILYPAD_ANVIL": os.environ.get("LILYPAD_ANVIL", "")}
    ended = user.lilypad("run", "cowsay:v0.1", "on anvil", "--json", timeout=120)
    assert ended.code == 0, ended.err
    document = ended.document
    assert document["verification"]["verdict"] == "accepted"
    assert [each["call"] for each in document["chain"]["transactions"]] == ["open", "settle"]


def test_a_chain_that_is_not_there_or_unknown_is_named(user: User) -> None:
    user.environment = {"LILYPAD_ANVIL": str(user.folder / "nowhere"), "LILYPAD_CHAIN": "anvil"}
    ended = user.lilypad("run", "cowsay:v0.1", "x", timeout=120)
    assert ended.code == 9, ended.err
    assert "anvil" in ended.complaint
    ended = user.lilypad("run", "cowsay:v0.1", "x", "--chain", "geth")
    assert ended.code == 2
    assert "py-evm" in ended.err
