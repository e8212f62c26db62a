"""A CID has one spelling, and knows its block."""

from __future__ import annotations

import base64

import pytest

from content.cid import Cid, Codec
from content.errors import BadBlock, BadCid

HELLO = Cid.of(Codec.RAW, b"hello\n")


def test_a_name_survives_text_and_bytes() -> None:
    for codec in Codec:
        cid = Cid.of(codec, b"hello\n")
        assert Cid.parse(str(cid)) == cid
        assert Cid.from_bytes(bytes(cid)) == cid


def test_the_first_letters_tell_the_codec() -> None:
    assert str(HELLO).startswith("bafk")
    assert str(Cid.of(Codec.DAG_PB, b"")).startswith("bafy")


def test_a_known_name_is_reproduced() -> None:
    empty = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    assert str(Cid.of(Codec.RAW, b"")) == empty


def test_a_block_is_recognised_and_another_is_not() -> None:
    HELLO.verify(b"hello\n")
    with pytest.raises(BadBlock):
        HELLO.verify(b"hello")


def _spelled(data: bytes) -> str:
    return "b" + base64.b32encode(data).decode().rstrip("=").lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        str(HELLO).upper(),
        str(HELLO) + "a",
        str(HELLO)[:-1],
        str(HELLO)[:-1] + "1",
        " " + str(HELLO)[1:],
        "z" + str(HELLO)[1:],
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "é" * 59,
        _spelled(b"\x01\x71\x12\x20" + bytes(32)),  # dag-cbor
        _spelled(b"\x01\x55\x13\x20" + bytes(32)),  # another hash
        _spelled(b"\x00\x55\x12\x20" + bytes(32)),  # another version
        _spelled(b"\x01\x55\x00\x20" + bytes(32)),  # the bytes themselves in place of a hash
    ],
)
def test_every_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(BadCid):
        Cid.parse(text)


def test_the_spare_bits_of_the_last_letter_must_be_zero() -> None:
    text = str(HELLO)
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    twins = [text[:-1] + letter for letter in alphabet if letter != text[-1]]
    same_bytes = [twin for twin in twins if base64.b32decode(twin[1:].upper() + "======") == bytes(HELLO)]
    assert same_bytes, "there are spellings of the same bytes"
    for twin in same_bytes:
        with pytest.raises(BadCid):
            Cid.parse(twin)


@pytest.mark.parametrize("data", [b"", bytes(36), bytes(HELLO)[:-1], bytes(HELLO) + b"\0"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadCid):
        Cid.from_bytes(data)
