"""Bytes to messages and back: msgpack maps with a ``type``, decoded strictly into frozen dataclasses.

Strict means: known type, no field missing or unknown or twice, every integer in the range of its type, every text, list
and binary within its limit. Money is a 12-byte and a seat a 10-byte big-endian binary, since msgpack's integers stop at
2^64. What `encode` writes is canonical (fields in their documented order, shortest integers); a move's `digest` is over
that form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgpack
from cattrs import Converter
from cattrs.errors import BaseValidationError
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn
from eth_hash.auto import keccak

from protocol.errors import Malformed
from protocol.job import Job
from protocol.messages import Gossip, Message, Move, unfilled
from protocol.types import Limit

MOST_BYTES = 64 * 1024
"""The longest message on a stream or topic; the largest honest one has about 3 KiB."""

_LENGTHS = {"bytes81": 81, "bytes65": 65, "bytes32": 32, "bytes16": 16, "address": 20}


def encode(message: Message | Gossip) -> bytes:
    """The canonical bytes of a message."""
    kind = type(message)
    return pack({"type": name_of(kind), **wire_converter().unstructure(message, kind)})


def decode(data: bytes) -> Message | Gossip:
    """The message that these bytes are; raises `Malformed` for anything else."""
    if len(data) > MOST_BYTES:
        raise Malformed(f"a message of {len(data)} bytes; the limit is {MOST_BYTES}")
    content = unpack(data)
    kind = _kinds().get(str(content.pop("type", None)))
    if kind is None:
        raise Malformed("a message without a known type")
    return structure(content, kind)  # type: ignore[no-any-return]


def digest(move: Move) -> bytes:
    """Keccak-256 of a move's canonical bytes, with what its world fills in left blank: how a later move names it."""
    return keccak(encode(unfilled(move)))


def agreement(table: bytes, job: Job) -> bytes:
    """What a deal's ``terms`` is: Keccak-256 over the digest of the move that named the terms, and that of the job.

    The job stands in it by itself, so that a juror can be shown what was sold without the whole talk.
    """
    return keccak(table + keccak(pack(wire_converter().unstructure(job, Job))))


def pack(value: Any) -> bytes:
    """Canonical msgpack of plain values."""
    return bytes(msgpack.packb(value))


def unpack(data: bytes) -> dict[str, Any]:
    """A msgpack map with text keys, none of them twice; raises `Malformed`."""
    try:
        content = msgpack.unpackb(data, object_pairs_hook=_no_key_twice, strict_map_key=True)
    except Malformed:
        raise
    except Exception as error:  # msgpack raises many kinds, all of them the sender's fault
        raise Malformed(f"not msgpack: {type(error).__name__}") from error
    if not isinstance(content, dict):
        raise Malformed("not a msgpack map")
    return content


def structure(content: Any, kind: Any) -> Any:
    """Plain values into dataclasses, strictly; raises `Malformed`."""
    return _structure(content, kind, wire_converter())


def recall(content: Any, kind: Any) -> Any:
    """As `structure`, but of what an older version of this node wrote: fields that have come since get their defaults.

    Raises `Malformed`.
    """
    return _structure(content, kind, _lenient_converter())


def _structure(content: Any, kind: Any, converter: Converter) -> Any:
    try:
        return converter.structure(content, kind)
    except Malformed:
        raise
    except (BaseValidationError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Malformed(f"not a {getattr(kind, '__name__', kind)}: {_first(error)}") from error


def _first(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)[:200]


def _no_key_twice(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs) or not all(isinstance(key, str) for key in content):
        raise Malformed("a map with a key twice, or with a key that is no text")
    return content


@cache
def _kinds() -> dict[str, type]:
    return {name_of(kind): kind for union in (Message, Gossip) for kind in members(union)}


def members(union: Any) -> tuple[type, ...]:
    """The dataclasses of a closed union."""
    return get_args(union)


_NAMES: dict[type, str] = {}


def name_of(kind: type) -> str:
    """How a class is named on the wire: ``CannotRecheck`` is ``cannot_recheck``."""
    name = _NAMES.get(kind)
    if name is None:
        name = _NAMES[kind] = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    return name


# --- the converter ---------------------------------------------------------------------------------------------------


@cache
def wire_converter() -> Converter:
    """One cattrs converter for the wire and the state store: bounds come from the fields' types."""
    return _converter(lenient=False)


@cache
def _lenient_converter() -> Converter:
    return _converter(lenient=True)


def _converter(*, lenient: bool) -> Converter:
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook_factory(is_dataclass, lambda kind: _dataclass(kind, converter, lenient))
    converter.register_unstructure_hook_factory(
        is_dataclass, lambda kind: make_dict_unstructure_fn(_with_bounds(kind), converter)
    )
    converter.register_structure_hook_factory(_is_bounded, lambda kind: _bounded(kind, converter))
    converter.register_unstructure_hook_factory(lambda kind: _wide_bytes(kind) > 0, _wide_to_wire)
    for plain in (int, str, bool, bytes, float):
        converter.register_structure_hook(plain, _exactly(plain))
    converter.register_structure_hook_factory(_is_tagged, lambda kind: _tagged(kind, converter))
    converter.register_unstructure_hook_factory(_is_tagged, lambda kind: _tag(kind, converter))
    return converter


def _with_bounds(kind: type) -> type:
    # annotations are text until resolved, and cattrs resolves them without the metadata that holds the bounds
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        field.type = hints[field.name]
    return kind


def _dataclass(kind: type, converter: Converter, lenient: bool) -> Callable[[Any, Any], Any]:
    build: Callable[[Any, Any], Any] = make_dict_structure_fn(
        _with_bounds(kind), converter, _cattrs_detailed_validation=False
    )
    names = {field.name for field in fields(kind)}
    may_miss = {it.name for it in fields(kind) if it.default is not MISSING or it.default_factory is not MISSING}
    needed = names - may_miss if lenient else names

    def structure_one(content: Any, _: Any) -> Any:
        if not isinstance(content, dict) or not needed <= content.keys() <= names:
            raise Malformed(f"{kind.__name__} has the fields {', '.join(sorted(names))}")
        return build(content, kind)

    return structure_one


def _is_bounded(kind: Any) -> bool:
    return get_origin(kind) is Annotated


def _bounded(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    base, bound = get_args(kind)[:2]
    if isinstance(bound, Limit):
        return _limited(base, bound.most, converter)
    if (length := _wide_bytes(kind)) > 0:
        return _wide_from_wire(length)
    if bound in _LENGTHS:
        return _binary(_LENGTHS[bound], bound)
    return _unsigned(int(bound.removeprefix("uint")))


def _limited(base: Any, most: int, converter: Converter) -> Callable[[Any, Any], Any]:
    if get_origin(base) is not tuple:
        return _text(most)
    inner = get_args(base)[0]
    one = converter.get_structure_hook(inner)

    def structure_list(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) > most:
            raise Malformed(f"a list of at most {most} is wanted")
        return tuple(one(item, inner) for item in value)

    return structure_list


def _text(most: int) -> Callable[[Any, Any], str]:
    def structure_text(value: Any, _: Any) -> str:
        if not isinstance(value, str) or len(value) > most:
            raise Malformed(f"a text of at most {most} characters is wanted")
        return value

    return structure_text


def _binary(length: int, name: str) -> Callable[[Any, Any], bytes]:
    def structure_binary(value: Any, _: Any) -> bytes:
        if not isinstance(value, bytes) or len(value) != length:
            raise Malformed(f"{name} wants {length} bytes")
        return value

    return structure_binary


def _unsigned(bits: int) -> Callable[[Any, Any], int]:
    def structure_unsigned(value: Any, _: Any) -> int:
        if type(value) is not int or not 0 <= value < 1 << bits:
            raise Malformed(f"an integer of 0 to 2^{bits} - 1 is wanted")
        return value

    return structure_unsigned


def _exactly(plain: type) -> Callable[[Any, Any], Any]:
    def structure_plain(value: Any, _: Any) -> Any:
        if type(value) is not plain:
            raise Malformed(f"a {plain.__name__} is wanted")
        return value

    return structure_plain


def _wide_bytes(kind: Any) -> int:
    """The bytes of an integer type that msgpack's integers can't hold; 0 for all other types."""
    if not _is_bounded(kind):
        return 0
    bound = get_args(kind)[1]
    bits = int(bound.removeprefix("uint")) if isinstance(bound, str) and bound.startswith("uint") else 0
    return bits // 8 if bits > 64 else 0


def _wide_to_wire(kind: Any) -> Callable[[int], bytes]:
    length = _wide_bytes(kind)
    return lambda value: value.to_bytes(length, "big")


def _wide_from_wire(length: int) -> Callable[[Any, Any], int]:
    def structure_wide(value: Any, _: Any) -> int:
        if not isinstance(value, bytes) or len(value) != length:
            raise Malformed(f"{length} bytes, big-endian, are wanted")
        return int.from_bytes(value, "big")

    return structure_wide


# --- unions of dataclasses (states in the store): {"type": name, …} --------------------------------------------------


def _is_tagged(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType) and all(is_dataclass(member) for member in get_args(kind))


def _tagged(union: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    kinds = {name_of(member): member for member in get_args(union)}

    def structure_tagged(value: Any, _: Any) -> Any:
        if not isinstance(value, dict) or value.get("type") not in kinds:
            raise Malformed(f"one of {', '.join(kinds)} is wanted")
        member = kinds[value["type"]]
        return converter.structure({key: item for key, item in value.items() if key != "type"}, member)

    return structure_tagged


def _tag(union: Any, converter: Converter) -> Callable[[Any], Any]:
    kinds = get_args(union)

    def unstructure_tagged(value: Any) -> dict[str, Any]:
        kind = type(value)
        assert kind in kinds
        return {"type": name_of(kind), **converter.unstructure(value, kind)}

    return unstructure_tagged
