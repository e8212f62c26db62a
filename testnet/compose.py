"""The compose file of a testnet: readable, and good to be kept and changed."""

from __future__ import annotations

import json

from testnet.layout import start_arguments, variables
from testnet.plan import CHAIN, Member, Plan

FILE = "compose.yaml"
CHAIN_IP_END = 2
"""The last byte of the chain's address."""
HTTP = 8090
"""The port of each peer's HTTP server, inside."""
HOME = "/data"


def container(plan: Plan, name: str) -> str:
    """The name of a peer's container."""
    return f"{plan.name}-{name}"


def compose(plan: Plan, user: str, anvil: str) -> str:
    """The file's text. ``anvil`` is the binary on this machine, or empty."""
    lines = [
        f"# {len(plan.members)} peers and a chain; made by `lilypad testnet up`.",
        'version: "2.4"',
        "x-peer: &peer",
        f"  image: {plan.image}",
        f'  user: "{user}"',
        "  init: true",
        "  cap_drop: [ALL]",
        '  security_opt: ["no-new-privileges:true"]',
        '  restart: "no"',
        "  stop_grace_period: 10s",
        f"  labels: {{lilypad.testnet: {plan.name}}}",
        "services:",
        *_chain(plan, anvil),
    ]
    for member in plan.members:
        lines += _peer(plan, member)
    lines += ["networks:", "  market:", "    ipam:", "      config:", f"        - subnet: {plan.subnet}"]
    return "\n".join(lines) + "\n"


def _chain(plan: Plan, anvil: str) -> list[str]:
    folder = json.dumps(f"{plan.folder / 'chain'}:/chain")
    lines = [
        f"  {CHAIN}:",
        "    <<: *peer",
        f"    container_name: {container(plan, CHAIN)}",
        '    entrypoint: ["python3", "-m", "testnet.chain_process", "/chain"]',
        "    volumes:",
        f"      - {folder}",
    ]
    if anvil:
        lines += [f"      - {json.dumps(f'{anvil}:/usr/local/bin/anvil:ro')}"]
    return [
        *lines,
        "    healthcheck: {disable: true}",
        f"    ports: [{json.dumps(f'127.0.0.1:{plan.chain_port}:8545')}]",
        *_address(f"{plan.subnet.rpartition('.')[0]}.{CHAIN_IP_END}"),
    ]


def _peer(plan: Plan, member: Member) -> list[str]:
    given = variables(plan, member, HOME)
    given.pop("LILYPAD_PASSPHRASE")
    given["LILYPAD_PASSPHRASE_FILE"] = "/run/secrets/passphrase"
    lines = [
        f"  {member.name}:",
        "    <<: *peer",
        f"    container_name: {container(plan, member.name)}",
        f"    command: {json.dumps(list(start_arguments(plan, member)))}",
        "    environment:",
    ]
    lines += [f"      {key}: {json.dumps(value)}" for key, value in given.items()]
    return [
        *lines,
        "    volumes:",
        f"      - {json.dumps(f'{plan.home(member.name)}:{HOME}')}",
        f"      - {json.dumps(f'{plan.folder}/passphrase:/run/secrets/passphrase:ro')}",
        f"    ports: [{json.dumps(f'127.0.0.1:{member.http}:{HTTP}')}]",
        *_address(member.ip),
    ]


def _address(ip: str) -> list[str]:
    return ["    networks:", f"      market: {{ipv4_address: {ip}}}"]
