"""A chain that begins with the vault and deposits in it, so that a local market starts without transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import rlp  # type: ignore[import-untyped]
from eth.vm.message import Message
from eth_hash.auto import keccak

from contracts.artifact import Artifact
from contracts.devchain.ledger import GAS_LIMIT, Ledger

_DEPLOYER = keccak(b"lilypad dev chain deployer")[12:]
_DEPOSIT = keccak(b"deposit(address)")[:4]


def born(
    chain_id: int,
    fund: Mapping[bytes, int],
    deposits: Mapping[bytes, int],
    shortest: int,
    longest: int,
    artifact: Artifact,
    wall: Callable[[], float] = time.time,
) -> tuple[Ledger, bytes]:
    """A ledger whose second block holds the vault, and the vault's address. Amounts in wei, windows in seconds."""
    ledger = Ledger(chain_id, {**fund, _DEPLOYER: sum(deposits.values())}, wall)
    state = ledger.state_at(ledger.head)
    vault = keccak(rlp.encode([_DEPLOYER, 0]))[12:]
    context = state.get_transaction_context_class()(gas_price=0, origin=_DEPLOYER)
    code = artifact.bytecode + shortest.to_bytes(32, "big") + longest.to_bytes(32, "big")
    create = Message(GAS_LIMIT, b"", _DEPLOYER, 0, b"", code, create_address=vault)
    state.computation_class.apply_create_message(state, create, context).raise_if_error()
    for to, value in deposits.items():
        data = _DEPOSIT + to.rjust(32, b"\0")
        message = Message(GAS_LIMIT, vault, _DEPLOYER, value, data, state.get_code(vault))
        state.computation_class.apply_message(state, message, context).raise_if_error()
    state.persist()
    ledger.seal(state.state_root)
    return ledger, vault
