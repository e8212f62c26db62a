"""Calls of the vault as the bytes a transaction carries, and its answers read back (Solidity ABI, static types only).

Source: Solidity documentation, "Contract ABI Specification".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import assert_never

from eth_hash.auto import keccak

from contracts.errors import Garbled
from protocol.deal import Deal
from protocol.eip712 import layout
from protocol.errors import Misuse
from protocol.identity import Address
from protocol.vault_calls import (
    Absent,
    Accuse,
    Appeal,
    CastVotes,
    Collect,
    Commit,
    Contest,
    Delegate,
    Deliver,
    Deposit,
    Draw,
    Enter,
    Expose,
    Finalize,
    Free,
    Join,
    Leave,
    NoInputs,
    Open,
    Part,
    Redeem,
    Resume,
    Settle,
    SettleLock,
    Show,
    Transfer,
    Vacate,
    VaultCall,
    Withdraw,
)
from protocol.vault_tree import HEIGHT, Path

_DEAL = "(" + ",".join(t if t == "bytes32" else "uint256" for _, t in layout(Deal).fields) + ")"
_LEAF = "(uint256,uint256,bytes32)"
_SIGNATURE = "(bytes32,bytes32)"
_NO_SIGNATURE = bytes(64)
_DEAL_BYTES = 32 * len(layout(Deal).fields)


def encode_call(call: VaultCall) -> tuple[bytes, int]:
    """The call data, and the coin to send along."""
    match call:
        case Deposit(to, value):
            return _selector("deposit(address)") + _address(to), value
        case Withdraw(amount, to):
            return _selector("withdraw(uint256,address)") + _word(amount) + _address(to), 0
        case Transfer(to, amount):
            return _selector("transfer(address,uint256)") + _address(to) + _word(amount), 0
        case Delegate(who, may):
            return _selector("delegate(address,bool)") + _address(who) + _word(int(may)), 0
        case Open(deal, signature):
            return _selector(f"open({_DEAL},{_SIGNATURE})") + deal_words(deal) + compact(signature), 0
        case Settle(payments):
            head = _selector(f"settle({_DEAL}[],uint256[],{_SIGNATURE}[],uint256)")
            deals = _array([deal_words(p.deal) for p in payments])
            amounts = _array([_word(p.amount) for p in payments])
            bills = _array([compact(bill) for bill in call.bills])
            offsets = (128, 128 + len(deals), 128 + len(deals) + len(amounts))
            return head + b"".join(map(_word, offsets)) + _word(call.finals) + deals + amounts + bills, 0
        case Show(line, number, current, owed, signatures):
            head = _selector(f"show({_DEAL},uint256,bytes32,uint256,{_SIGNATURE}[2])")
            told = _word(number) + current + _word(owed)
            return head + deal_words(line) + told + b"".join(map(compact, signatures)), 0
        case Resume(line, deal, owed):
            head = _selector(f"resume({_DEAL},{_DEAL},uint256)")
            return head + deal_words(line) + deal_words(deal) + _word(owed), 0
        case Commit(slot, root, amount, until):
            return _selector("commit(uint256,bytes32,uint256,uint256)") + _word(slot) + root + _word(amount) + _word(
                until
            ), 0
        case Enter(deal, jc_path, rp_path):
            head = _selector(f"enter({_DEAL},uint256[14],uint256[14])")
            return head + deal_words(deal) + _path(jc_path) + _path(rp_path), 0
        case SettleLock(slot, leaves, pay, amounts, bills):
            head = _selector(f"settle_lock(uint256,{_LEAF}[],uint256,uint256[],{_SIGNATURE}[])")
            shown = _array([leaf.words() for leaf in leaves])
            told = _array([_word(amount) for amount in amounts])
            starts = [_word(160 + length) for length in (0, len(shown), len(shown) + len(told))]
            heads = _word(slot) + starts[0] + _word(pay) + starts[1] + starts[2]
            return head + heads + shown + told + _array([compact(bill) for bill in bills]), 0
        case Vacate(deal, for_provider, path):
            head = _selector(f"vacate({_DEAL},bool,uint256[14])")
            return head + deal_words(deal) + _word(int(for_provider)) + _path(path), 0
        case Redeem(deal, amount, voucher):
            head = _selector(f"redeem({_DEAL},uint256,{_SIGNATURE})")
            return head + deal_words(deal) + _word(amount) + compact(voucher), 0
        case Free(deal):
            return _selector(f"release({_DEAL})") + deal_words(deal), 0
        case Part(deal, amount, signature):
            head = _selector(f"part({_DEAL},uint256,{_SIGNATURE})")
            return head + deal_words(deal) + _word(amount) + compact(signature), 0
        case Absent(deal, started):
            return _selector(f"absent({_DEAL},bool,{_SIGNATURE})") + deal_words(deal) + _optional(started), 0
        case NoInputs(deal):
            return _selector(f"no_inputs({_DEAL})") + deal_words(deal), 0
        case Deliver(deal, sealed, receipt):
            head = _selector(f"deliver({_DEAL},bytes32,bool,{_SIGNATURE})")
            return head + deal_words(deal) + sealed + _optional(receipt), 0
        case Contest(deal, pool):
            return _selector(f"contest({_DEAL},bytes)") + deal_words(deal) + _tail(_DEAL_BYTES + 32, pool), 0
        case Accuse(deal, result, signature, pool, paths):
            name, seats = ("accuse", b"") if paths is None else ("accuse_seated", b"".join(map(_path, paths)))
            kinds = "" if paths is None else ",uint256[14],uint256[14]"
            head = _selector(f"{name}({_DEAL}{kinds},bytes32,uint256,uint256,{_SIGNATURE},bytes)")
            told = result.sealed + _word(result.exit_code) + _word(result.units)
            signed = _NO_SIGNATURE if signature is None else compact(signature)
            return head + deal_words(deal) + seats + told + signed + _tail(_DEAL_BYTES + len(seats) + 192, pool), 0
        case Draw(deal, pool):
            return _selector(f"draw({_DEAL},bytes)") + deal_words(deal) + _tail(_DEAL_BYTES + 32, pool), 0
        case CastVotes(deal, pool, ruling, commitments, votes):
            head = _selector(f"vote({_DEAL},bytes,uint256,bytes32,uint256,{_SIGNATURE}[])")
            voters = sum(1 << position for position, _ in votes)
            offset = _DEAL_BYTES + 160
            mediators = _bytes(pool)
            heads = _word(offset) + _word(ruling) + commitments + _word(voters) + _word(offset + len(mediators))
            return head + deal_words(deal) + heads + mediators + _array([compact(s) for _, s in votes]), 0
        case Appeal(deal, pool, for_provider):
            head = _selector(f"appeal({_DEAL},bytes,bool)")
            start = _word(_DEAL_BYTES + 64)
            return head + deal_words(deal) + start + _word(int(for_provider)) + _bytes(pool), 0
        case Expose(deal, pool, position, first, second):
            head = _selector(f"expose({_DEAL},bytes,uint256,uint256[2],bytes32[2],{_SIGNATURE}[2])")
            start = _word(_DEAL_BYTES + 320)
            rulings = _word(first.ruling) + _word(second.ruling)
            evidence = rulings + first.commitments + second.commitments
            signed = compact(first.signature) + compact(second.signature)
            return head + deal_words(deal) + start + _word(position) + evidence + signed + _bytes(pool), 0
        case Finalize(deal, pool):
            return _selector(f"finalize({_DEAL},bytes)") + deal_words(deal) + _tail(_DEAL_BYTES + 32, pool), 0
        case Join(amount):
            return _selector("join(uint256)") + _word(amount), 0
        case Leave():
            return _selector("leave()"), 0
        case Collect():
            return _selector("collect()"), 0
        case _:
            assert_never(call)


def encode_token_deposit(to: Address, amount: int) -> bytes:
    """``deposit`` of a vault for a token, which must have let it take as much; all other calls are the same."""
    return _selector("deposit(address,uint256)") + _address(to) + _word(amount)


def encode_approval(vault: Address, amount: int) -> bytes:
    """A token's ``approve``: let the vault take so much. Source: ERC-20."""
    return _selector("approve(address,uint256)") + _address(vault) + _word(amount)


def allowance_query(owner: Address, vault: Address) -> bytes:
    """A token's ``allowance``: how much the vault may take. Source: ERC-20."""
    return _selector("allowance(address,address)") + _address(owner) + _address(vault)


def tokens_query(owner: Address) -> bytes:
    """A token's ``balanceOf``. Source: ERC-20."""
    return _selector("balanceOf(address)") + _address(owner)


def accounts_query(addresses: Sequence[Address]) -> bytes:
    """Call data of ``accounts_many``."""
    return _selector("accounts_many(address[])") + _word(32) + _array([_address(who) for who in addresses])


def deals_query(ids: Sequence[bytes]) -> bytes:
    """Call data of ``deals_many``."""
    return _selector("deals_many(bytes32[])") + _word(32) + _array(list(ids))


def sealed_query(deal: bytes) -> bytes:
    """Call data of ``sealed``."""
    return _selector("sealed(bytes32)") + deal


def lock_query(owner: Address, slot: int) -> bytes:
    """Call data of ``locks``; the answer is `Lock.words`."""
    return _selector("locks(address,uint256)") + _address(owner) + _word(slot)


def mediators_query(addresses: Sequence[Address]) -> bytes:
    """Call data of ``mediators_many``."""
    return _selector("mediators_many(address[])") + _word(32) + _array([_address(who) for who in addresses])


def deal_id_query(deal: Deal) -> bytes:
    """Call data of ``deal_id``."""
    return _selector(f"deal_id({_DEAL})") + deal_words(deal)


def words(raw: bytes, expected: int) -> list[int]:
    """The numbers of a returned ``uint256[]``; raises `Garbled` where it is anything else."""
    if len(raw) != 64 + 32 * expected or raw[:64] != _word(32) + _word(expected):
        raise Garbled(f"{len(raw)} bytes are not a list of {expected} words")
    return [int.from_bytes(raw[at : at + 32], "big") for at in range(64, len(raw), 32)]


def deal_words(deal: Deal) -> bytes:
    """A deal as 22 words; the same bytes that its EIP-712 hash covers."""
    return b"".join(
        value.rjust(32, b"\0") if isinstance(value := getattr(deal, name), bytes) else _word(value)
        for name, _ in layout(Deal).fields
    )


def compact(signature: bytes) -> bytes:
    """A signature of 65 bytes (r, s, v) in the 64 of EIP-2098; one of 64 bytes is taken as such."""
    if len(signature) == 64:
        return signature
    if len(signature) != 65 or signature[32] >= 0x80 or signature[64] not in (0, 1, 27, 28):
        raise Misuse("not a signature that the vault would take; check it before sending it")
    parity = (signature[64] - 27) % 27 if signature[64] >= 27 else signature[64]
    return signature[:32] + bytes([signature[32] | parity << 7]) + signature[33:64]


def _path(path: Path) -> bytes:
    if len(path) != HEIGHT:
        raise Misuse("a path has as many nodes as the tree is high")
    return b"".join(other + _word(sum_) for other, sum_ in path)


def _optional(signature: bytes | None) -> bytes:
    return _word(0) + _NO_SIGNATURE if signature is None else _word(1) + compact(signature)


@cache
def _selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address(who: bytes) -> bytes:
    return who.rjust(32, b"\0")


def _array(items: Sequence[bytes]) -> bytes:
    return _word(len(items)) + b"".join(items)


def _bytes(raw: bytes) -> bytes:
    return _word(len(raw)) + raw + bytes(-len(raw) % 32)


def _tail(offset: int, raw: bytes) -> bytes:
    return _word(offset) + _bytes(raw)
