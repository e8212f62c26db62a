"""Bytes to messages and back: everything honest survives, nothing else gets in."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.errors import Malformed, PeerFault
from protocol.signing import unseal
from protocol.types import Limit
from protocol.wire import MOST_BYTES, decode, encode, name_of, pack, unpack
from simulator.population import RULES

sys.path.insert(0, str(Path(__file__).parent))
from any_message import KINDS, LENGTHS, messages, of

few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_message_survives_the_wire(kind: type) -> None:
    @settings(few, max_examples=15)
    @given(of(kind))
    def survives(message: Any) -> None:
        data = encode(message)
        assert len(data) <= MOST_BYTES
        assert decode(data) == message
        assert encode(decode(data)) == data

    survives()


@given(st.binary(max_size=400))
@settings(few, max_examples=300)
def test_random_bytes_are_malformed_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


@given(messages, st.data())
@settings(few, max_examples=200)
def test_a_message_with_damage_is_read_or_blamed_on_its_sender(message: Any, data: st.DataObject) -> None:
    raw = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = decode(bytes(raw))
    except Malformed:
        return
    assert type(again) in KINDS


@given(
    st.recursive(
        st.none() | st.integers(-5, 5) | st.binary(max_size=5) | st.text(max_size=5),
        _nest := (lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    )
)
@settings(few)
def test_any_other_msgpack_is_malformed(value: Any) -> None:
    with pytest.raises(Malformed):
        decode(msgpack.packb(value))
    try:
        unseal(msgpack.packb(value), RULES.domain)
    except PeerFault:
        return
    pytest.fail("a stranger's map was taken for a message")


@given(messages)
@settings(few)
def test_a_field_missing_unknown_or_twice_is_malformed(message: Any) -> None:
    content = unpack(encode(message))
    for name in list(content):
        with pytest.raises(Malformed):
            decode(pack({key: value for key, value in content.items() if key != name}))
    with pytest.raises(Malformed):
        decode(pack({**content, "more": 1}))
    packer = msgpack.Packer()
    twice = packer.pack_map_header(len(content) + 1) + b"".join(
        packer.pack(key) + packer.pack(value) for key, value in [*content.items(), next(iter(content.items()))]
    )
    with pytest.raises(Malformed):
        decode(twice)


def _breaches(kind: Any, value: Any) -> list[Any]:
    """Values just outside a field's bounds, as they would stand on the wire."""
    if get_origin(kind) is not Annotated:
        return [1] if kind is bool else []
    base, bound = get_args(kind)[:2]
    if isinstance(bound, Limit):
        if get_origin(base) is tuple:
            one = value[0] if value else None
            return [[one] * (bound.most + 1), "x", None]
        return ["x" * (bound.most + 1), b"x", None, 7]
    if bound in LENGTHS:
        return [bytes(LENGTHS[bound] + 1), bytes(LENGTHS[bound] - 1), "x" * LENGTHS[bound], None]
    bits = int(bound.removeprefix("uint"))
    if bits > 64:
        return [bytes(bits // 8 - 1), bytes(bits // 8 + 1), 5, None]
    return [-1, True, 1.0, "1", None, *([1 << bits] if bits < 64 else [])]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_bound_of_every_field_is_enforced(kind: type) -> None:
    @settings(few, max_examples=3)
    @given(of(kind))
    def enforced(message: Any) -> None:
        content = unpack(encode(message))
        hints = get_type_hints(kind, include_extras=True)
        tried = 0
        for field in fields(kind):
            for breach in _breaches(hints[field.name], content[field.name]):
                tried += 1
                with pytest.raises(Malformed):
                    decode(pack({**content, field.name: breach}))
        assert tried > 0

    enforced()


def test_a_message_above_the_limit_is_not_even_parsed() -> None:
    with pytest.raises(Malformed, match="the limit is"):
        decode(b"\xc1" * (MOST_BYTES + 1))


def test_the_names_on_the_wire_are_all_different() -> None:
    assert len({name_of(kind) for kind in KINDS}) == len(KINDS)
