"""Breaks links between containers from outside of them: a helper enters a peer's network and writes rules there.

The peers themselves keep no right over their network. Partition and loss are rules of the packet filter on what comes
in, so whoever sends notices nothing but silence. Delay is a queue to `testnet.delayer`, a process in the helper, since
not every kernel knows how to delay by itself (`sch_netem` is missing on small virtual machines).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from node.errors import UserError
from testnet.compose import container
from testnet.engine import command, side_by_side
from testnet.plan import Plan

TABLE = "LILYPAD"
QUEUE = 7
STATE = "links.json"
"""In the testnet's folder: what is broken now, by peer, to be broken again when a peer's container begins anew."""


@dataclass(frozen=True, slots=True)
class Link:
    """What is wrong with whatever comes in at one peer."""

    deaf_to: tuple[str, ...] = ()
    """IPs from which nothing arrives."""
    loss: float = 0.0
    delay: float = 0.0
    """Seconds."""


def helper_image(image: str) -> str:
    """The image with the tools that write such rules: the same name, another tag."""
    name, _, tag = image.rpartition(":")
    return f"{name}:{tag}-wire" if name and "/" not in tag else f"{image}:wire"


def shape(plan: Plan, rules: dict[str, Any], running: Collection[str]) -> None:
    """Have each peer's links be like this; those that are not named are well.

    Whoever does not run has no network now, and gets its rules when it begins anew.
    """
    before = broken(plan)
    (plan.folder / STATE).write_text(json.dumps({name: asdict(link) for name, link in rules.items()}))
    changed = [name for name in {*before, *rules} if before.get(name, Link()) != rules.get(name, Link())]
    side_by_side(lambda name: apply(plan, name, rules.get(name, Link())), sorted(set(changed) & set(running)))


def broken(plan: Plan) -> dict[str, Link]:
    """What is broken now, by peer."""
    try:
        told = json.loads((plan.folder / STATE).read_text())
    except FileNotFoundError:
        return {}
    return {name: Link(tuple(link["deaf_to"]), link["loss"], link["delay"]) for name, link in told.items()}


def apply(plan: Plan, name: str, link: Link) -> None:
    """Write one peer's rules anew, in the network of its container as it is now."""
    target, helper = container(plan, name), container(plan, f"{name}-wire")
    _remove(helper)
    script = " && ".join(_rules(link))
    base = ["docker", "run", "--network", f"container:{target}", "--cap-drop", "ALL", "--cap-add", "NET_ADMIN"]
    base += ["--user", "0", "--label", f"lilypad.testnet.wire={plan.name}", "--name", helper, "--no-healthcheck"]
    image = helper_image(plan.image)
    if link.delay:
        run = f"{script} && exec python3 -m testnet.delayer {QUEUE} {link.delay}"
        command([*base, "-d", "--entrypoint", "sh", image, "-c", run])
    else:
        command([*base, "--rm", "--entrypoint", "sh", image, "-c", script])


def clear(plan: Plan) -> None:
    """Remove the helpers that still run."""
    label = f"label=lilypad.testnet.wire={plan.name}"
    for helper in command(["docker", "ps", "-aq", "--filter", label]).split():
        _remove(helper)
    (plan.folder / STATE).unlink(missing_ok=True)


def _rules(link: Link) -> list[str]:
    tool = "iptables -w"
    found = [
        f"({tool} -N {TABLE} 2>/dev/null || {tool} -F {TABLE})",
        f"({tool} -C INPUT -i eth0 -j {TABLE} 2>/dev/null || {tool} -I INPUT -i eth0 -j {TABLE})",
    ]
    found += [f"{tool} -A {TABLE} -s {ip} -j DROP" for ip in link.deaf_to]
    if link.loss:
        found.append(f"{tool} -A {TABLE} -m statistic --mode random --probability {link.loss:.4f} -j DROP")
    if link.delay:
        found.append(f"{tool} -A {TABLE} -j NFQUEUE --queue-num {QUEUE} --queue-bypass")
    return found


def _remove(helper: str) -> None:
    try:
        command(["docker", "rm", "-f", helper])
    except UserError as error:
        if "No such container" not in error.what:
            raise
