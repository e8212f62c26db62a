"""Our digests are those of an independent implementation, so wallets and the vault agree with us."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak
from hypothesis import given, settings

from protocol.deal import Bill, Deal, Receipt, Release, Result, Started, Successor, Vote, Voucher
from protocol.eip712 import Domain, digest, layout
from protocol.errors import Malformed, Misuse
from protocol.identity import Address

sys.path.insert(0, str(Path(__file__).parent))
from any_message import of

DOMAIN = Domain(31337, Address(bytes(range(20))))
STRUCTS = (Deal, Started, Result, Receipt, Voucher, Bill, Release, Successor, Vote)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_digests_are_those_of_eth_account(kind: type) -> None:
    @settings(max_examples=10, deadline=None)
    @given(of(kind))
    def same(struct: Any) -> None:
        types = {kind.__name__: [{"name": _camel(name), "type": solidity} for name, solidity in layout(kind).fields]}
        values = {_camel(field.name): getattr(struct, field.name) for field in fields(kind)}
        domain = {
            "name": "Lilypad Vault",
            "version": "1",
            "chainId": DOMAIN.chain_id,
            "verifyingContract": "0x" + DOMAIN.vault.hex(),
        }
        signable = encode_typed_data(domain, types, values)
        assert digest(DOMAIN, struct) == keccak(b"\x19" + signable.version + signable.header + signable.body)

    same()


def test_a_value_that_leaves_its_type_has_no_digest() -> None:
    with pytest.raises(Malformed):
        digest(DOMAIN, Voucher(bytes(32), 1 << 96))
    with pytest.raises(Malformed):
        digest(DOMAIN, Voucher(bytes(31), 1))


def test_a_class_without_solidity_types_can_not_be_signed() -> None:
    with pytest.raises(Misuse):
        layout(Domain)


def test_another_chain_or_vault_is_another_digest() -> None:
    voucher = Voucher(bytes(32), 1)
    elsewhere = (Domain(1, DOMAIN.vault), Domain(DOMAIN.chain_id, Address(bytes(20))))
    assert len({digest(domain, voucher) for domain in (DOMAIN, *elsewhere)}) == 3
