"""Hypothesis strategies for every kind of message, made from the bounds that its fields carry."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from protocol.messages import Gossip, Message
from protocol.types import Limit
from protocol.wire import members

LENGTHS = {"bytes81": 81, "bytes65": 65, "bytes32": 32, "bytes16": 16, "address": 20}
KINDS = (*members(Message), *members(Gossip))


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type within its bounds, the bounds themselves among them."""
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind, include_extras=True)
        return st.builds(kind, **{field.name: of(hints[field.name]) for field in fields(kind)})
    if get_origin(kind) is Annotated:
        base, bound = get_args(kind)[:2]
        if isinstance(bound, Limit):
            if get_origin(base) is tuple:
                return st.lists(of(get_args(base)[0]), max_size=min(bound.most, 4)).map(tuple)
            return st.text(st.characters(codec="utf-8"), max_size=bound.most)
        if bound in LENGTHS:
            return st.binary(min_size=LENGTHS[bound], max_size=LENGTHS[bound])
        most = (1 << int(bound.removeprefix("uint"))) - 1
        return st.one_of(st.integers(0, most), st.sampled_from((0, most)))
    if kind is bool:
        return st.booleans()
    raise AssertionError(f"no strategy for {kind}")


messages = st.sampled_from(KINDS).flatmap(of)
