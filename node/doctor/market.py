"""The market: the network that is configured, its chain, the money, the running node and whom it knows."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing

import trio

from contracts.client import VaultClient
from contracts.errors import ChainError, ChainReborn, Garbled, RpcRefused
from contracts.journal import birth_known
from contracts.rpc import Rpc
from node.chain_faults import chain_fault
from node.config import LOCAL
from node.doctor.finding import Finding, Patient, problem, warning, well
from node.errors import ExitCode

CHAIN_ANSWERS = 10.0
"""Seconds."""
FAST = 30.0
"""Seconds by which a chain and this machine may differ."""
SLOW_BLOCKS = 5
"""Blocks in a row that may be missing."""


async def check_market(patient: Patient) -> Iterable[Finding]:
    """From the chain up to what is on offer."""
    if patient.network is None and patient.config.network != LOCAL:
        return []  # what is wrong with its configuration has been said
    if patient.network is None:
        return [well("network", "none is configured: `lilypad run` starts a market on this machine")]
    return [*await _chain(patient), *_node(patient)]


async def _chain(patient: Patient) -> list[Finding]:
    assert patient.network is not None
    domain, mend = patient.network.rules.domain, f"check rpc, chain_id and vault of [networks.{patient.network.name}]"
    findings: list[Finding] = []
    for url in patient.network.access.urls:
        why = f"did not answer within {CHAIN_ANSWERS:g} s"
        with trio.move_on_after(CHAIN_ANSWERS):
            try:
                async with Rpc(url) as line:
                    client = VaultClient(line, domain.chain_id, domain.vault)
                    await client.check()
                    findings += await _birth(url, client, patient)
                    findings += _clock(url, (await client.head()).timestamp - time.time(), patient)
                why = ""
            except (ChainError, OSError) as error:
                why = str(error)
        said = f"{url}: {why}"
        findings.append(
            problem("chain", said, mend, ExitCode.UNREACHABLE) if why else well("chain", f"{url} has the vault")
        )
    return findings


async def _birth(url: str, client: VaultClient, patient: Patient) -> list[Finding]:
    """Whether it is the chain that this data folder has used; nothing where all is well, or nothing is known."""
    state, chain_id = patient.config.home / "state.sqlite", client.domain.chain_id
    try:
        with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as store:
            known = birth_known(store, chain_id)
        if known is None or await client.block_hash(0) in (known, None):
            return []
    except (sqlite3.Error, RpcRefused, Garbled):
        return []  # no state yet, or an endpoint that keeps no such old block
    fault = chain_fault(ChainReborn(chain_id))
    return [problem("chain", f"{url}: {fault.what}", fault.mend, fault.code)]


def _clock(url: str, ahead: float, patient: Patient) -> Iterator[Finding]:
    assert patient.network is not None
    mend = "set this machine's clock (timedatectl set-ntp true), or name another endpoint"
    if ahead > FAST:
        yield warning("clock", f"the newest block of {url} is {ahead:.0f} s ahead of this machine's clock", mend)
    elif -ahead > FAST + SLOW_BLOCKS * patient.network.access.profile.block_time:
        said = f"the newest block of {url} is {-ahead:.0f} s old: it lags, or this machine's clock is fast"
        yield warning("clock", said, mend)


def _node(patient: Patient) -> Iterator[Finding]:
    if patient.node is None:
        yield problem(
            "node", f"no node works in {patient.config.home}", "lilypad node start", code=ExitCode.UNREACHABLE
        )
        return
    if patient.status is None:
        yield problem(
            "node", "it runs, but does not answer", "lilypad node stop, or end its process", ExitCode.UNREACHABLE
        )
        return
    roles = ", ".join(patient.status["roles"])
    yield well("node", f"{patient.status['peer']} as {roles}")
    yield from _money(patient.status)
    count = len(patient.status["peers"])
    if count:
        yield well("peers", f"{count} connected")
    else:
        yield problem(
            "peers", "nobody is connected", "name a peer that is there with --bootstrap", ExitCode.UNREACHABLE
        )


def _money(status: dict[str, object]) -> Iterator[Finding]:
    money = status["money"]
    assert isinstance(money, dict)
    if "error" in money:
        return  # the chain's finding says it
    if int(money["coins"]) == 0:
        yield problem("coins", "the address has no coins for transactions", "send it some", ExitCode.FUNDS_OR_KEY)
    if int(money["free"]) == 0:
        yield warning("vault", "nothing is free in the vault, so no deal can be locked", "lilypad wallet deposit N")
    else:
        yield well("vault", f"{money['free']} free, {money['locked']} locked")
