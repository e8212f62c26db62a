"""Who said it: what is signed by somebody else, bent or bare is not believed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.deal import Voucher
from protocol.eip712 import Domain, digest
from protocol.errors import Malformed, NotSigned, PeerFault
from protocol.identity import Address, address_of_public_key
from protocol.messages import Bind, Enveloped, Paid, Statement, Walk
from protocol.signing import envelope_digest, recover_address, seal, unseal
from protocol.types import UNSIGNED
from protocol.wire import encode, pack, unpack

sys.path.insert(0, str(Path(__file__).parent))
from any_message import messages, of

DOMAIN = Domain(31337, Address(bytes(range(20))))
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Key:
    """A real key."""

    def __init__(self, secret: int) -> None:
        self._key = PrivateKey.from_int(secret)
        self.address = address_of_public_key(self._key.public_key.format())

    def sign(self, digest32: bytes) -> bytes:
        raw = self._key.sign_recoverable(digest32, hasher=None)
        return raw[:64] + bytes([27 + raw[64]])


ANN, HOST_B = Key(7), Key(8)
PAID = Paid(bytes(32), 5, UNSIGNED)
WALK = Walk(bytes(16), bytes(32), "enough", final=False)


@given(messages)
@settings(max_examples=60, deadline=None)
def test_what_was_sealed_opens_with_its_author(message: Any) -> None:
    unsealed = unseal(seal(message, DOMAIN, ANN.sign), DOMAIN)
    signed = isinstance(message, Statement | Enveloped)
    assert unsealed.author == (ANN.address if signed else None)
    if not isinstance(message, Statement):
        assert unsealed.message == message


def test_a_move_without_its_envelope_is_not_signed() -> None:
    with pytest.raises(NotSigned, match="without its envelope"):
        unseal(encode(WALK), DOMAIN)


def test_an_envelope_around_changed_bytes_names_somebody_else() -> None:
    content = unpack(seal(WALK, DOMAIN, ANN.sign))
    content["body"] = encode(replace(WALK, reason="Enough"))
    assert unseal(pack(content), DOMAIN).author != ANN.address


@given(of(Bind))
@settings(max_examples=5, deadline=None)
def test_an_envelope_and_a_statement_by_different_keys_are_refused(bind: Bind) -> None:
    stolen = replace(bind, signature=ANN.sign(digest(DOMAIN, bind.statement())))
    body = encode(stolen)
    data = pack({"type": "signed", "body": body, "signature": HOST_B.sign(envelope_digest(body))})
    with pytest.raises(NotSigned, match="different keys"):
        unseal(data, DOMAIN)


def test_a_statement_counts_on_its_own_vault_only() -> None:
    data = seal(PAID, DOMAIN, ANN.sign)
    assert unseal(data, DOMAIN).author == ANN.address
    assert unseal(data, replace(DOMAIN, chain_id=1)).author != ANN.address


def test_a_malleable_signature_is_refused() -> None:
    hash32 = digest(DOMAIN, Voucher(bytes(32), 5))
    good = ANN.sign(hash32)
    assert recover_address(hash32, good) == ANN.address
    upper = ORDER - int.from_bytes(good[32:64], "big")
    twin = good[:32] + upper.to_bytes(32, "big") + bytes([55 - good[64]])
    with pytest.raises(NotSigned, match="malleable"):
        recover_address(hash32, twin)


@given(st.binary(max_size=70))
def test_a_signature_of_another_shape_is_refused(signature: bytes) -> None:
    with pytest.raises(NotSigned):
        recover_address(bytes(32), signature[:64])
    with pytest.raises(NotSigned):
        recover_address(bytes(32), bytes(64) + b"\x1b")


@given(st.binary(min_size=65, max_size=65))
def test_no_signature_makes_the_check_itself_fail(signature: bytes) -> None:
    try:
        recover_address(bytes(32), signature)
    except NotSigned:
        return


def test_an_envelope_with_more_or_other_fields_is_malformed() -> None:
    content = unpack(seal(WALK, DOMAIN, ANN.sign))
    for broken in ({**content, "more": 1}, {**content, "body": "text"}, {"type": "signed"}):
        with pytest.raises(Malformed):
            unseal(pack(broken), DOMAIN)


def test_envelopes_do_not_nest() -> None:
    inner = seal(WALK, DOMAIN, ANN.sign)
    outer = pack({"type": "signed", "body": inner, "signature": ANN.sign(envelope_digest(inner))})
    with pytest.raises(PeerFault):
        unseal(outer, DOMAIN)
