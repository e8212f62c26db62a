"""What ``[networks.NAME]`` says of its chain: endpoints, confirmations, and how long payments wait for company."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from contracts.batching import Policy
from contracts.profile import KINDS, ChainAccess, ChainProfile, usual_kind
from node.parsing import bad, integer, parse_address, table_of, texts
from protocol.rules import Rules

_SPANS = {"poll", "resend_after", "stuck_after", "block_time"}
_PROFILE_KEYS = {each.name for each in fields(ChainProfile)} - {"chain_id"} | {"kind"}


def chain_access(table: dict[str, Any], chain_id: int, where: str) -> ChainAccess:
    """How a network reaches its chain, from its table; raises `UserError`."""
    urls = (table["rpc"],) if isinstance(table["rpc"], str) else texts(table["rpc"], "rpc")
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise bad(f"rpc: '{url}' is no address of a JSON-RPC endpoint", "write http://… or https://…")
    if not urls or len(set(urls)) < len(urls):
        raise bad("rpc: no endpoint, or one named twice", 'write rpc = "http://…", or a list of different ones')
    quorum = integer(table["quorum"], "quorum") if "quorum" in table else len(urls) // 2 + 1
    if not 1 <= quorum <= len(urls):
        raise bad(f"quorum: {quorum} of {len(urls)} endpoints can't agree", "leave it out: more than half")
    told = table_of(table.get("chain", {}), f"{where}.chain")
    unknown = set(told) - _PROFILE_KEYS
    if unknown:
        raise bad(
            f"[{where}.chain] has unknown keys: {', '.join(sorted(unknown))}",
            f"known are {', '.join(sorted(_PROFILE_KEYS))}",
        )
    kind = str(told.get("kind", usual_kind(chain_id)))
    if kind not in KINDS:
        raise bad(f"chain.kind: '{kind}' is unknown", f"choose from {', '.join(KINDS)}")
    changed: dict[str, Any] = {"chain_id": chain_id}
    for key, value in told.items():
        if key in _SPANS:
            changed[key] = _seconds(value, key)
        elif key != "kind":
            changed[key] = integer(value, key)
    profile = replace(KINDS[kind], **changed)
    if profile.confirmations < 1 or profile.secured_by_a_block == 0 or profile.bump_percent < 110:
        raise bad(
            f"[{where}.chain]: a transaction needs one confirmation at least, a block secures more than nothing, "
            "and a replacement pays 110 % at least",
            "correct the numbers",
        )
    token = parse_address(str(table["token"]), "token") if "token" in table else None
    return ChainAccess(urls, profile, quorum, token)


LOCK_BLOCKS = 2
"""Blocks that may go by until a signed deal is locked: one to be mined in, and one that was too full."""


def check_depth(profile: ChainProfile, rules: Rules) -> None:
    """Work starts only when a deal lies deep enough: there must be time for that. Raises `UserError`."""
    if profile.block_time > 1 and rules.lock_within < LOCK_BLOCKS * profile.block_time:
        raise bad(
            f"rules: lock_within = {rules.lock_within} s is less than the {LOCK_BLOCKS * profile.block_time:g} s in "
            f"which {LOCK_BLOCKS} blocks come, so deals would be locked too late",
            "set lock_within higher in [networks.….rules]",
        )
    wait = profile.depth(0) * profile.block_time if profile.confirmations > 1 else 0
    for key in ("transfer", "grace", "answer"):
        if getattr(rules, key) < wait:
            raise bad(
                f"rules: {key} = {getattr(rules, key)} s is less than the {wait:g} s in which "
                f"{profile.confirmations} blocks come",
                f"set {key} higher in [networks.….rules], or chain.confirmations lower",
            )


def batching(table: Any, where: str) -> Policy | None:
    """How long payments wait for company, or None; raises `UserError`."""
    if table is None:
        return None
    told = table_of(table, where)
    unknown = set(told) - {"wait", "worth", "margin"}
    if unknown:
        raise bad(f"[{where}] has unknown keys: {', '.join(sorted(unknown))}", "known are wait, worth, margin")
    return Policy(**{key: integer(value, key) for key, value in told.items()})


def _seconds(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e7:
        raise bad(f"{name}: {value!r} is no number of seconds", f"write {name} = 2.5")
    return float(value)
