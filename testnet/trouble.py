"""Carries faults out on a testnet, at once or at their moments, and takes back those that last a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import assert_never

from node.errors import ExitCode, UserError
from testnet.faults import Delay, Fault, Heal, Jump, Kill, Loss, Partition, Pause, Reorg, Resume, words_of
from testnet.plan import Plan
from testnet.processes import CLOCK
from testnet.town import Town
from testnet.wire import Link, broken

Undo = Callable[[], None]


def inflict(town: Town, fault: Fault) -> Undo | None:
    """Have it happen now; what takes it back where it is to last a while only. Raises `UserError`."""
    engine, plan = town.engine, town.plan
    match fault:
        case Partition(a, b, lasts):
            for name in (*a, *b):
                plan.member(name)
            parted = _parted(plan, a, b)
            _change(town, lambda name, link: replace(link, deaf_to=tuple(sorted({*link.deaf_to, *parted[name]}))))
            return _later(lasts, lambda: _change(town, lambda _, link: replace(link, deaf_to=())))
        case Delay(seconds, lasts):
            _change(town, lambda _, link: replace(link, delay=seconds))
            return _later(lasts, lambda: _change(town, lambda _, link: replace(link, delay=0.0)))
        case Loss(share, lasts):
            _change(town, lambda _, link: replace(link, loss=share))
            return _later(lasts, lambda: _change(town, lambda _, link: replace(link, loss=0.0)))
        case Heal():
            engine.network({})
            return None
        case Kill(peer, lasts):
            engine.kill(plan.member(peer).name)
            return _later(lasts, lambda: revive(town, peer))
        case Pause(peer, lasts):
            engine.pause(plan.member(peer).name)
            return _later(lasts, lambda: revive(town, peer))
        case Resume(peer):
            revive(town, plan.member(peer).name)
            return None
        case Jump(seconds, ""):
            town.chain("evm_increaseTime", round(seconds))
            town.chain("evm_mine")
            return None
        case Jump(seconds, peer):
            place = plan.home(plan.member(peer).name) / CLOCK
            place.write_text(f"{seconds:+g}s\n")
            engine.kill(peer)
            revive(town, peer)
            return None
        case Reorg(blocks):
            town.chain(plan.reorg, blocks)
            return None
        case _:
            assert_never(fault)


def revive(town: Town, name: str) -> None:
    """Let a paused or dead peer go on, with the links that it had."""
    match town.engine.states()[name]:
        case "paused":
            town.engine.resume(name)
            return
        case "running":  # two faults of one peer ended, one after the other
            return
    (town.plan.home(name) / "node.json").unlink(missing_ok=True)
    town.engine.start([name])
    if town.plan.engine == "containers" and name in (links := broken(town.plan)):
        from testnet.wire import apply

        apply(town.plan, name, links[name])


class Trouble:
    """Faults at their moments; somebody calls `poll` often."""

    def __init__(self, town: Town, faults: Iterable[tuple[float, Fault]], say: Callable[[str], None]) -> None:
        self._town = town
        self._say = say
        self._began = time.monotonic()
        self._due: list[tuple[float, str, Fault | Undo]] = [
            (at, "fault: " + " ".join(words_of(fault)), fault) for at, fault in faults
        ]

    @property
    def waiting(self) -> int:
        """Faults, and ends of faults, that are still to come."""
        return len(self._due)

    def poll(self) -> None:
        """Have happen what is due."""
        while self._due:
            at, what, thing = entry = min(self._due, key=lambda it: it[0])
            if at > time.monotonic() - self._began:
                return
            self._due.remove(entry)
            self._say(what)
            if callable(thing):
                thing()
            elif (undo := inflict(self._town, thing)) is not None:
                ends = time.monotonic() - self._began + getattr(thing, "lasts", 0.0)
                self._due.append((ends, f"over: {what[7:]}", undo))

    def calm(self) -> None:
        """Take back at once what was to last a while longer; nothing else happens any more."""
        left, self._due = sorted(self._due, key=lambda it: it[0]), []
        for _, what, thing in left:
            if callable(thing):
                self._say(what)
                thing()


def _parted(plan: Plan, a: Sequence[str], b: Sequence[str]) -> dict[str, set[str]]:
    names = [member.name for member in plan.members]
    others = list(b) or [name for name in names if name not in a]
    if set(a) & set(others) or not others:
        raise UserError(ExitCode.USAGE, "the two sides of a partition share a peer, or one is empty", "name others")
    ip = {member.name: member.ip for member in plan.members}
    found: dict[str, set[str]] = {name: set() for name in names}
    for name in a:
        found[name] |= {ip[other] for other in others}
    for other in others:
        found[other] |= {ip[name] for name in a}
    return found


def _change(town: Town, how: Callable[[str, Link], Link]) -> None:
    if town.plan.engine != "containers":
        town.engine.network({"": Link()})
    before = broken(town.plan)
    links = {member.name: how(member.name, before.get(member.name, Link())) for member in town.plan.members}
    town.engine.network({name: link for name, link in links.items() if link != Link()})


def _later(lasts: float | None, undo: Callable[[], None]) -> Undo | None:
    return undo if lasts is not None else None
