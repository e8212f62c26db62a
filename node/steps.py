"""Writes what agents hear and do about talks and deals to the log: one deal can be followed across all its peers.

A line carries the ``deal`` or the ``talk`` that it is about (hex), the other ``peer`` where there is one, and ``what``
happened. Gossip, timers and money that no deal is about are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from agents.effects import CastOwn, Effect, Execute, Fetch, Send, Tell, Transact
from agents.events import ChainSaw, Event, Fetched, Got, NotFetched, Ran, Refused, Unreached
from agents.reports import Agreed
from node.logs import STEPS
from protocol.deal import Deal
from protocol.eip712 import Domain
from protocol.identity import show
from protocol.messages import Message
from protocol.vault_state import Outcome, State

log = logging.getLogger(STEPS)

_ID = 32
"""Bytes of a deal's id; what an agent calls its doings begins with it."""


class Steps:
    """The log of one node's steps."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def heard(self, role: str, event: Event) -> None:
        """An agent is about to hear this."""
        if not log.isEnabledFor(logging.INFO):
            return
        match event:
            case Got(sender, message):
                self._message(role, f"heard {type(message).__name__}", sender, message)
            case Unreached(peer, message):
                self._message(role, f"could not send {type(message).__name__}", peer, message)
            case ChainSaw(deal, standing):
                end = f", {Outcome(standing.outcome).name}" if standing.state is State.CLOSED else ""
                self._say(role, f"saw {State(standing.state).name}{end} in the vault", deal=deal)
            case Refused(about, call, reason):
                self._say(role, f"was refused {type(call).__name__}: {reason}", deal=about)
            case Fetched(about, cid):
                self._say(role, f"holds {cid}", deal=about)
            case NotFetched(about, cid, reason):
                self._say(role, f"could not fetch {cid}: {reason}", deal=about)
            case Ran(about, run):
                self._say(role, f"ran it: exit code {run.exit_code}, {run.failure or run.cid}", deal=about)
            case _:
                pass

    def does(self, role: str, event: Event, effects: Iterable[Effect]) -> None:
        """An agent wants this, because of what it heard."""
        if not log.isEnabledFor(logging.INFO):
            return
        for effect in effects:
            match effect:
                case Send(to, message):
                    self._message(role, f"says {type(message).__name__}", to, message)
                case Transact(about, call):
                    self._say(role, f"calls {type(call).__name__}", deal=about)
                case CastOwn(about):
                    self._say(role, "casts its own vote", deal=about)
                case Fetch():
                    self._say(role, f"fetches {effect.cid}", deal=effect.about)
                case Execute():
                    self._say(role, "runs the module", deal=effect.about)
                case Tell(job, Agreed() as agreed):
                    talk = getattr(event.message, "talk", b"") if isinstance(event, Got) else b""
                    deal = agreed.deal.id(self._domain)
                    self._say(role, f"agreed on {agreed.terms.pay}", deal=deal, talk=talk, job=job)
                case _:
                    pass

    def _message(self, role: str, what: str, peer: bytes, message: Message) -> None:
        deal = getattr(message, "deal", b"")
        name = deal.id(self._domain) if isinstance(deal, Deal) else deal
        self._say(role, what, deal=name, talk=getattr(message, "talk", b""), peer=peer)

    def _say(
        self, role: str, what: str, *, deal: bytes = b"", talk: bytes = b"", peer: bytes = b"", job: bytes = b""
    ) -> None:
        if not deal and not talk:
            return
        extra = {"role": role, "what": what}
        if deal:
            extra["deal"] = deal[:_ID].hex()
        if talk:
            extra["talk"] = talk.hex()
        if peer:
            extra["peer"] = show(peer)
        if job:
            extra["job"] = job.hex()
        log.info("%s %s", role, what, extra=extra)
