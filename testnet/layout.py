"""The files of a testnet's folder: a key, a data folder and a configuration a peer, and what the chain begins with.

The keys hold toy money and open with a passphrase that lies beside them, so they are made to be opened quickly.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import eth_keyfile

from node.keys import Key, new_key
from protocol.identity import show
from testnet.plan import SLOTS, Member, Plan

COINS = 10**21
DEPOSIT = 10**9
"""Base units in the vault for each peer: enough for guarantees of thousands of deals at a time."""
STAKE = 100_000
"""What each mediator has at stake on juries."""
PASSPHRASE = "a testnet holds toy money"
CHEAP_SCRYPT = 1 << 10
CHAIN_FILE = "chain.json"
READY_FILE = "ready.json"
JOB_MEMORY_MIB = 256


def lay_out(plan: Plan) -> Plan:
    """Make every peer's folder with a new key; the plan with their names on the chain and the network."""
    members = []
    (plan.folder / "chain").mkdir(parents=True)
    for member in plan.members:
        home = plan.home(member.name)
        home.mkdir(parents=True, mode=0o700)
        key = new_key()
        save_cheap_key(key, home / "key.json", PASSPHRASE)
        members.append(replace(member, address=show(key.address), peer_id=str(key.peer_id)))
    found = replace(plan, members=tuple(members))
    everybody = {member.address: COINS for member in members}
    (plan.folder / "chain" / CHAIN_FILE).write_text(
        json.dumps(
            {
                "kind": plan.chain,
                "chain_id": plan.chain_id,
                "fund": everybody,
                "deposits": dict.fromkeys(everybody, DEPOSIT),
                "host": "0.0.0.0" if plan.engine == "containers" else "127.0.0.1",
                "port": 8545 if plan.engine == "containers" else plan.chain_port,
            },
            indent=2,
        )
    )
    for member in found.of("provider"):
        (plan.home(member.name) / "offer.toml").write_text(offer(member))
    return found


def offer(member: Member) -> str:
    """What a provider sells."""
    return (
        f"[capacity]\ncpu = {SLOTS}\nmemory_mib = {SLOTS * JOB_MEMORY_MIB}\ndisk_mib = 2048\nlongest_s = 600\n"
        f'[[prices]]\nmodule = "*"\nunit = "job"\nfloor = {member.floor}\nask = {2 * member.floor}\n'
    )


def write_networks(plan: Plan, rpc: str) -> None:
    """Each peer's lilypad.toml, once the vault is there."""
    rules = "".join(f"{key} = {value}\n" for key, value in dict(plan.scenario["rules"]).items())
    for member in plan.members:
        bootstrap = [other.place for other in plan.neighbours(member)]
        (plan.home(member.name) / "lilypad.toml").write_text(
            f'network = "testnet"\n\n[networks.testnet]\nrpc = "{rpc}"\nvault = "{plan.vault}"\n'
            f"chain_id = {plan.chain_id}\nbootstrap = {json.dumps(bootstrap)}\n\n[networks.testnet.rules]\n{rules}"
        )


def start_arguments(plan: Plan, member: Member) -> tuple[str, ...]:
    """What `lilypad` is started with for this peer; its working directory is its data folder."""
    inside = plan.engine == "containers"
    listen = f"/ip4/{'0.0.0.0' if inside else member.ip}/tcp/{member.port}"
    found = ["node", "start", "--role", member.role, "--listen", listen, "--executors", "wasm"]
    found += ["--http", "0.0.0.0:8090" if inside else f"127.0.0.1:{member.http}"]
    if inside:
        found += ["--announce", f"/ip4/{member.ip}/tcp/{member.port}"]
    if member.role == "provider":
        found += ["--offer", "offer.toml"]
    if member.role == "mediator":
        found += ["--stake", str(STAKE)]
    if plan.scenario["peers"]["strategy"] and member.role != "mediator":
        found += ["--strategy", plan.scenario["peers"]["strategy"]]
    return tuple(found)


def variables(plan: Plan, member: Member, home: str) -> dict[str, str]:
    """The environment of a peer whose data folder is there."""
    found = {"LILYPAD_HOME": home, "LILYPAD_PASSPHRASE": PASSPHRASE, "LILYPAD_LOG": "json", "XDG_CONFIG_HOME": home}
    if not member.honest:
        found["LILYPAD_DISHONEST"] = member.kind
    return found


def save_cheap_key(key: Key, path: Path, passphrase: str) -> None:
    """A key file whose passphrase takes next to no time to try."""
    content = eth_keyfile.create_keyfile_json(key.secret, passphrase.encode(), kdf="scrypt", iterations=CHEAP_SCRYPT)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)
