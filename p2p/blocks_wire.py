"""Bitswap messages as bytes and as frozen values, each part of them within its bound.

Format: the IPFS specification "Bitswap", version 1.2.0: a varint length, then a protobuf message that carries wants,
blocks and word of which blocks are here. A block travels as its CID's prefix (all but the digest) and its bytes, so
the receiver names it by hashing it. The protobuf classes are the library's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from libp2p.bitswap.pb.bitswap_pb2 import Message as Wire

from content import varint
from content.cid import Cid, Codec
from content.errors import BadCid
from protocol.errors import Malformed

PROTOCOL = "/ipfs/bitswap/1.2.0"

MOST_BYTES = 4 << 20
"""The longest message; what other implementations take at most, too."""
MOST_WANTS = 1024
"""Wants, blocks or presences in one message."""
_MOST_NAME = 128
"""Bytes of a CID: ours have 36, those of other kinds get an honest "not here"."""

_V0_PREFIX = bytes((0, Codec.DAG_PB, 0x12, 0x20))
_V0_NAME = bytes((0x12, 0x20))
_PREFIXES = {bytes((1, codec, 0x12, 0x20)): codec for codec in Codec} | {_V0_PREFIX: Codec.DAG_PB}


@dataclass(frozen=True, slots=True)
class Want:
    """One block that somebody asks for, or asks for no longer."""

    name: bytes
    """The CID, binary, as the asker wrote it."""
    whole: bool = True
    """False: only whether it is here."""
    answer_no: bool = True
    """Whether to be told when it is not here."""
    cancel: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """A block that came, whatever it is."""

    prefix: bytes
    data: bytes

    def cid(self) -> Cid | None:
        """The name of these bytes by the hash; None for a kind of CID that we do not keep."""
        codec = _PREFIXES.get(self.prefix)
        return None if codec is None else Cid(codec, hashlib.sha256(self.data).digest())


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether somebody has a block."""

    name: bytes
    here: bool


@dataclass(frozen=True, slots=True)
class Message:
    """What one side says at once."""

    wants: tuple[Want, ...] = ()
    all_wants: bool = False
    """These wants replace all earlier ones."""
    blocks: tuple[Sent, ...] = ()
    presences: tuple[Presence, ...] = ()


def cid_named(name: bytes) -> Cid | None:
    """The block that a binary CID names; None for kinds of CID that we do not keep. A CIDv0 names the same block as
    the CIDv1 with its digest.
    """
    if name[:2] == _V0_NAME and len(name) == 34:
        return Cid(Codec.DAG_PB, name[2:])
    try:
        return Cid.from_bytes(name)
    except BadCid:
        return None


def answer(want: Want, block: bytes) -> Sent:
    """The block under the kind of CID that it was asked for by."""
    return Sent(_V0_PREFIX if want.name[:2] == _V0_NAME else want.name[:4], block)


def encode(message: Message) -> bytes:
    """A message with its length in front."""
    wire = Wire()
    wire.wantlist.full = message.all_wants
    for want in message.wants:
        wire.wantlist.entries.add(
            block=want.name,
            priority=1,
            cancel=want.cancel,
            wantType=Wire.Wantlist.Block if want.whole else Wire.Wantlist.Have,
            sendDontHave=want.answer_no,
        )
    for sent in message.blocks:
        wire.payload.add(prefix=sent.prefix, data=sent.data)
    for presence in message.presences:
        wire.blockPresences.add(cid=presence.name, type=Wire.Have if presence.here else Wire.DontHave)
    body = wire.SerializeToString()
    return varint.encode(len(body)) + body


def decode(body: bytes) -> Message:
    """A message without its length; raises `Malformed`."""
    wire = Wire()
    try:
        wire.ParseFromString(body)
    except Exception as error:  # the decoder raises kinds of its own
        raise Malformed("bytes that are no bitswap message") from error
    entries, presences = wire.wantlist.entries, wire.blockPresences
    if max(len(entries), len(presences), len(wire.payload)) > MOST_WANTS:
        raise Malformed(f"more than {MOST_WANTS} things in one bitswap message")
    if any(len(name) > _MOST_NAME for part in (entries, presences) for name in map(_name, part)):
        raise Malformed(f"a CID of more than {_MOST_NAME} bytes")
    return Message(
        tuple(
            Want(entry.block, entry.wantType == Wire.Wantlist.Block, entry.sendDontHave, entry.cancel)
            for entry in entries
        ),
        wire.wantlist.full,
        tuple(Sent(block.prefix, block.data) for block in wire.payload),
        tuple(Presence(presence.cid, presence.type == Wire.Have) for presence in presences),
    )


def _name(part: object) -> bytes:
    return bytes(part.block if isinstance(part, Wire.Wantlist.Entry) else part.cid)  # type: ignore[attr-defined]
