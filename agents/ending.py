"""Ending a claim whose time is over: by a name of its own for each deadline, since one deal may see several."""

from __future__ import annotations

from agents.effects import Effect, Transact, WakeAt
from agents.events import Timer
from protocol.deal import Deal
from protocol.judging import subject
from protocol.vault_calls import Finalize

PHASE = "finalize:"
"""How timers of this kind begin; the claim's deadline follows."""


def end_at(moment: float, name: bytes, deadline: int) -> Effect:
    """Wake to end the claim on this deal that had this deadline."""
    return WakeAt(moment, Timer(name, f"{PHASE}{deadline}"))


def end(name: bytes, deal: Deal, pool: bytes, phase: str) -> Effect:
    """What such a timer asks of the vault; ``pool``: sorted addresses of the mediators, 20 bytes each."""
    return Transact(subject(name, "finalize", int(phase.removeprefix(PHASE))), Finalize(deal, pool))


def end_again(moment: float, name: bytes, about: bytes) -> Effect:
    """Wake to try once more what the vault refused under the name ``about``."""
    return end_at(moment, name, int(about.rpartition(b":")[2]))
