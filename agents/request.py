"""What a user asks of its job creator: the job, and the mandate nobody may leave on its behalf."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from agents.preferences import Wish
from protocol.job import Job
from protocol.types import Amount, Count, Limit, Moment, Party, Small, Span, Text

ID_BYTES = 16


class CheckBy(IntEnum):
    """Who runs a result again that is to be checked."""

    ANYBODY = 0
    """A mediator of the pool; where none does, this machine."""
    MEDIATORS = 1
    SELF = 2
    """This machine: nobody else learns of it, and nobody is paid."""


@dataclass(frozen=True, slots=True)
class Request:
    """One job to buy."""

    id: bytes
    """16 bytes, the user's name for it."""
    job: Job
    most_pay: Amount
    """For the whole job; without meaning when ``at_market``."""
    at_market: bool
    """The user set no limit: twice the middle one of the asking prices is the most."""
    check_ppm: Count
    """The share of delivered results to have re-run, in millionths."""
    mediators: Annotated[tuple[Party, ...], Limit(64)]
    """Those the user trusts; empty: any with an offer."""
    deadline: Moment
    """Give up looking for a provider after this."""
    strategy: Text
    """Who haggles for it, by name or reference; empty: the node's own."""
    wishes: Annotated[tuple[Wish, ...], Limit(7)] = ()
    """What else is haggled about, and what it is worth."""
    units: Annotated[tuple[Text, ...], Limit(4)] = ("job",)
    """What it may be priced by: what its module allows."""
    patience: Span = 0
    """Seconds to look for another provider when one has broken its word, beyond the deadline if need be."""
    check_by: Small = 0
    """A `CheckBy`."""
