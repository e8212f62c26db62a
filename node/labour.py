"""What an agent hears of what it wanted fetched, run or compared: always an answer, or silence would cost its stake."""

from __future__ import annotations

import logging
from collections.abc import Callable

from agents.effects import Compare, Execute, Fetch
from agents.events import Compared, Fetched, Launched, NotCompared, NotFetched, NotRan, Ran
from modules.compare import CannotCompare
from node.workshop import SickExecutor, Workshop
from protocol.errors import PeerFault

log = logging.getLogger("lilypad.node")


async def fetch(workshop: Workshop, effect: Fetch) -> Fetched | NotFetched:
    """Have a DAG brought here."""
    try:
        size = await workshop.fetch(effect.cid, effect.source, effect.gateway, effect.most)
        return Fetched(effect.about, effect.cid, size, workshop.doubt(effect.cid), workshop.exit_code(effect.cid))
    except PeerFault as fault:
        return NotFetched(effect.about, effect.cid, str(fault))
    except Exception as fault:  # our own mistake, or what content from outside has made us do
        log.exception("a fetch has failed")
        return NotFetched(effect.about, effect.cid, _named(fault))


async def execute(workshop: Workshop, effect: Execute, hear: Callable[[Launched], None]) -> Ran | NotRan:
    """Run a job."""
    try:
        return Ran(effect.about, await workshop.run(effect.about, effect.job, lambda: hear(Launched(effect.about))))
    except SickExecutor as fault:
        log.warning("a run has failed by this machine's own fault: %s", fault)
        return NotRan(effect.about, str(fault)[:200])
    except Exception as fault:
        log.exception("a run has failed")
        return NotRan(effect.about, _named(fault))


async def compare(workshop: Workshop, effect: Compare) -> Compared | NotCompared:
    """Compare two results."""
    try:
        how = await workshop.compare(effect.job, effect.mine, effect.theirs)
        return Compared(effect.about, effect.mine, effect.theirs, not how, how[:200])
    except CannotCompare as fault:
        log.warning("two results can't be compared by this machine's own fault: %s", fault)
        return NotCompared(effect.about, effect.theirs, str(fault)[:200])
    except Exception as fault:
        log.exception("comparing two results has failed")
        return NotCompared(effect.about, effect.theirs, _named(fault))


def _named(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"[:200]
