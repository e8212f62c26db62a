"""A finished dispute as a file that anybody can check offline: written from what this node has saved, read again.

The file is JSON: the fields of `protocol.record.Record` under their names, every binary as ``0x`` and hex digits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents.dispute import Past
from agents.purchase_stages import Over, Purchase
from contracts.client import VaultClient
from contracts.errors import ChainError
from modules.bounded_json import loads
from node.errors import ExitCode, UserError
from node.store import Store
from protocol.eip712 import Domain
from protocol.errors import Malformed
from protocol.record import NO_HASH, Hearing, Record, Testified
from protocol.vault_state import Outcome
from protocol.wire import structure, wire_converter

MOST_BYTES = 4 * 1024 * 1024


async def record_of(job: str, store: Store, client: VaultClient, domain: Domain) -> Record:
    """The record of a job's dispute; raises `UserError` where it had none, or none has ended."""
    found = [it for it in store.records("client") if isinstance(it, Purchase) and it.wanted.hex() == job and it.dispute]
    if not found:
        known = store.job(job)
        if known is not None and known[3] is None:
            mend = f"it still runs, and one may come: `lilypad jobs logs {job} -f`"
            raise UserError(ExitCode.USAGE, f"job {job} has had no dispute so far", mend)
        raise UserError(ExitCode.USAGE, f"job {job} had no dispute", f"see `lilypad jobs show {job}`")
    it = found[-1]
    if not isinstance(it.stage, Over):
        raise UserError(ExitCode.USAGE, f"the dispute of job {job} has not ended", "wait for its ruling")
    assert it.dispute is not None
    dispute, delivery, outcome = it.dispute, it.stage.delivery, it.stage.ruling
    hearings, before = [], 0
    for number, past in enumerate(dispute.hearings, 1):
        last = number == len(dispute.hearings)
        voted = any(w.vote and w.ruling == outcome for w in past.witnesses)
        ruling = past.ruling or (outcome if last and voted and outcome in _RULINGS else 0)
        hearings.append(hearing(past, ruling, before, await _block_hash(client, past.block)))
        before |= past.sitting
    return Record(
        chain_id=domain.chain_id,
        vault=domain.vault,
        deal=it.deal,
        bond=it.bond,
        table=it.table,
        job=it.job,
        mediators=it.terms.mediators,
        contested=dispute.contested,
        sealed=dispute.sealed or bytes(32),
        cid=dispute.cid,
        salt=dispute.salt,
        exit_code=delivery.run.exit_code if delivery is not None else 0,
        units=delivery.run.units if delivery is not None else 0,
        signature=delivery.signature if delivery is not None else b"",
        expected=dispute.expected,
        hearings=tuple(hearings),
        outcome=outcome,
    )


_RULINGS = (Outcome.RIGHT, Outcome.WRONG, Outcome.NOT_FETCHABLE)


def hearing(past: Past, ruling: int, before: int, block_hash: bytes) -> Hearing:
    """One jury's time as it goes into a record; ``before`` are the seats that could not be drawn any more."""
    testimony = tuple(
        Testified(w.seat, w.commitment, w.cid, w.salt, w.ruling, w.grounds, w.vote)
        for w in sorted(past.witnesses, key=lambda w: w.seat)
    )
    return Hearing(past.round, past.block, block_hash, past.sitting, before, ruling, testimony)


async def _block_hash(client: VaultClient, number: int) -> bytes:
    try:
        return await client.block_hash(number) or NO_HASH
    except ChainError:
        return NO_HASH


def write(record: Record) -> str:
    """The file's text."""
    return json.dumps(_shown(wire_converter().unstructure(record, Record)), indent=1) + "\n"


def read_file(file: Path) -> Record:
    """A record out of a file that may come from anybody, of which no more is read than a record has; `UserError`."""
    try:
        with file.open("rb") as source:
            data = source.read(MOST_BYTES + 1)
        _bounded(data)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(ExitCode.USAGE, f"{file} can't be read: {error}", "check the path") from None
    return read(text)


def _bounded(text: str | bytes) -> None:
    if len(text) > MOST_BYTES:
        raise UserError(ExitCode.USAGE, f"a record has at most {MOST_BYTES} bytes", "check the file")


def read(text: str) -> Record:
    """A record out of text that may come from anybody; raises `UserError`."""
    _bounded(text)
    try:
        found: Record = structure(_meant(loads(text)), Record)
    except (ValueError, RecursionError, Malformed) as error:
        mend = "write one with `lilypad jobs show ID --record FILE`"
        raise UserError(ExitCode.USAGE, f"this is no record of a dispute: {error}"[:300], mend) from None
    return found


def _shown(value: Any) -> Any:
    match value:
        case bytes():
            return "0x" + value.hex()
        case dict():
            return {key: _shown(item) for key, item in value.items()}
        case list() | tuple():
            return [_shown(item) for item in value]
        case _:
            return value


def _meant(value: Any) -> Any:
    match value:
        case str() if value.startswith("0x"):
            return bytes.fromhex(value[2:])
        case dict():
            return {key: _meant(item) for key, item in value.items()}
        case list():
            return [_meant(item) for item in value]
        case _:
            return value
