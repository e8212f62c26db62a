"""Who said it: sealing messages with a key, and opening sealed ones with proof of their author.

Two kinds of signature, both recoverable ECDSA over secp256k1, 65 bytes r ‖ s ‖ v with v 27 or 28 and s in the lower
half: a *statement* signs the EIP-712 digest of its struct, an *envelope* signs the exact bytes of a message:
``{"type": "signed", "body": bytes, "signature": bytes}``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from coincurve import PublicKey
from eth_hash.auto import keccak

from protocol.eip712 import Domain, digest
from protocol.errors import Malformed, NotSigned
from protocol.identity import Address
from protocol.messages import Enveloped, Gossip, Message, Statement
from protocol.wire import MOST_BYTES, decode, encode, pack, unpack

SIGNATURE_BYTES = 65
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
# starts with 0x19 like every signed thing of this ecosystem, so it can be neither a transaction nor an EIP-712 digest
_ENVELOPE = b"\x19Lilypad signed message\n"

Sign = Callable[[bytes], bytes]
"""Signs a 32-byte digest; the key stays behind it."""
Recover = Callable[[bytes, bytes], Address]
"""The signer of a digest by a signature; raises `NotSigned`."""


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A message and who is proven to have signed it; no author where its kind carries no signature."""

    message: Message | Gossip
    author: Address | None


def seal(message: Message | Gossip, domain: Domain, sign: Sign) -> bytes:
    """The bytes to send: the statement's signature filled in, and the envelope around it, as the kind wants."""
    if isinstance(message, Statement):
        message = replace(message, signature=sign(digest(domain, message.statement())))
    body = encode(message)
    if not isinstance(message, Enveloped):
        return body
    return pack({"type": "signed", "body": body, "signature": sign(envelope_digest(body))})


def unseal(data: bytes, domain: Domain, recover: Recover | None = None) -> Unsealed:
    """The message in these bytes; raises `Malformed`, or `NotSigned` where signatures are missing or disagree."""
    recover = recover or recover_address
    body, author = _open_envelope(data, recover)
    message = decode(body)
    if author is None and isinstance(message, Enveloped):
        raise NotSigned(f"a {type(message).__name__} without its envelope")
    if isinstance(message, Statement):
        signer = recover(digest(domain, message.statement()), message.signature)
        if author not in (None, signer):
            raise NotSigned("an envelope and a statement by different keys")
        author = signer
    return Unsealed(message, author)


def envelope_digest(body: bytes) -> bytes:
    """What an envelope's signature covers."""
    return keccak(_ENVELOPE + body)


def _open_envelope(data: bytes, recover: Recover) -> tuple[bytes, Address | None]:
    if len(data) > MOST_BYTES:
        raise Malformed(f"a message of {len(data)} bytes; the limit is {MOST_BYTES}")
    content = unpack(data)
    if content.get("type") != "signed":
        return data, None
    body, signature = content.get("body"), content.get("signature")
    if not isinstance(body, bytes) or not isinstance(signature, bytes) or len(content) != 3:
        raise Malformed("an envelope has a body and a signature, both binary")
    return body, recover(envelope_digest(body), signature)


def recover_address(digest32: bytes, signature: bytes) -> Address:
    """The address whose key signed this digest; raises `NotSigned`."""
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        raise NotSigned("a signature is 65 bytes and ends in 27 or 28")
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise NotSigned("a malleable signature: s is in the upper half")
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest32, hasher=None)
    except Exception as error:  # coincurve raises bare Exception for a signature that no key can have made
        raise NotSigned("a signature that no key can have made") from error
    return Address(keccak(key.format(compressed=False)[1:])[12:])
